"""The choice of a checkpoint: the best of a folder by its AUROC on validation."""

from pathlib import Path

from cxr14.errors import InputError
from cxr14.models import checkpoint
from cxr14.models.checkpoint import Checkpoint
from cxr14.settings import PREVIOUS_SNAPSHOT, SNAPSHOT


def choose_checkpoint(path: Path) -> Path:
    """Return a checkpoint: the path itself, or the best one in the folder that it is.

    The test list has no influence: the mean AUROC on the validation list is compared, which a training
    records for the epoch that it keeps. The table that decides is printed.

    Raises:
        InputError: the folder has no checkpoint with such an AUROC, or they were validated on different
            lists.
    """
    if not path.is_dir():
        return path
    found = {
        candidate: checkpoint.read(candidate)
        for candidate in sorted(path.glob("*.pth"))
        if not candidate.name.endswith((SNAPSHOT, PREVIOUS_SNAPSHOT))
    }
    scored = {file: one for file, one in found.items() if one.about.val_auroc is not None}
    if not scored:
        raise InputError(
            f"{path} holds no checkpoint of a training; train first, or give one with CKPT_PATH."
        )
    if len({one.about.splits.get("val") for one in scored.values()}) > 1:
        raise InputError(
            f"the checkpoints in {path} were validated on different lists, so none of them is the best; give "
            "one with CKPT_PATH."
        )
    best = max(scored, key=lambda file: scored[file].about.val_auroc)
    print(f"Mean AUROC on the validation list of the checkpoints in {path}")
    for file, one in scored.items():
        print(f"  {file.name:16} {one.about.val_auroc:.4f}  {_title(one)}{'  <- best' * (file == best)}")
    return best


def _title(one: Checkpoint) -> str:
    taught = f" taught by {one.about.teacher}" if one.about.teacher else ""
    return f"{one.about.network}{taught}"
