"""Means and differences over training seeds against a simulation of patients and seeds."""

import numpy as np
import pytest

from cxr14.evaluation import metrics
from cxr14.evaluation.bootstrap import bootstrap_auroc, paired_difference
from cxr14.evaluation.resamples import Resamples
from cxr14.evaluation.seeds import mean_over_seeds, seeded_difference


def simulated_arms(generator, seeds, seed_effect, patients=120):
    """Labels, the scores of two equally good arms by seed, and patients with 1 to 3 radiographs.

    A seed changes how well its training separates each finding, differently in the two arms.
    """
    of_patient = np.repeat(np.arange(patients), generator.integers(1, 4, patients))
    shape = (len(of_patient), 3)
    labels = generator.random(shape) < 0.3
    image = np.sqrt(0.4) * generator.normal(size=(patients, 3))[of_patient]
    image = image + np.sqrt(0.4) * generator.normal(size=shape)
    separations = 1.3 + seed_effect * generator.normal(size=(2, seeds, 1))
    noise = np.sqrt(0.2) * generator.normal(size=(2, seeds, *shape))
    ours, theirs = image + noise + labels * separations[..., None]
    return labels, ours, theirs, of_patient


def test_difference_is_the_mean_over_pairs_of_seeds():
    labels, ours, theirs, patients = simulated_arms(np.random.default_rng(0), 3, 0.2)
    found = seeded_difference(labels, ours, theirs, patients, resamples=100)
    by_seed = [
        metrics.auroc(labels, one).mean() - metrics.auroc(labels, other).mean()
        for one, other in zip(ours, theirs, strict=True)
    ]
    assert found.by_seed == pytest.approx(by_seed)
    assert found.value == pytest.approx(np.mean(by_seed))
    assert found.low < found.value < found.high
    assert found.findings.value.mean() == pytest.approx(found.value)
    assert (found.findings.low < found.findings.value).all()
    back = seeded_difference(labels, theirs, ours, patients, resamples=100)
    assert (back.low, back.p_value) == pytest.approx((-found.high, found.p_value))
    # Paired: what a seed adds to both arms adds nothing to their difference.
    shifted = seeded_difference(labels, ours, ours, patients, resamples=100)
    assert shifted.high - shifted.low < (found.high - found.low) / 2


def test_variance_equals_that_of_drawing_patients_and_many_seeds():
    """With many seeds, resampling both as the pigeonhole bootstrap does gives the same variance."""
    labels, ours, _, patients = simulated_arms(np.random.default_rng(1), 30, 0.6)
    resamples = Resamples(patients, 1000)
    runs = [bootstrap_auroc(labels, scores, resamples) for scores in ours]
    draws = np.stack([run.draws.mean(axis=1) for run in runs])  # (seeds, resamples)
    chosen = np.random.default_rng(2).integers(len(runs), size=draws.shape)
    both = np.take_along_axis(draws, chosen, axis=0).mean(axis=0)
    variance, degrees = mean_over_seeds(runs).macro().spread()
    assert variance == pytest.approx(both.var(), rel=0.15)
    assert variance > 1.5 * draws.mean(axis=0).var()  # the seeds matter here
    assert 29 < degrees < 119 + 29


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_contain_the_true_difference(seeds):
    """The truth is 0: the seeds' effects have mean 0 in both arms."""
    generator = np.random.default_rng(seeds)
    contained = patients_only = 0
    for _ in range(150):
        labels, ours, theirs, patients = simulated_arms(generator, seeds, 0.25)
        resamples = Resamples(patients, 60)
        found = seeded_difference(labels, ours, theirs, patients, resamples=60)
        contained += bool(found.low <= 0 <= found.high)
        first = [bootstrap_auroc(labels, scores, resamples).macro() for scores in (ours[0], theirs[0])]
        alone = paired_difference(*first)
        patients_only += bool(alone.low <= 0 <= alone.high)
    assert contained / 150 >= 0.91
    assert patients_only / 150 < 0.8


def test_interval_is_wider_where_seeds_differ():
    def width(seed_effect):
        arms = simulated_arms(np.random.default_rng(1), 6, seed_effect, patients=300)
        found = seeded_difference(*arms, resamples=300)
        return found.high - found.low

    assert width(0.5) > 1.5 * width(0.0)


@pytest.mark.parametrize("seeds", [(1, 1), (3, 2)])
def test_unpaired_or_single_seeds_raise_value_error(seeds):
    labels, ours, theirs, patients = simulated_arms(np.random.default_rng(3), 3, 0)
    with pytest.raises(ValueError, match="same seeds, at least two"):
        seeded_difference(labels, ours[: seeds[0]], theirs[: seeds[1]], patients)


def test_runs_on_other_resamples_raise_value_error():
    labels, ours, _, patients = simulated_arms(np.random.default_rng(0), 2, 0)
    runs = [bootstrap_auroc(labels, ours[0], Resamples(patients, 20, seed)) for seed in (0, 1)]
    with pytest.raises(ValueError, match="same resamples"):
        mean_over_seeds(runs)
