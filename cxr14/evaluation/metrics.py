"""AUROC, average precision, calibration error and Brier score by finding.

In every array a column is a finding and a row a radiograph; the findings are independent binary questions. A
metric that is undefined because a class is missing is NaN, never 0 or 1, and a mean over findings comes with
the number of findings that it covers.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from cxr14.errors import InputError
from cxr14.evaluation.confusion import checked, confusion, ratio
from cxr14.findings import FINDINGS

STUDY_THRESHOLD = 0.5
"""Threshold of the study: a probability at or above it is a positive decision."""

CALIBRATION_BINS = 15
"""Guo et al. 2017, "On Calibration of Modern Neural Networks", section 5."""


def auroc(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the probability that a positive scores above a negative, ties counted half.

    Mann and Whitney 1947: (sum of the m positives' mid-ranks - m (m + 1) / 2) / (m n). Mid-ranks are halves
    of integers, so their sum is exact.

    Args:
        labels: (N, F), 0 or 1.
        scores: (N, F), any finite numbers: probabilities, logits.

    Returns:
        (F,), 0 to 1; NaN where a finding has one class only.
    """
    positive, scores = checked(labels, scores)
    positives = positive.sum(axis=0)
    rank_sums = np.where(positive, rankdata(scores, axis=0), 0.0).sum(axis=0)
    return ratio(rank_sums - positives * (positives + 1) / 2, positives * (len(positive) - positives))


def average_precision(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the precision averaged over the steps of recall, without interpolation.

    Sum over distinct scores, from the highest down, of (R_k - R_{k-1}) P_k: the definition of scikit-learn.

    Args:
        labels: (N, F), 0 or 1.
        scores: (N, F), any finite numbers.

    Returns:
        (F,), above 0, up to 1; NaN where a finding has one class only.
    """
    positive, scores = checked(labels, scores)
    values = np.full(positive.shape[1], np.nan)
    for finding in np.flatnonzero(_both_classes(positive)):
        order = np.argsort(-scores[:, finding], kind="stable")
        descending = scores[order, finding]
        ends = np.append(
            np.flatnonzero(descending[1:] != descending[:-1]), len(order) - 1
        )  # last of each tie
        found = positive[order, finding].cumsum()[ends]
        values[finding] = np.sum(np.diff(found, prepend=0) / found[-1] * (found / (ends + 1)))
    return values


def binned(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sums of radiographs, probabilities and positives in equal bins of probability.

    Args:
        labels: (N, F), 0 or 1.
        probabilities: (N, F), 0 to 1.
        bins: how many; each contains its lower edge, the last also its upper one.

    Returns:
        Three (bins, F): number of radiographs, sum of their probabilities, number of positives.

    Raises:
        InputError: a probability lies outside 0 to 1.
    """
    positive, probabilities = checked(labels, probabilities)
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise InputError("a probability lies outside 0 to 1; give probabilities, not logits.")
    findings = positive.shape[1]
    inner_edges = np.linspace(0, 1, bins + 1)[1:-1]
    cell = np.searchsorted(inner_edges, probabilities.astype(np.float64), side="right") * findings
    cell += np.arange(findings)
    sums = (
        np.bincount(cell.ravel(), weights=None if what is None else what.ravel(), minlength=bins * findings)
        for what in (None, probabilities, positive)
    )
    return tuple(total.reshape(bins, findings) for total in sums)


def expected_calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS
) -> np.ndarray:
    """Return the mean distance of predicted probability and observed frequency, over radiographs.

    Naeini et al. 2015, for one binary question: sum over bins of (n_b / N) |mean label - mean probability|.

    Args:
        labels: (N, F), 0 or 1.
        probabilities: (N, F), 0 to 1.
        bins: equal bins from 0 to 1.

    Returns:
        (F,), 0 to 1.
    """
    _, predicted, observed = binned(labels, probabilities, bins)
    return np.abs(observed - predicted).sum(axis=0) / len(labels)


