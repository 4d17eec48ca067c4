"""Variance of an AUROC without resampling, and covariance of the AUROCs of networks on one list.

DeLong et al. 1988: an AUROC is the mean over positives of the share of negatives that each outscores, and
over negatives of the share of positives that outscore each; the spread of these shares is its variance. They
come from mid-ranks in O(N log N) (Sun and Xu 2014). DeLong takes radiographs for independent; with the
patients given, the shares are first summed by patient (Obuchowski 1997), which is DeLong again where each
patient has one radiograph.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm, rankdata

from cxr14.evaluation import metrics
from cxr14.evaluation.bootstrap import LEVEL, Difference, Interval
from cxr14.evaluation.confusion import checked


def delong_covariance(
    labels: np.ndarray, scores: Sequence[np.ndarray], patients: np.ndarray | None = None
) -> np.ndarray:
    """Return the covariance of the AUROCs of K networks on the same radiographs, for each finding.

    Args:
        labels: (N, F), 0 or 1.
        scores: K arrays (N, F), any finite numbers.
        patients: (N,) whose radiographs hang together; None takes each for its own.

    Returns:
        (F, K, K); NaN where a class has fewer than two members (patients, if these are given).
    """
    looked_at = [checked(labels, each) for each in scores]
    positive = looked_at[0][0]
    ranked = np.stack([each for _, each in looked_at])  # (K, N, F)
    cluster = np.arange(len(positive)) if patients is None else np.unique(patients, return_inverse=True)[1]
    if len(cluster) != len(positive):
        raise ValueError(f"{len(cluster)} patients do not fit {len(positive)} radiographs")
    covariances = [
        _covariance(positive[:, finding], ranked[:, :, finding], cluster)
        for finding in range(positive.shape[1])
    ]
    return np.array(covariances)


def delong_variance(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray | None = None) -> np.ndarray:
    """Return the variance of each finding's AUROC, (F,); arguments and NaN as in `delong_covariance`."""
    return delong_covariance(labels, [scores], patients)[:, 0, 0]


def delong_interval(
    labels: np.ndarray, scores: np.ndarray, patients: np.ndarray | None = None, level: float = LEVEL
) -> Interval:
    """Return each AUROC with its normal interval, cut at 0 and 1; arguments as in `delong_covariance`."""
    values = metrics.auroc(labels, scores)
    reach = norm.ppf((1 + level) / 2) * np.sqrt(delong_variance(labels, scores, patients))
    return Interval(values, np.maximum(values - reach, 0), np.minimum(values + reach, 1))


def delong_difference(
    labels: np.ndarray,
    ours: np.ndarray,
    theirs: np.ndarray,
    patients: np.ndarray | None = None,
    level: float = LEVEL,
) -> Difference:
    """Return AUROC of ours minus theirs for each finding, with normal interval and two-sided p-value.

    Args:
        labels: (N, F), 0 or 1.
        ours, theirs: (N, F) scores of two networks.
        patients: (N,) whose radiographs hang together; None takes each for its own.
        level: of the interval, 0 to 1.

    Returns:
        Four arrays (F,). Networks that rank alike differ by exactly 0 with a p-value of 1.
    """
    gap = metrics.auroc(labels, ours) - metrics.auroc(labels, theirs)
    covariance = delong_covariance(labels, [ours, theirs], patients)
    variance = covariance[:, 0, 0] + covariance[:, 1, 1] - 2 * covariance[:, 0, 1]
    error = np.sqrt(np.maximum(variance, 0))  # rounding may leave a variance of 0 just below it
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = np.where(gap == 0, np.where(np.isnan(error), np.nan, 1.0), 2 * norm.sf(np.abs(gap) / error))
    reach = norm.ppf((1 + level) / 2) * error
    return Difference(gap, gap - reach, gap + reach, p_value)


def _covariance(positive: np.ndarray, scores: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    networks = len(scores)
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return np.full((networks, networks), np.nan)
    # A rank among all, less the rank among one's own, counts the others below: (K, N)
    below = rankdata(scores, axis=1)
    below[:, positive] -= rankdata(scores[:, positive], axis=1)
    below[:, ~positive] -= rankdata(scores[:, ~positive], axis=1)
    shares = np.where(positive, below / n, 1 - below / m)
    spread = shares - shares[:, positive].mean(axis=1, keepdims=True)
    with_positive, of_positives = _by_cluster(spread, positive, cluster)
    with_negative, of_negatives = _by_cluster(spread, ~positive, cluster)
    people = cluster.max() + 1
    both = of_positives @ of_negatives.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return (
            of_positives @ of_positives.T * _unbiased(with_positive) / m**2
            + of_negatives @ of_negatives.T * _unbiased(with_negative) / n**2
            + (both + both.T) * _unbiased(people) / (m * n)
        )


def _by_cluster(spread: np.ndarray, members: np.ndarray, cluster: np.ndarray) -> tuple[int, np.ndarray]:
    counts = np.bincount(cluster[members], minlength=cluster.max() + 1)
    sums = [np.bincount(cluster[members], weights=row[members], minlength=len(counts)) for row in spread]
    return int((counts > 0).sum()), np.array(sums)


def _unbiased(clusters: int) -> float:
    return clusters / (clusters - 1) if clusters > 1 else float("nan")
