"""Variance and intervals of AUROC without resampling (DeLong, Obuchowski).

DeLong et al. 1988: an AUROC is the mean over positives of the share of negatives that each outscores, and
over negatives of the share of positives that outscore each; the spread of these shares is its variance. They
come from mid-ranks in O(N log N) (Sun and Xu 2014). DeLong assumes independent radiographs; with the patients
given, the shares are first summed by patient (Obuchowski 1997), which is DeLong again where each patient has
one radiograph. For one metric without its mean over findings this replaces the bootstrap.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from cxr14.evaluation import intervals, metrics
from cxr14.evaluation.confusion import checked
from cxr14.evaluation.intervals import LEVEL, Difference, Interval


def delong_covariance(
    labels: np.ndarray, scores: Sequence[np.ndarray], patients: np.ndarray | None = None
) -> np.ndarray:
    """Return the covariance of the AUROCs of K networks on the same radiographs, for each finding.

    Args:
        labels: (N, F), 0 or 1.
        scores: K arrays (N, F), any finite numbers.
        patients: (N,) the patient of each radiograph; None if every radiograph has its own.

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
    """Return each AUROC with the interval of `bootstrap_auroc`; arguments as in `delong_covariance`."""
    values = metrics.auroc(labels, scores)
    rarer, centres, prior = _prior(labels, values, patients)
    variance = intervals.moderated(delong_variance(labels, scores, patients), prior, rarer)
    degrees = intervals.degrees_of_freedom(rarer)
    return intervals.logit_interval(values, centres, variance, degrees, level)


def delong_difference(
    labels: np.ndarray,
    ours: np.ndarray,
    theirs: np.ndarray,
    patients: np.ndarray | None = None,
    level: float = LEVEL,
) -> Difference:
    """Return AUROC of ours minus theirs for each finding, as `paired_difference` does for a bootstrap.

    Args:
        labels: (N, F), 0 or 1.
        ours, theirs: (N, F) scores of two networks.
        patients: (N,) the patient of each radiograph; None if every radiograph has its own.
        level: confidence level, 0 to 1.

    Returns:
        Four arrays (F,).
    """
    aurocs = [metrics.auroc(labels, scores) for scores in (ours, theirs)]
    rarer, _, our_prior = _prior(labels, aurocs[0], patients)
    _, _, their_prior = _prior(labels, aurocs[1], patients)
    covariance = delong_covariance(labels, [ours, theirs], patients)
    variance = covariance[:, 0, 0] + covariance[:, 1, 1] - 2 * covariance[:, 0, 1]
    variance = intervals.moderated(
        np.maximum(variance, 0),  # rounding may leave a variance of 0 just below it
        (1 - intervals.PRIOR_CORRELATION) * (our_prior + their_prior),
        rarer,
    )
    return intervals.difference(aurocs[0] - aurocs[1], variance, intervals.degrees_of_freedom(rarer), level)


def _prior(
    labels: np.ndarray, values: np.ndarray, patients: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    patients = np.arange(len(labels)) if patients is None else patients
    return intervals.auroc_prior(values, *intervals.patients_of_each_class(labels == 1, patients))


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
