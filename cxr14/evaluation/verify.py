"""The entry of verify-results.py: saved results are tested again."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from cxr14.data.image_lists import ImageList, read_list
from cxr14.data.images import ImageSource, open_images
from cxr14.data.kinds import KINDS
from cxr14.data.preload import preload
from cxr14.errors import InputError
from cxr14.evaluation import inference, metrics
from cxr14.evaluation.predictions import PREDICTIONS_FILE, TEST, VALIDATION, Predictions
from cxr14.evaluation.results import METRICS_FILE, Results, find_contradictions, read_metrics
from cxr14.files import find_files
from cxr14.models import checkpoint, profile
from cxr14.models.checkpoint import Checkpoint
from cxr14.runtime import devices
from cxr14.runtime.distributed import ProcessGroup
from cxr14.runtime.threads import use_threads
from cxr14.settings import PREVIOUS_SNAPSHOT, SNAPSHOT, VerifySettings

CPU_TOLERANCE = 1e-4
"""Largest difference of a logit z, relative to max(1, |z|), between two tests on CPUs. The batch size, the
number of threads and the memory layout change the order of sums, which moved logits of trained networks by up
to 6e-6; rounding to TF32 moved them by 6e-3 (benchmarks/tolerance.py, two cores of an Intel Xeon)."""
GPU_TOLERANCE = 1e-3
"""The same where a GPU is one of the two. Scoring turns TF32 off, so that only the order of sums differs. Not
measured on a GPU yet; a sixth of what TF32 would give, so that TF32 is never accepted."""

LOGIT, SAVED, AGAIN, LARGEST, REPRODUCED = (
    "logits differ by",
    "AUROC saved",
    "AUROC again",
    "metrics differ by",
    "reproduced",
)
_DIGITS = 12  # of a hash, in messages
_CHECKPOINT_NAMES = ("*.pth", "*.pth.tar", "*.pt", "*.safetensors")


@dataclass(frozen=True)
class Saved:
    """Results of one test, and the checkpoint with the weights that were tested."""

    folder: Path
    results: Results
    table: pd.DataFrame
    """The table of metrics that was saved."""
    ckpt_path: Path


def verify(settings: VerifySettings) -> None:
    """Test the checkpoint of every saved result again; exit with status 1 if one is not reproduced.

    Raises:
        InputError: results, checkpoints, lists or radiographs cannot be used.
    """
    sys.exit(0 if _verify_all(settings) else 1)


def _verify_all(settings: VerifySettings) -> bool:
    # Everything is read before the first network runs.
    lists = {VALIDATION: read_list(settings.val_image_list), TEST: read_list(settings.test_image_list)}
    images = open_images(preload(settings.data_dir, settings.preload))
    found = find_results(settings.results_dir, settings.ckpt_path, lists)
    use_threads(settings.threads)
    group = ProcessGroup(devices.choose(settings.device))
    verdicts = [_verify_one(saved, lists, images, settings, group) for saved in found]
    print(f"\n{sum(verdicts)} of {len(verdicts)} results are reproduced.")
    return all(verdicts)


def find_results(results_dir: Path, ckpt_path: Path, lists: dict[str, ImageList]) -> list[Saved]:
    """Find all results below a folder, and the checkpoint of each by the hash of its weights.

    Args:
        results_dir: where to search, at any depth.
        ckpt_path: a checkpoint, or a folder with checkpoints in it or in its folders.
        lists: the image list of each split.

    Raises:
        InputError: there are no results, a file is missing or damaged, the results are for other lists, or a
            checkpoint is not found.
    """
    paths = find_files(results_dir, PREDICTIONS_FILE.format(split=TEST))
    if not paths:
        raise InputError(f"there are no predictions below {results_dir}; run a stage's test script first.")
    loaded = []
    for path in paths:
        results = Results.load(path.parent)
        for split, predictions in ((VALIDATION, results.val), (TEST, results.test)):
            image_list = lists[split]
            if predictions.list_fingerprint != image_list.fingerprint:
                raise InputError(
                    f"the results in {path.parent} are for another {split} list than "
                    f"{image_list.path} (fingerprints {_short(predictions.list_fingerprint)} and "
                    f"{_short(image_list.fingerprint)}); give that list."
                )
        loaded.append((path.parent, results, read_metrics(path.with_name(METRICS_FILE))))
    wanted = {results.test.weights_hash for _, results, _ in loaded}
    found = _find_checkpoints(ckpt_path, wanted)
    for folder, results, _ in loaded:
        if results.test.weights_hash not in found:
            raise InputError(
                f"no checkpoint {'is' if ckpt_path.is_file() else 'in'} {ckpt_path} has the weights behind "
                f"{folder} (hash {_short(results.test.weights_hash)}); give its checkpoint with CKPT_PATH, "
                "or run the test script again."
            )
    return [
        Saved(folder, results, table, found[results.test.weights_hash]) for folder, results, table in loaded
    ]


def compare(saved: Predictions, again: Predictions, thresholds: np.ndarray, tolerance: float) -> pd.DataFrame:
    """Compare saved predictions with those of a second test, finding by finding.

    The verdict rests on the logits: all metrics follow from them. How far a metric moves with logits that
    differ within the tolerance depends on how many radiographs lie side by side, so it is shown but not
    judged.

    Args:
        saved, again: predictions for the same radiographs.
        thresholds: (F,) operating thresholds, 0 to 1.
        tolerance: largest difference of a logit z, relative to max(1, |z|).

    Returns:
        A row for each finding: largest difference of a logit, both AUROCs, largest difference of any metric
        in `metrics.table`, and whether the logits agree.
    """
    scale = np.maximum(1, np.abs(again.logits))
    logit = (np.abs(saved.logits - again.logits) / scale).max(axis=0)
    before, now = (
        metrics.table(again.labels, predictions.probabilities, thresholds, again.findings)
        for predictions in (saved, again)
    )
    return pd.DataFrame(
        {
            LOGIT: logit,
            SAVED: before[metrics.AUROC],
            AGAIN: now[metrics.AUROC],
            LARGEST: (before - now).abs().max(axis=1),
            REPRODUCED: logit <= tolerance,
        },
        index=before.index,
    )


def tolerance_of(device_type: object, again: str) -> float:
    """Return the tolerance for two tests.

    Args:
        device_type: type of the device of the first test, such as "cpu".
        again: that of the second.
    """
    return CPU_TOLERANCE if device_type == again == "cpu" else GPU_TOLERANCE


def _verify_one(
    saved: Saved,
    lists: dict[str, ImageList],
    images: ImageSource,
    settings: VerifySettings,
    group: ProcessGroup,
) -> bool:
    results, points = saved.results, saved.results.points
    teacher = f" taught by {points.teacher}" if points.teacher else ""
    print(f"\n{saved.folder}: {points.network}{teacher}, {saved.ckpt_path}")
    contradictions = find_contradictions(results, saved.table)
    model, tested = checkpoint.load(saved.ckpt_path, points.network)
    contradictions += _differences_from_sources(results, model, tested, lists)
    if contradictions:
        print(f"NOT reproduced: the files contradict one another in {'; '.join(contradictions)}.")
        return False
    if np.isnan(saved.table[metrics.AUROC].to_numpy(dtype=float)).all():
        print("NOT reproduced: no finding has both classes in the test list, so there is nothing to compare.")
        return False
    return _test_again(saved, devices.place(model, group.device), tested, lists, images, settings, group)


def _test_again(
    saved: Saved,
    model: nn.Module,
    tested: Checkpoint,
    lists: dict[str, ImageList],
    images: ImageSource,
    settings: VerifySettings,
    group: ProcessGroup,
) -> bool:
    points, about = saved.results.points, saved.results.test.about
    tolerance = tolerance_of(about.get("device_type"), group.device.type)
    before, now = about.get("device", "an unknown device"), devices.describe(group.device)
    print(
        f"{points.crops} crops; first tested on {before}, again on {now}: a logit z may differ by "
        f"{tolerance:g} max(1, |z|)"
    )
    failed = []
    for predictions in (saved.results.val, saved.results.test):
        again = inference.predict_list(
            model,
            tested,
            lists[predictions.split],
            images,
            group,
            split=predictions.split,
            crops=points.crops,
            batch_size=settings.batch_size,
            num_workers=settings.num_workers,
        )
        table = compare(predictions, again, np.array(points.thresholds), tolerance)
        failed += [f"{finding} ({predictions.split} list)" for finding in table.index[~table[REPRODUCED]]]
        counted = KINDS[lists[predictions.split].kind].counted(len(again.names))
        print(f"The {predictions.split} list, {counted}:")
        formats = {
            LOGIT: "{:.1e}".format,
            LARGEST: "{:.1e}".format,
            REPRODUCED: lambda value: "yes" if value else "NO",
        }
        print(table.to_string(float_format="{:.6f}".format, formatters=formats))
    print(f"NOT reproduced: {', '.join(failed)}." if failed else "Reproduced.")
    return not failed


def _differences_from_sources(
    results: Results, model: nn.Module, tested: Checkpoint, lists: dict[str, ImageList]
) -> list[str]:
    """Return in what the saved files differ from the image lists and the checkpoint behind them."""
    found = []
    for split, predictions in ((VALIDATION, results.val), (TEST, results.test)):
        for name in ("names", "patients", "labels"):
            if not np.array_equal(getattr(predictions, name), np.array(getattr(lists[split], name))):
                found.append(f"{name} of the {split} list")
    about, facts = tested.about, results.test.about
    for name, value in (
        ("kind", lists[TEST].kind),
        ("image_size", about.image_size),
        ("seed", about.seed),
        ("epoch", about.epoch),
        ("splits", about.splits),
        ("settings", about.settings),
        ("parameters", profile.total_parameters(model)),
        ("macs", profile.macs(model, about.image_size)),
    ):
        if name not in facts or facts[name] != value:
            found.append(name.replace("_", " "))
    if results.points.teacher != about.teacher:
        found.append("teacher")
    # A published file is known by its name, which may have changed since.
    if bool(results.points.unknown_origin) != bool(tested.provenance.unknown):
        found.append("unknown origin")
    return found


def _find_checkpoints(path: Path, wanted: set[str]) -> dict[str, Path]:
    """Return files by the hash of their weights, for all hashes in `wanted` that are found."""
    if not path.exists():
        raise InputError(f"there is no checkpoint and no folder {path}; set CKPT_PATH to where they are.")
    found: dict[str, Path] = {}
    for candidate in [path] if path.is_file() else _candidates(path):
        if wanted <= found.keys():
            break
        try:
            weights = checkpoint.read_weights(candidate)
        except InputError:
            if path.is_file():
                raise
            continue  # a file of another kind
        found.setdefault(checkpoint.hash_weights(weights), candidate)
    return found


def _candidates(folder: Path) -> Iterator[Path]:
    for pattern in _CHECKPOINT_NAMES:
        for path in sorted([*folder.glob(pattern), *folder.glob(f"*/{pattern}")]):
            if not path.name.endswith((SNAPSHOT, PREVIOUS_SNAPSHOT)):
                yield path


def _short(digits: str) -> str:
    return f"{digits[:_DIGITS]}…"
