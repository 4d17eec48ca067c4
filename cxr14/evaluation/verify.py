"""Do saved figures come out again: the checkpoint behind each result is asked about its list once more."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxr14.data.image_lists import ImageList, read_list
from cxr14.data.images import ImageSource, open_images
from cxr14.data.kinds import KINDS
from cxr14.errors import InputError
from cxr14.evaluation import metrics
from cxr14.evaluation.predictions import PREDICTIONS_FILE, TEST, Predictions
from cxr14.evaluation.scoring import METRICS_FILE, Scorer
from cxr14.files import fingerprint
from cxr14.models import checkpoint
from cxr14.runtime import devices
from cxr14.runtime.distributed import ProcessGroup
from cxr14.runtime.threads import use_threads
from cxr14.settings import TestSettings, VerifySettings

SAME_DEVICE = 1e-6
"""Most that an AUROC may differ on the device it was measured on. At worst the same numbers are added in
another order there, which moves a logit by about 1e-6: hardly ever enough for two radiographs to change rank.
Measured with other batch sizes and numbers of threads on a CPU: no difference at all."""
OTHER_DEVICE = 2e-3
"""Most that it may differ on another device. A GPU computes in bfloat16, with 8 bits of precision where a CPU
has 24: a logit may move by hundredths, and radiographs that lie so near change rank. It is a quarter of the
0.008 below which the AUROCs of two unpaired runs are hardly told apart."""

SAVED, TABLED, AGAIN, DIFFERENCE, COMES_OUT = "predictions", METRICS_FILE, "again", "difference", "comes out"
MEAN = "mean"
_FINGERPRINT_SHOWN = 12


@dataclass(frozen=True)
class Result:
    """What a test script left, and the checkpoint that it tested."""

    folder: Path
    saved: Predictions
    tabled: np.ndarray | None
    """(F,) the AUROCs of metrics.csv; None where there is no such file."""
    ckpt_path: Path

    @property
    def crops(self) -> int:
        """How many crops of each radiograph were averaged."""
        return self.saved.about["crops"]


def verify(settings: VerifySettings) -> None:
    """Score every saved result again: what verify-results.py does; exit status 1 if a figure differs.

    Raises:
        InputError: results, checkpoints, lists or radiographs cannot be used.
    """
    sys.exit(0 if _all_verified(settings) else 1)


def _all_verified(settings: VerifySettings) -> bool:
    # All that can be wrong with the input is found before the first network is asked.
    test, images = read_list(settings.test_image_list), open_images(settings.data_dir)
    results = find_results(settings.results_dir, settings.ckpt_path, test)
    use_threads(settings.threads)
    group = ProcessGroup(devices.choose(settings.device))
    verdicts = [_verified(result, test, images, settings, group) for result in results]
    print(f"\n{sum(verdicts)} of {len(verdicts)} results come out again.")
    return all(verdicts)


def find_results(results_dir: Path, ckpt_path: Path, test: ImageList) -> list[Result]:
    """Find the predictions below a folder, and the checkpoint behind each.

    Args:
        results_dir: where to look, at any depth.
        ckpt_path: a checkpoint, or a folder with checkpoints in it or one folder below.
        test: the list that has been scored.

    Raises:
        InputError: nothing is there, predictions are of another list, or their checkpoint is not to be found.
    """
    paths = sorted(results_dir.rglob(PREDICTIONS_FILE.format(split=TEST)))
    if not paths:
        raise InputError(f"there are no predictions below {results_dir}; run a stage's test script first.")
    checkpoints = _checkpoints(ckpt_path)
    results = []
    for path in paths:
        saved = Predictions.load(path)
        if saved.list_fingerprint != test.fingerprint:
            raise InputError(
                f"{path} was made on another image list than {test.path} (fingerprints "
                f"{_short(saved.list_fingerprint)} and {_short(test.fingerprint)}); give that list."
            )
        if saved.checkpoint_fingerprint not in checkpoints:
            raise InputError(
                f"the checkpoint behind {path} (fingerprint {_short(saved.checkpoint_fingerprint)}) is not "
                f"{'' if ckpt_path.is_file() else 'in '}{ckpt_path}: trained or tested again since, its file "
                "is another one; give the old one, or run the test script again."
            )
        if saved.about.get("crops") not in (1, 10):
            raise InputError(
                f"{path} does not say from how many crops it was made; test the checkpoint again."
            )
        table = path.with_name(METRICS_FILE)
        tabled = _tabled(table, saved.findings) if table.is_file() else None
        results.append(Result(path.parent, saved, tabled, checkpoints[saved.checkpoint_fingerprint]))
    return results


def compare(
    saved: Predictions, again: Predictions, tolerance: float, tabled: np.ndarray | None = None
) -> pd.DataFrame:
    """Say of each finding's AUROC, and of their mean, whether it comes out again.

    Args:
        saved: what the test script kept.
        again: the same checkpoint's answers to the same list.
        tolerance: most that a figure may differ, 0 to 1.
        tabled: (F,) AUROCs that stand in a table beside the predictions; they have to come out as well.

    Returns:
        A row a finding, then their mean: each figure, the largest difference from the one that came out
        again, and whether that is within the tolerance. A figure that is undefined has to stay so.
    """
    columns = {} if tabled is None else {TABLED: tabled}
    columns[SAVED] = metrics.auroc(saved.labels, saved.probabilities)
    columns[AGAIN] = metrics.auroc(again.labels, again.probabilities)
    columns = {name: [*values, metrics.macro(values)[0]] for name, values in columns.items()}
    table = pd.DataFrame(columns, index=pd.Index([*saved.findings, MEAN], name="finding"))
    kept = table.drop(columns=AGAIN)
    apart = kept.sub(table[AGAIN], axis=0).abs()
    as_undefined = kept.isna().eq(table[AGAIN].isna(), axis=0)
    table[DIFFERENCE] = apart.max(axis=1)
    table[COMES_OUT] = ((apart <= tolerance) | (kept.isna() & as_undefined)).all(axis=1)
    return table


def _verified(
    result: Result, test: ImageList, images: ImageSource, settings: VerifySettings, group: ProcessGroup
) -> bool:
    saved = result.saved
    asked_as = TestSettings(
        data_dir=settings.data_dir,
        ckpt_path=result.ckpt_path,
        batch_size=settings.batch_size,
        num_workers=settings.num_workers,
        device=settings.device,
        test_image_list=settings.test_image_list,
        val_image_list=settings.test_image_list,  # not looked at: nothing is chosen here
        results_dir=result.folder,
        crops=result.crops,
    )
    model, held = checkpoint.load(result.ckpt_path, saved.network)
    model = devices.place(model, group.device)
    again = Scorer(model, images, held, asked_as, group)(test, TEST)
    before, now = saved.about.get("device", "an unknown device"), devices.describe(group.device)
    tolerance = SAME_DEVICE if before == now else OTHER_DEVICE
    table = compare(saved, again, tolerance, result.tabled)
    taught = f" taught by {saved.teacher}" if saved.teacher else ""
    print(f"\n{result.folder}: {saved.network}{taught}, {result.ckpt_path}")
    print(
        f"{KINDS[test.kind].counted(len(test))}, {result.crops} crops; measured on {before}, again on {now}: "
        f"AUROC may differ by {tolerance:g}"
    )
    formats = {DIFFERENCE: "{:.1e}".format, COMES_OUT: lambda right: "yes" if right else "NO"}
    print(table.to_string(float_format="{:.6f}".format, formatters=formats))
    print(f"Logits differ by {np.abs(saved.logits - again.logits).max():.1e} at most.")
    failed = table.index[~table[COMES_OUT]]
    print(f"Does NOT come out again: {', '.join(failed)}." if len(failed) else "Comes out again.")
    return not len(failed)


def _checkpoints(path: Path) -> dict[str, Path]:
    """The files that may be a checkpoint, by their fingerprints."""
    if path.is_file():
        return {fingerprint(path): path}
    if not path.is_dir():
        raise InputError(f"there is no checkpoint and no folder {path}; say with CKPT_PATH where they are.")
    found = sorted({*path.glob("*.pth"), *path.glob("*/*.pth")}, reverse=True)
    return {fingerprint(file): file for file in found}


def _tabled(path: Path, findings: Sequence[str]) -> np.ndarray:
    try:
        table = pd.read_csv(path, index_col="finding")
        return table.loc[list(findings), metrics.AUROC].to_numpy(dtype=np.float64)
    except (KeyError, ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is not the table that a test script writes ({error}); run the test script again."
        ) from None


def _short(digits: str) -> str:
    return f"{digits[:_FINGERPRINT_SHOWN]}…"
