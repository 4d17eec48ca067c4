"""How sure a figure is: resampling of patients, drawn once and shared by all findings and all networks.

Radiographs of one patient resemble one another, so the patient is what is drawn, with replacement, and all
of a patient's radiographs come along. A resample is then a weight for each patient, a small integer, and a
weighted AUROC needs no second sort: the scores are sorted once, and all resamples pass through the same
sorted order.

    resamples = Resamples(patients)
    alone = bootstrap_auroc(labels, probabilities_alone, resamples)
    taught = bootstrap_auroc(labels, probabilities_taught, resamples)
    alone.interval(), alone.macro().interval()
    paired_difference(taught.macro(), alone.macro())
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array

from cxr14.evaluation import metrics
from cxr14.evaluation.confusion import checked, confusion, outcomes
from cxr14.settings import RESAMPLES

LEVEL = 0.95

LEAST_DEFINED = 0.2
"""Share of the resamples that must hold both classes of a finding: below it, no interval is told."""

# Weights of all patients in this many resamples stay in a processor's cache: 2,797 patients, 0.7 MB.
_BATCH = 64


class Interval(NamedTuple):
    """A figure and its confidence interval; three numbers, or three arrays (F,). NaN where undefined."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Difference(NamedTuple):
    """What one network has over another, its interval, and how often chance alone would give as much."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_value: np.ndarray


class Resamples:
    """Draws of as many patients as there are, with replacement.

    The draw depends on the seed and on who the patients are, not on the order of their radiographs, the
    finding or the network: figures made with equal resamples are paired.

    Args:
        patients: (N,) the patient of each radiograph: numbers or strings.
        count: how many draws.
        seed: fixes them.
    """

    def __init__(self, patients: np.ndarray, count: int = RESAMPLES, seed: int = 0) -> None:
        known, self.patient = np.unique(np.asarray(patients), return_inverse=True)
        draw = np.random.default_rng(seed)
        people = len(known)
        # float32 holds integers up to 2**24 exactly, and no weight summed over a list comes near.
        self.weights = np.empty((people, count), dtype=np.float32)
        for start in range(0, count, _BATCH):
            size = min(_BATCH, count - start)
            drawn = draw.integers(people, size=(size, people)) + people * np.arange(size)[:, None]
            times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
            self.weights[:, start : start + size] = times.T

    def same_as(self, other: "Resamples") -> bool:
        """Return whether both drew the same patients for the same radiographs."""
        return self is other or (
            np.array_equal(self.patient, other.patient) and np.array_equal(self.weights, other.weights)
        )

    def batches(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield which resamples, and the (patients, batch) weights in them."""
        for start in range(0, self.weights.shape[1], _BATCH):
            which = slice(start, start + _BATCH)
            yield which, np.ascontiguousarray(self.weights[:, which])


