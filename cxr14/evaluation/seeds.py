"""Confidence intervals over patients and training seeds together, for arms that were trained several times.

A bootstrap over patients says how a result would vary with other patients, for these very weights. It does
not say how it would vary with another training. Here each resample draws the patients and, independently,
the seeds, both with replacement, so that the interval covers both.
"""

from typing import NamedTuple

import numpy as np

from cxr14.evaluation.bootstrap import LEVEL, Resamples, bootstrap_auroc

FEWEST_SEEDS = 2


class SeededDifference(NamedTuple):
    """The difference of two arms in the mean AUROC over findings."""

    value: float
    """Mean over seeds of the paired difference on the list itself."""
    low: float
    high: float
    """Ends of the interval over patients and seeds."""
    by_seed: np.ndarray
    """(S,) the difference for each seed."""


def seeded_difference(
    labels: np.ndarray,
    ours: np.ndarray,
    theirs: np.ndarray,
    patients: np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> SeededDifference:
    """Return how much higher the mean AUROC of one arm is than that of another, over patients and seeds.

    Both arms were trained with the same S seeds and are compared seed by seed. A resample draws patients and
    seeds with replacement; its value is the mean over the drawn seeds of the paired difference on the drawn
    patients (a bootstrap of two crossed factors: Owen 2007, "The pigeonhole bootstrap").

    Args:
        labels: (N, F), 0 or 1.
        ours, theirs: (S, N, F) scores; row s of both has the same training seed.
        patients: (N,) the patient of each radiograph.
        resamples: number of resamples.
        seed: of the draws.

    Raises:
        ValueError: the arms have different shapes or fewer than two seeds.
    """
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape or len(ours) < FEWEST_SEEDS:
        raise ValueError(f"both arms need the same seeds, at least two; got {len(ours)} and {len(theirs)}")
    draws = Resamples(patients, resamples, seed)
    means = [
        (bootstrap_auroc(labels, one, draws).macro(), bootstrap_auroc(labels, other, draws).macro())
        for one, other in zip(ours, theirs, strict=True)
    ]
    by_seed = np.array([float(one.values - other.values) for one, other in means])
    on_draws = np.stack([one.draws - other.draws for one, other in means], axis=1)  # (resamples, S)
    # Another stream than the patients': which seeds are drawn must not depend on who is drawn.
    chosen = np.random.default_rng([seed, 1]).integers(len(ours), size=on_draws.shape)
    values = np.take_along_axis(on_draws, chosen, axis=1).mean(axis=1)
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return SeededDifference(float(by_seed.mean()), float(low), float(high), by_seed)
