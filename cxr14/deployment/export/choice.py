"""The choice of a checkpoint: the best of a folder by its AUROC on validation."""

from pathlib import Path

from cxr14.errors import InputError
from cxr14.evaluation import metrics
from cxr14.evaluation.predictions import PREDICTIONS_FILE, VALIDATION, Predictions
from cxr14.files import find_files
from cxr14.models import checkpoint
from cxr14.settings import PREVIOUS_SNAPSHOT, SNAPSHOT


def choose_checkpoint(path: Path, results_dir: Path | None) -> Path:
    """Return a checkpoint: the path itself, or the best one in the folder that it is.

    The test list has no influence: the mean AUROC of the saved predictions for the validation list is
    compared. It is that of the whole list for each of them; the one in a checkpoint's metadata may be of the
    half that selected its epoch. The table that decides is printed.

    Args:
        path: a checkpoint, or a folder of them.
        results_dir: folder of the results of the checkpoints, or one above them; None only for a checkpoint.

    Raises:
        InputError: no checkpoint of the folder has results, or they are not of one list and one number of
            crops.
    """
    if not path.is_dir():
        return path
    if results_dir is None:
        raise InputError(
            f"the best checkpoint in {path} is chosen by its results; give their folder with RESULTS_DIR, or "
            "one checkpoint with CKPT_PATH."
        )
    tested = {}
    for file in find_files(results_dir, PREDICTIONS_FILE.format(split=VALIDATION)):
        predictions = Predictions.load(file)
        tested[predictions.weights_hash] = predictions
    found = {
        file: tested.get(checkpoint.read(file).weights_hash)
        for file in sorted(path.glob("*.pth"))
        if not file.name.endswith((SNAPSHOT, PREVIOUS_SNAPSHOT))
    }
    aurocs = {
        file: metrics.macro(metrics.auroc(val.labels, val.probabilities))[0]
        for file, val in found.items()
        if val is not None
    }
    if not aurocs:
        raise InputError(
            f"no checkpoint in {path} has results below {results_dir}: train, run the test scripts, or give "
            "one checkpoint with CKPT_PATH."
        )
    if len({(found[file].list_fingerprint, found[file].about.get("crops")) for file in aurocs}) > 1:
        raise InputError(
            f"the checkpoints in {path} were tested with different validation lists or crops, so none of "
            "them is the best; give one with CKPT_PATH."
        )
    best = max(aurocs, key=aurocs.get)
    print(f"Mean AUROC on the validation list of the checkpoints in {path}")
    for file in found:
        auroc = f"{aurocs[file]:.4f}" if file in aurocs else "not tested"
        print(f"  {file.name:20} {auroc}{'  <- best' if file == best else ''}")
    return best