def brier(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the mean square of probability minus label (Brier 1950).

    Args:
        labels: (N, F), 0 or 1.
        probabilities: (N, F), 0 to 1.

    Returns:
        (F,), 0 to 1.
    """
    positive, probabilities = checked(labels, probabilities)
    return np.mean((probabilities.astype(np.float64) - positive) ** 2, axis=0)


def macro(values: np.ndarray) -> tuple[float, int]:
    """Return the unweighted mean over the findings that are defined, and their number.

    Args:
        values: (F,), NaN where undefined.

    Returns:
        The mean, NaN if nothing is defined, and the number of findings that it covers.
    """
    defined = np.asarray(values, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    return (float(defined.mean()) if len(defined) else float("nan")), len(defined)


def weighted(values: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over the findings that are defined, each weighted by its positives.

    Args:
        values: (F,), NaN where undefined.
        labels: (N, F), 0 or 1.

    Returns:
        The mean; NaN if no finding is both defined and present.
    """
    return _weighted(np.asarray(values, dtype=np.float64), np.asarray(labels).sum(axis=0))


def undefined(values: np.ndarray, findings: Sequence[str] = FINDINGS) -> tuple[str, ...]:
    """Return the names of the findings that a mean over `values`, (F,), leaves out."""
    return tuple(name for name, value in zip(findings, values, strict=True) if np.isnan(value))


# The names in tables, files and plots, defined here only.
Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]
AUROC = "AUROC"
OF_PROBABILITIES: dict[str, Metric] = {
    AUROC: auroc,
    "average precision": average_precision,
    "expected calibration error": expected_calibration_error,
    "Brier score": brier,
}
OF_DECISIONS = {
    "accuracy": "accuracy",
    "F1": "f1",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}
AT_STUDY_THRESHOLD = f"at {STUDY_THRESHOLD}"
AT_OPERATING_THRESHOLD = "at the operating threshold"
POSITIVES, NEGATIVES, OPERATING_THRESHOLD = "positives", "negatives", "operating threshold"
MACRO, WEIGHTED, COVERED = "macro", "prevalence-weighted", "findings covered"


def table(
    labels: np.ndarray,
    probabilities: np.ndarray,
    thresholds: np.ndarray | None = None,
    findings: Sequence[str] = FINDINGS,
) -> pd.DataFrame:
    """Return every metric, a row a finding.

    Args:
        labels: (N, F), 0 or 1.
        probabilities: (N, F), 0 to 1.
        thresholds: (F,) operating thresholds, chosen on another split; None leaves their columns out.
        findings: names of the F findings.
    """
    positives = checked(labels, probabilities)[0].sum(axis=0)
    columns = {POSITIVES: positives, NEGATIVES: len(labels) - positives}
    columns |= {name: metric(labels, probabilities) for name, metric in OF_PROBABILITIES.items()}
    decisions = {AT_STUDY_THRESHOLD: STUDY_THRESHOLD}
    if thresholds is not None:
        columns[OPERATING_THRESHOLD] = np.asarray(thresholds, dtype=np.float64)
        decisions[AT_OPERATING_THRESHOLD] = thresholds
    for where, threshold in decisions.items():
        counts = confusion(labels, probabilities, threshold)
        columns |= {f"{name} {where}": getattr(counts, key) for name, key in OF_DECISIONS.items()}
    return pd.DataFrame(columns, index=pd.Index(list(findings), name="finding"))


def means(per_finding: pd.DataFrame) -> pd.DataFrame:
    """Return the macro mean, the prevalence-weighted mean and the number of findings covered of each metric.

    Args:
        per_finding: what `table` returns.
    """
    columns = per_finding.drop(columns=[POSITIVES, NEGATIVES, OPERATING_THRESHOLD], errors="ignore")
    weights = per_finding[POSITIVES].to_numpy()
    rows = {name: (*macro(values), _weighted(values.to_numpy(), weights)) for name, values in columns.items()}
    return pd.DataFrame(rows, index=[MACRO, COVERED, WEIGHTED]).loc[[MACRO, WEIGHTED, COVERED]]


def _both_classes(positive: np.ndarray) -> np.ndarray:
    return positive.any(axis=0) & ~positive.all(axis=0)


def _weighted(values: np.ndarray, positives: np.ndarray) -> float:
    weights = np.where(np.isnan(values), 0, positives)
    return float(np.average(np.nan_to_num(values), weights=weights)) if weights.any() else float("nan")
