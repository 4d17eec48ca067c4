"""ROC and precision-recall curves with no more points than an eye can tell apart."""

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

MOST_POINTS = 200


def roc(labels: np.ndarray, scores: np.ndarray, most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Return the ROC curve of one finding.

    Args:
        labels: (N,), 0 or 1, both present.
        scores: (N,), any finite numbers.
        most: of the curve's points that are kept.

    Returns:
        False positive rate and true positive rate, up to (most,) each, from (0, 0) to (1, 1).
    """
    false_rate, true_rate, _ = roc_curve(labels, scores)
    return thinned(false_rate, true_rate, most)


def precision_recall(
    labels: np.ndarray, scores: np.ndarray, most: int = MOST_POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision of one finding, recall rising; arguments as in `roc`."""
    precision, recall, _ = precision_recall_curve(labels, scores, drop_intermediate=True)
    return thinned(recall[::-1], precision[::-1], most)


def thinned(x: np.ndarray, y: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `most` of a curve's points, evenly along its way, both ends among them.

    Args:
        x, y: (P,) each, 0 to 1.
        most: 2 or more.
    """
    if len(x) <= most:
        return x, y
    way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(way, np.linspace(0, way[-1], most)).clip(0, len(x) - 1))
    kept[-1] = len(x) - 1
    return x[kept], y[kept]
