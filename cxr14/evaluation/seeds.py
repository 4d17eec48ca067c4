"""Confidence intervals over patients and training seeds together.

A patient-level bootstrap of one training does not include that another seed trains another network. With
several seeds, the variance of a mean has two parts: between draws of patients, from the resamples, and
between seeds, from the variance of their values. Drawing two to five seeds with replacement would
underestimate the second part, with two seeds by half, and percentiles would ignore how uncertain it is;
`intervals.with_seeds` corrects both. For patients and seeds as two crossed samples see Owen 2007, "The
pigeonhole bootstrap".
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cxr14.evaluation.bootstrap import Bootstrapped, bootstrap_auroc, paired_difference
from cxr14.evaluation.intervals import Difference
from cxr14.evaluation.resamples import Resamples
from cxr14.settings import RESAMPLES

FEWEST_SEEDS = 2


class SeededDifference(NamedTuple):
    """The difference of two arms in the mean AUROC over findings."""

    value: float
    """Mean over seeds of the paired difference on the list itself."""
    low: float
    high: float
    """Ends of the confidence interval over patients and seeds."""
    p_value: float
    """Two-sided, of the same variance as the interval."""
    by_seed: np.ndarray
    """(S,) the difference for each seed."""
    findings: Difference
    """The difference of each finding, (F,) each."""


def mean_over_seeds(runs: Sequence[Bootstrapped]) -> Bootstrapped:
    """Return the mean of one metric over trainings that differ by their seed alone.

    Args:
        runs: the metric of each training on the same resamples of one list.

    Raises:
        ValueError: the resamples differ.
    """
    first = runs[0]
    if len(runs) == 1:
        return first
    if not all(run.resamples.same_as(first.resamples) for run in runs):
        raise ValueError("a mean over seeds needs one metric of all trainings on the same resamples")
    by_seed = np.stack([run.values for run in runs])
    return Bootstrapped(
        by_seed.mean(axis=0),
        np.mean([run.draws for run in runs], axis=0),
        first.resamples,
        first.patients,
        np.mean([run.centres for run in runs], axis=0),
        np.mean([run.prior_variance for run in runs], axis=0),
        by_seed,
    )


def seeded_difference(
    labels: np.ndarray,
    ours: np.ndarray,
    theirs: np.ndarray,
    patients: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> SeededDifference:
    """Return how much higher the mean AUROC of one arm is than that of another, over patients and seeds.

    Args:
        labels: (N, F), 0 or 1.
        ours, theirs: (S, N, F) scores; row s of both has the same training seed.
        patients: (N,) the patient of each radiograph.
        resamples: number of resamples of the patients.
        seed: of the resamples.

    Raises:
        ValueError: the arms have different shapes or fewer than two seeds.
    """
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape or len(ours) < FEWEST_SEEDS:
        raise ValueError(f"both arms need the same seeds, at least two; got {len(ours)} and {len(theirs)}")
    draws = Resamples(patients, resamples, seed)
    arms = [[bootstrap_auroc(labels, scores, draws) for scores in arm] for arm in (ours, theirs)]
    means = [mean_over_seeds(runs) for runs in arms]
    difference = paired_difference(*(mean.macro() for mean in means))
    by_seed = [one.macro().values - other.macro().values for one, other in zip(*arms, strict=True)]
    return SeededDifference(*map(float, difference), np.array(by_seed), paired_difference(*means))
