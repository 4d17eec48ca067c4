"""Resamples of patients, and weighted metrics on all of them at once.

Radiographs of one patient resemble one another, so patients are resampled with replacement, each with all of
their radiographs. A resample is then a small integer weight for each patient, and a weighted AUROC needs no
second sort: the scores are sorted once, and all resamples pass through the same sorted order.
"""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.sparse import coo_array, csr_array

from cxr14.evaluation.confusion import Confusion, outcomes
from cxr14.settings import RESAMPLES

# The weights of all patients in this many resamples fit a processor's cache: 2,797 patients, 0.7 MB.
_BATCH = 64


class Resamples:
    """Draws of as many patients as there are, with replacement.

    The draw depends on the seed and on the set of patients, not on the order of their radiographs, the
    finding or the network: metrics made with equal resamples are paired.

    Args:
        patients: (N,) the patient of each radiograph: numbers or strings.
        count: number of resamples.
        seed: of the draw.
    """

    def __init__(self, patients: np.ndarray, count: int = RESAMPLES, seed: int = 0) -> None:
        names, self.patient = np.unique(np.asarray(patients), return_inverse=True)
        generator = np.random.default_rng(seed)
        people = len(names)
        # float32 represents integers up to 2**24 exactly; no sum of weights over a list comes near it.
        self.weights = np.empty((people, count), dtype=np.float32)
        for start in range(0, count, _BATCH):
            size = min(_BATCH, count - start)
            drawn = generator.integers(people, size=(size, people)) + people * np.arange(size)[:, None]
            times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
            self.weights[:, start : start + size] = times.T

    def same_as(self, other: "Resamples") -> bool:
        """Return whether both drew the same patients for the same radiographs."""
        return self is other or (
            np.array_equal(self.patient, other.patient) and np.array_equal(self.weights, other.weights)
        )

    def batches(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the indices of some resamples, and the (patients, batch) weights in them."""
        for start in range(0, self.weights.shape[1], _BATCH):
            which = slice(start, start + _BATCH)
            yield which, np.ascontiguousarray(self.weights[:, which])

    def require_rows(self, labels: np.ndarray) -> None:
        """Raise ValueError unless `labels` has a row for each radiograph of the resamples."""
        if len(labels) != len(self.patient):
            raise ValueError(f"resamples of {len(self.patient)} radiographs do not fit {len(labels)} labels")


def auroc_draws(positive: np.ndarray, scores: np.ndarray, resamples: Resamples) -> np.ndarray:
    """Return the AUROC of each finding on every resample, (R, F); NaN where a resample lost a class.

    Args:
        positive: (N, F) bool.
        scores: (N, F), any finite numbers.
        resamples: of the N radiographs' patients.
    """
    return _draws(positive, scores, resamples, _auroc_of_steps, ("left", "right"))


def average_precision_draws(positive: np.ndarray, scores: np.ndarray, resamples: Resamples) -> np.ndarray:
    """Return the average precision of each finding on every resample, (R, F); as `auroc_draws`."""
    return _draws(positive, scores, resamples, _precision_of_steps, ("right", "right"))


def confusion_draws(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: float | np.ndarray, resamples: Resamples
) -> Confusion:
    """Return the outcomes of each finding on every resample, (R, F) each; arguments as in `outcomes`."""
    people, rows = len(resamples.weights), len(resamples.patient)
    by_patient = _counts(resamples.patient, np.arange(rows), (people, rows))
    each = outcomes(labels, probabilities, thresholds)
    return each.mapped(lambda outcome: resamples.weights.T @ (by_patient @ outcome))


def _draws(
    positive: np.ndarray,
    scores: np.ndarray,
    resamples: Resamples,
    metric: Callable[[np.ndarray, np.ndarray], np.ndarray],
    sides: tuple[str, str],
) -> np.ndarray:
    draws = np.full((resamples.weights.shape[1], positive.shape[1]), np.nan)
    for finding in np.flatnonzero(positive.any(axis=0) & ~positive.all(axis=0)):
        positives, negatives = _steps(positive[:, finding], scores[:, finding], resamples, sides)
        for which, weights in resamples.batches():
            draws[which, finding] = metric(positives @ weights, np.cumsum(negatives @ weights, axis=0))
    return draws


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


def _auroc_of_steps(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    wins = np.einsum("kr,kr->r", positives, negatives[:-1], dtype=np.float64)
    pairs = positives.sum(axis=0, dtype=np.float64) * negatives[-1]
    return np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def _precision_of_steps(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    all_positives = positives.sum(axis=0, dtype=np.float64)
    true = np.cumsum(positives[::-1], axis=0, dtype=np.float64)[::-1]  # at or above each step
    false = (negatives[-1] - negatives[:-1]) / 2
    precision = np.divide(true, true + false, out=np.zeros_like(true), where=true > 0)
    defined = (all_positives > 0) & (negatives[-1] > 0)
    total = np.einsum("kr,kr->r", positives, precision)
    return np.divide(total, all_positives, out=np.full(len(total), np.nan), where=defined)
