"""Intervals over patients and seeds against brute force and simulated truth."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxr14.evaluation.bootstrap import Resamples
from cxr14.evaluation.seeds import seeded_difference

FINDINGS = 3


def simulated(rng, patients=60, seeds=4, gain=0.3, seed_deviation=0.0, noise=0.5):
    """Return labels, scores of two arms that share their noise, and two radiographs of each patient."""
    people = np.repeat(np.arange(patients), 2)
    labels = (rng.random((len(people), FINDINGS)) < 0.4).astype(np.uint8)
    shared = rng.normal(size=labels.shape)
    arms = []
    for lead in (gain, 0.0):
        luck = seed_deviation * rng.normal(size=(seeds, 1, 1))
        own = noise * rng.normal(size=(seeds, *labels.shape))
        arms.append(shared + labels * (1.0 + lead + luck) + own)
    return labels, *arms, people


def mean_auroc(labels, scores, weights=None):
    return np.mean(
        [roc_auc_score(labels[:, f], scores[:, f], sample_weight=weights) for f in range(FINDINGS)]
    )


def test_difference_and_interval_equal_brute_force():
    labels, ours, theirs, patients = simulated(np.random.default_rng(0))
    found = seeded_difference(labels, ours, theirs, patients, resamples=20, seed=5)
    by_seed = [
        mean_auroc(labels, one) - mean_auroc(labels, other) for one, other in zip(ours, theirs, strict=True)
    ]
    np.testing.assert_allclose(found.by_seed, by_seed, atol=1e-12)
    assert found.value == pytest.approx(np.mean(by_seed))
    # The same draws of patients and seeds, one by one.
    draws = Resamples(patients, 20, seed=5)
    chosen = np.random.default_rng([5, 1]).integers(len(ours), size=(20, len(ours)))
    values = []
    for drawn, seeds in zip(draws.weights.T, chosen, strict=True):
        weights = drawn[draws.patient]
        gaps = [mean_auroc(labels, ours[s], weights) - mean_auroc(labels, theirs[s], weights) for s in seeds]
        values.append(np.mean(gaps))
    np.testing.assert_allclose((found.low, found.high), np.quantile(values, [0.025, 0.975]), atol=1e-9)


def test_interval_is_wider_where_seeds_differ():
    def width(deviation):
        sets = simulated(np.random.default_rng(1), patients=300, seeds=6, seed_deviation=deviation, noise=0.1)
        found = seeded_difference(*sets, resamples=300)
        return found.high - found.low

    assert width(0.5) > 1.5 * width(0.0)


def test_same_arm_gives_no_difference():
    labels, ours, _, patients = simulated(np.random.default_rng(2))
    found = seeded_difference(labels, ours, ours, patients, resamples=50)
    assert (found.value, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize("seeds", [(1, 1), (3, 2)])
def test_unpaired_or_single_seeds_raise_value_error(seeds):
    labels, ours, theirs, patients = simulated(np.random.default_rng(3))
    with pytest.raises(ValueError, match="same seeds, at least two"):
        seeded_difference(labels, ours[: seeds[0]], theirs[: seeds[1]], patients)
