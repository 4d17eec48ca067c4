"""Confusion counts at a threshold, and the metrics made of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cxr14.errors import InputError


@dataclass(frozen=True, eq=False)
class Confusion:
    """Counts of the four outcomes, in four arrays of one shape."""

    true_positives: np.ndarray
    false_positives: np.ndarray
    false_negatives: np.ndarray
    true_negatives: np.ndarray

    def mapped(self, function: Callable[[np.ndarray], np.ndarray]) -> "Confusion":
        """Return the four counts after applying one function, such as a sum, to each."""
        counts = (self.true_positives, self.false_positives, self.false_negatives, self.true_negatives)
        return Confusion(*(function(count) for count in counts))

    @property
    def accuracy(self) -> np.ndarray:
        """Share of correct decisions."""
        correct = self.true_positives + self.true_negatives
        return ratio(correct, correct + self.false_positives + self.false_negatives)

    @property
    def f1(self) -> np.ndarray:
        """2 TP / (2 TP + FP + FN), the harmonic mean of precision and sensitivity; NaN without positives.

        With positives of which none is found it is 0, as in scikit-learn. Without positives scikit-learn
        returns 0 if a radiograph is called positive.
        """
        errors = self.false_positives + self.false_negatives
        f1 = ratio(2 * self.true_positives, 2 * self.true_positives + errors)
        return np.where(self.true_positives + self.false_negatives > 0, f1, np.nan)

    @property
    def sensitivity(self) -> np.ndarray:
        """True-positive rate; NaN without positives."""
        return ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> np.ndarray:
        """True-negative rate; NaN without negatives."""
        return ratio(self.true_negatives, self.true_negatives + self.false_positives)


def outcomes(labels: np.ndarray, probabilities: np.ndarray, thresholds: float | np.ndarray) -> Confusion:
    """Return the outcome of every decision; a probability at or above the threshold is positive.

    Args:
        labels: (N, F), 0 or 1.
        probabilities: (N, F), 0 to 1.
        thresholds: one for all findings, or (F,); NaN makes all outcomes of a finding NaN.

    Returns:
        Four arrays (N, F), of which one is 1 and three are 0.
    """
    positive, probabilities = checked(labels, probabilities)
    # A bare float would be rounded to the probabilities' float32 before it is compared.
    thresholds = np.broadcast_to(np.asarray(thresholds, dtype=np.float64), positive.shape[1:])
    decided = probabilities >= thresholds
    each = Confusion(decided & positive, decided & ~positive, ~decided & positive, ~decided & ~positive)
    return each.mapped(lambda outcome: np.where(np.isnan(thresholds), np.float32(np.nan), outcome))


def confusion(labels: np.ndarray, probabilities: np.ndarray, thresholds: float | np.ndarray) -> Confusion:
    """Count the outcomes of each finding, (F,) each; arguments as in `outcomes`."""
    each = outcomes(labels, probabilities, thresholds)
    return each.mapped(lambda outcome: outcome.sum(axis=0, dtype=np.float64))


def checked(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as (N, F) bool and scores as (N, F) floats after checking both.

    Args:
        labels: (N, F), 0 or 1.
        scores: (N, F), any finite numbers; a greater one makes the finding more likely.

    Raises:
        ValueError: the shapes differ or are not two-dimensional, or there is no row.
        InputError: a label is neither 0 nor 1, or a score is not a finite number.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.ndim != 2 or labels.shape != scores.shape or not len(labels):
        raise ValueError(f"labels {labels.shape} and scores {scores.shape} must both be (N, F) with N > 0")
    positive = labels == 1
    if not np.all(positive | (labels == 0)):
        raise InputError(
            "a label is neither 0 nor 1; make the image list again with ChestX-ray14/prepare.py."
        )
    if not np.all(np.isfinite(scores)):
        raise InputError(
            "a prediction is not a finite number; the checkpoint comes from a training that diverged."
        )
    return positive, scores if scores.dtype.kind == "f" else scores.astype(np.float64)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole in float64, NaN where the whole is 0 or NaN; both of one shape."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole > 0)