@dataclass(frozen=True, eq=False)
class Bootstrapped:
    """A figure on the list itself and on every resample of it."""

    values: np.ndarray
    """(F,), or () for a mean; NaN where undefined."""
    draws: np.ndarray
    """(R, F), or (R,) for a mean; NaN where a resample lost one of the two classes."""
    resamples: Resamples

    def macro(self) -> "Bootstrapped":
        """Return the mean over the findings that are defined on the list.

        A resample that lost one of these findings has no mean: an average over fewer would be another figure.
        """
        defined = ~np.isnan(self.values)
        mean = self.draws[:, defined].mean(axis=1) if defined.any() else np.full(len(self.draws), np.nan)
        return Bootstrapped(np.float64(metrics.macro(self.values)[0]), mean, self.resamples)

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the percentile interval (Efron and Tibshirani 1993, chapter 13).

        Args:
            level: share of the draws between its ends, 0 to 1.
        """
        tail = (1 - level) / 2
        low, high = _over_draws(lambda draws: np.quantile(draws, (tail, 1 - tail)), self)
        return Interval(self.values, low, high)


def bootstrap_auroc(labels: np.ndarray, scores: np.ndarray, resamples: Resamples) -> Bootstrapped:
    """Return the AUROC of each finding on the list and on every resample of its patients.

    Args:
        labels: (N, F), 0 or 1.
        scores: (N, F), any finite numbers.
        resamples: of the N radiographs' patients.

    Raises:
        ValueError: the resamples are those of another number of radiographs.
    """
    return _bootstrap(labels, scores, resamples, metrics.auroc, _auroc_of_steps, ("left", "right"))


def bootstrap_average_precision(labels: np.ndarray, scores: np.ndarray, resamples: Resamples) -> Bootstrapped:
    """Return the average precision of each finding; arguments as in `bootstrap_auroc`."""
    return _bootstrap(
        labels, scores, resamples, metrics.average_precision, _precision_of_steps, ("right", "right")
    )


def bootstrap_decisions(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: float | np.ndarray, resamples: Resamples
) -> dict[str, Bootstrapped]:
    """Return accuracy, F1, sensitivity and specificity, by the names in `metrics.OF_DECISIONS`.

    The thresholds stay as they were chosen; that choosing them was a matter of chance too is left out.

    Args:
        labels: (N, F), 0 or 1.
        probabilities: (N, F), 0 to 1.
        thresholds: one for all findings, or (F,); NaN leaves a finding undefined.
        resamples: of the N radiographs' patients.

    Raises:
        ValueError: the resamples are those of another number of radiographs.
    """
    _require_fit(labels, resamples)
    people, rows = len(resamples.weights), len(resamples.patient)
    of_patient = _counts(resamples.patient, np.arange(rows), (people, rows))
    each = outcomes(labels, probabilities, thresholds)
    drawn = each.mapped(lambda outcome: resamples.weights.T @ (of_patient @ outcome))
    on_list = confusion(labels, probabilities, thresholds)
    return {
        name: Bootstrapped(getattr(on_list, figure), getattr(drawn, figure), resamples)
        for name, figure in metrics.OF_DECISIONS.items()
    }


def paired_difference(ours: Bootstrapped, theirs: Bootstrapped, level: float = LEVEL) -> Difference:
    """Return ours minus theirs, with its percentile interval and two-sided p-value.

    The p-value belongs to the interval: it is twice the smaller share of draws on either side of 0, 0
    counted on both, itself counted as a draw so that it is never 0 (Davison and Hinkley 1997, section 4.2),
    and at most 1.

    Args:
        ours, theirs: the same figure of two networks on equal resamples of one list, both or neither a mean.
        level: of the interval, 0 to 1.

    Raises:
        ValueError: the resamples differ, so that nothing is paired.
    """
    if ours.draws.shape != theirs.draws.shape or not ours.resamples.same_as(theirs.resamples):
        raise ValueError("a paired difference needs one figure of two networks on the same resamples")
    gap = Bootstrapped(ours.values - theirs.values, ours.draws - theirs.draws, ours.resamples)
    (p_value,) = _over_draws(_two_sided, gap, results=1)
    return Difference(*gap.interval(level), p_value)


def _two_sided(draws: np.ndarray) -> list[float]:
    fewer = min((draws <= 0).sum(), (draws >= 0).sum())
    return [min(1.0, 2 * (fewer + 1) / (len(draws) + 1))]


def _over_draws(
    figure: Callable[[np.ndarray], np.ndarray], bootstrapped: Bootstrapped, results: int = 2
) -> np.ndarray:
    """Apply `figure` to the defined draws of each column, or give NaN where they are too few to tell."""
    columns = bootstrapped.draws.reshape(len(bootstrapped.draws), -1)
    told = np.full((results, columns.shape[1]), np.nan)
    for column, value in enumerate(np.ravel(bootstrapped.values)):
        defined = columns[:, column][~np.isnan(columns[:, column])]
        if not np.isnan(value) and len(defined) >= LEAST_DEFINED * len(columns):
            told[:, column] = figure(defined)
    return told.reshape(results, *bootstrapped.values.shape)


def _require_fit(labels: np.ndarray, resamples: Resamples) -> None:
    if len(labels) != len(resamples.patient):
        raise ValueError(f"resamples of {len(resamples.patient)} radiographs do not fit {len(labels)} labels")


def _bootstrap(
    labels: np.ndarray,
    scores: np.ndarray,
    resamples: Resamples,
    metric: metrics.Metric,
    figure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    sides: tuple[str, str],
) -> Bootstrapped:
    _require_fit(labels, resamples)
    positive, scores = checked(labels, scores)
    values = metric(labels, scores)
    draws = np.full((resamples.weights.shape[1], positive.shape[1]), np.nan)
    for finding in np.flatnonzero(~np.isnan(values)):
        positives, passed = _steps(positive[:, finding], scores[:, finding], resamples, sides)
        for which, weights in resamples.batches():
            draws[which, finding] = figure(positives @ weights, np.cumsum(passed @ weights, axis=0))
    return Bootstrapped(values, draws, resamples)


def _steps(
    positive: np.ndarray, scores: np.ndarray, resamples: Resamples, sides: tuple[str, str]
) -> tuple[csr_array, csr_array]:
    """Return two matrices that turn patients' weights into weights at the K distinct scores of positives.

    The first, (K, patients): positives at each score. The second, (K + 1, patients), cumulated over its
    rows: twice the negatives that score less, or as much if a side is "left"; with one side each, a tie is
    counted half. Its last row is twice all negatives. Positives are few, so K is small, and only there is
    anything cumulated.
    """
    steps, at = np.unique(scores[positive], return_inverse=True)
    negatives = scores[~positive]
    from_step = np.concatenate([np.searchsorted(steps, negatives, side=side) for side in sides])
    patients = resamples.patient
    return (
        _counts(at, patients[positive], (len(steps), len(resamples.weights))),
        _counts(from_step, np.tile(patients[~positive], 2), (len(steps) + 1, len(resamples.weights))),
    )


def _counts(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> csr_array:
    return coo_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape).tocsr()


def _auroc_of_steps(found: np.ndarray, passed: np.ndarray) -> np.ndarray:
    wins = np.einsum("kr,kr->r", found, passed[:-1], dtype=np.float64)
    pairs = found.sum(axis=0, dtype=np.float64) * passed[-1]
    return np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def _precision_of_steps(found: np.ndarray, passed: np.ndarray) -> np.ndarray:
    all_found = found.sum(axis=0, dtype=np.float64)
    true = np.cumsum(found[::-1], axis=0, dtype=np.float64)[::-1]  # at or above each step
    false = (passed[-1] - passed[:-1]) / 2
    precision = np.divide(true, true + false, out=np.zeros_like(true), where=true > 0)
    defined = (all_found > 0) & (passed[-1] > 0)
    total = np.einsum("kr,kr->r", found, precision)
    return np.divide(total, all_found, out=np.full(len(total), np.nan), where=defined)
