"""Results of a test on disk, and the check that they agree."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from cxr14.data.provenance import MAY_HAVE_SEEN_TEST_PATIENTS
from cxr14.errors import InputError
from cxr14.evaluation import calibration, metrics
from cxr14.evaluation.calibration import Calibration
from cxr14.evaluation.operating_points import OPERATING_POINTS_FILE, OperatingPoints
from cxr14.evaluation.predictions import PREDICTIONS_FILE, TEST, VALIDATION, Predictions
from cxr14.files import atomic_write
from cxr14.settings import Rule

METRICS_FILE = "metrics.csv"
WARNING = "warning"
"""Column of the table of metrics that marks weights whose training patients are not known."""

# What a file holds is computed again from other files by the same operations. Their order may differ between
# versions of numpy, which moves a double by some 1e-16; the fit of a calibration ends within its tolerance.
_TABLE_TOLERANCE = 1e-9
_CALIBRATION_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Results:
    """Results of one test."""

    val: Predictions
    test: Predictions
    points: OperatingPoints

    def save(self, folder: Path) -> None:
        """Write four files: both predictions, operating points, and the table of metrics.

        Raises:
            InputError: a file cannot be written.
        """
        # The report looks for the predictions of the test list, so they are written last.
        self.points.save(folder / OPERATING_POINTS_FILE)
        with atomic_write(folder / METRICS_FILE) as aside:
            metrics_table(self.test, self.points).to_csv(aside)
        self.val.save(folder / PREDICTIONS_FILE.format(split=VALIDATION))
        self.test.save(folder / PREDICTIONS_FILE.format(split=TEST))

    @classmethod
    def load(cls, folder: Path) -> "Results":
        """Read what `save` wrote, except for the table of metrics.

        Raises:
            InputError: a file is missing, damaged, or of another format.
        """
        return cls(
            Predictions.load(folder / PREDICTIONS_FILE.format(split=VALIDATION)),
            Predictions.load(folder / PREDICTIONS_FILE.format(split=TEST)),
            OperatingPoints.load(folder / OPERATING_POINTS_FILE),
        )


def choose_operating_points(
    val: Predictions, rule: Rule, target: float | None, crops: int
) -> OperatingPoints:
    """Return thresholds and calibration, both fitted on the validation list.

    Args:
        val: predictions for the validation list.
        rule, target: as in `calibration.choose_thresholds`.
        crops: crops that the predictions were averaged over.

    Raises:
        InputError: the predictions are for another list than validation, or rule and target do not fit.
    """
    return OperatingPoints(
        network=val.network,
        teacher=val.teacher,
        weights_hash=val.weights_hash,
        val_list_fingerprint=val.list_fingerprint,
        crops=crops,
        threshold_rule=rule,
        target_sensitivity=target,
        findings=val.findings,
        thresholds=tuple(calibration.choose_thresholds(val, rule, target).tolist()),
        calibrations=calibration.fit_calibrations(val),
        unknown_origin=tuple(val.about.get("unknown_origin", ())),
    )


def metrics_table(test: Predictions, points: OperatingPoints) -> pd.DataFrame:
    """Return `metrics.table` at 0.5 and at the operating points, with a column `WARNING` where one is due."""
    table = metrics.table(test.labels, test.probabilities, np.array(points.thresholds), test.findings)
    if points.unknown_origin:
        table[WARNING] = MAY_HAVE_SEEN_TEST_PATIENTS
    return table


def read_metrics(path: Path) -> pd.DataFrame:
    """Read a table of metrics as a test script writes it.

    Raises:
        InputError: the file is missing, or no such table.
    """
    if not path.is_file():
        raise InputError(f"there is no table of metrics at {path}; run the stage's test script again.")
    try:
        return pd.read_csv(path, index_col="finding")
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} is not the table that a test script writes ({error}); run the test script again."
        ) from None


def find_contradictions(results: Results, table: pd.DataFrame) -> list[str]:
    """Return what contradicts itself among the files of one test, each as a short text.

    Thresholds, calibration and every metric are computed again from the saved predictions.

    Args:
        results: predictions and operating points.
        table: the table of metrics beside them.
    """
    val, test, points = results.val, results.test, results.points
    found = _conflicting_facts(val, test, points)
    for predictions in (val, test):
        if not np.allclose(predictions.probabilities, expit(predictions.logits), rtol=0, atol=1e-9):
            found.append(f"probabilities and logits of the {predictions.split} list")
    if found:
        return found  # what follows could not be computed, or would repeat the same fault
    chosen = choose_operating_points(val, points.threshold_rule, points.target_sensitivity, points.crops)
    if not np.array_equal(chosen.thresholds, points.thresholds, equal_nan=True):
        found.append(f"thresholds in {OPERATING_POINTS_FILE}")
    pairs = zip(points.calibrations, chosen.calibrations, strict=True)
    if not all(_same_calibration(saved, fitted) for saved, fitted in pairs):
        found.append(f"calibration in {OPERATING_POINTS_FILE}")
    return found + [f"{name} in {METRICS_FILE}" for name in _differing(table, metrics_table(test, points))]


def _conflicting_facts(val: Predictions, test: Predictions, points: OperatingPoints) -> list[str]:
    found = []
    if (val.split, test.split) != (VALIDATION, TEST):
        found.append("split")
    for name in ("network", "teacher", "weights_hash", "findings"):
        if len({getattr(part, name) for part in (val, test, points)}) > 1:
            found.append(name.replace("_", " "))
    if val.list_fingerprint != points.val_list_fingerprint:
        found.append("fingerprint of the validation list")
    for name in ("crops", "threshold_rule", "target_sensitivity", "unknown_origin"):
        value = getattr(points, name)
        value = list(value) if isinstance(value, tuple) else value
        if any(name not in part.about or part.about[name] != value for part in (val, test)):
            found.append(name.replace("_", " "))
    # As text, because a NaN in the history is not equal to itself.
    if json.dumps(val.about) != json.dumps(test.about):
        found.append("facts about the run")
    return found


def _same_calibration(saved: Calibration, fitted: Calibration) -> bool:
    numbers = (saved.slope, saved.intercept), (fitted.slope, fitted.intercept)
    close = np.allclose(*numbers, rtol=_CALIBRATION_TOLERANCE, atol=_CALIBRATION_TOLERANCE)
    return saved.method == fitted.method and close


def _differing(table: pd.DataFrame, expected: pd.DataFrame) -> Sequence[str]:
    """Return the names of the columns whose values differ, or "rows" or "columns" where these do."""
    if list(table.index) != list(expected.index):
        return ["rows"]
    if list(table.columns) != list(expected.columns):
        return ["columns"]
    return [name for name in expected.columns if not _equal(table[name], expected[name])]


def _equal(column: pd.Series, expected: pd.Series) -> bool:
    if not pd.api.types.is_numeric_dtype(expected):
        return list(column) == list(expected)
    if not pd.api.types.is_numeric_dtype(column):
        return False
    return np.allclose(column, expected, rtol=0, atol=_TABLE_TOLERANCE, equal_nan=True)
