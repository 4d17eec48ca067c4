"""Patient-level bootstrap against explicit resampling; paired differences; undefined values."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cxr14.evaluation import metrics
from cxr14.evaluation.bootstrap import (
    bootstrap_auroc,
    bootstrap_average_precision,
    bootstrap_decisions,
    paired_difference,
)
from cxr14.evaluation.confusion import confusion
from cxr14.evaluation.resamples import Resamples


def a_list(seed: int = 0, rows: int = 80, steps: int = 20, columns: int = 3):
    """Labels (the last column rare), tied float32 probabilities, and patients with several radiographs."""
    draw = np.random.default_rng(seed)
    labels = (draw.random((rows, columns)) < [*[0.3] * (columns - 1), 0.03]).astype(np.uint8)
    labels[0], labels[1] = 1, 0
    probabilities = np.clip(draw.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    return (
        labels,
        (np.round(probabilities * steps) / steps).astype(np.float32),
        draw.integers(0, rows // 4, rows),
    )


def drawn_rows(resamples: Resamples, resample: int, patients: np.ndarray) -> np.ndarray:
    """The rows of one resample, written out: each drawn patient's radiographs as often as it was drawn."""
    known = np.unique(patients)
    times = dict(zip(known, resamples.weights[:, resample].astype(int), strict=True))
    return np.repeat(np.arange(len(patients)), [times[patient] for patient in patients])


@pytest.mark.parametrize("steps", [5, 20, 10**6])
def test_weights_equal_explicit_resampling(steps):
    labels, probabilities, patients = a_list(steps=steps)
    labels[1:, 2] = 0  # one patient with the finding: some resamples lose it
    resamples = Resamples(patients, count=150, seed=4)  # more than two batches
    auroc = bootstrap_auroc(labels, probabilities, resamples)
    precision = bootstrap_average_precision(labels, probabilities, resamples)
    thresholds = np.array([0.5, 0.3, 0.45])
    decisions = bootstrap_decisions(labels, probabilities, thresholds, resamples)
    lost = 0
    for resample in range(150):
        rows = drawn_rows(resamples, resample, patients)
        y, p = labels[rows], probabilities[rows]
        for finding in range(3):
            if y[:, finding].any():
                expected = roc_auc_score(y[:, finding], p[:, finding])
                assert auroc.draws[resample, finding] == pytest.approx(expected, abs=1e-12)
                expected = average_precision_score(y[:, finding], p[:, finding])
                assert precision.draws[resample, finding] == pytest.approx(expected, abs=1e-12)
            else:
                lost += 1
                assert np.isnan(auroc.draws[resample, finding])
                assert np.isnan(precision.draws[resample, finding])
        counts = confusion(y, p, thresholds)
        for name, key in metrics.OF_DECISIONS.items():
            np.testing.assert_allclose(decisions[name].draws[resample], getattr(counts, key), atol=1e-12)
    assert 0 < lost < 150


def test_values_on_the_list_are_those_of_the_metrics():
    labels, probabilities, patients = a_list()
    resamples = Resamples(patients, count=10)
    np.testing.assert_array_equal(
        bootstrap_auroc(labels, probabilities, resamples).values, metrics.auroc(labels, probabilities)
    )
    np.testing.assert_array_equal(
        bootstrap_decisions(labels, probabilities, 0.5, resamples)["F1"].values,
        confusion(labels, probabilities, 0.5).f1,
    )


def test_draw_depends_on_seed_and_patients_only():
    patients = np.array(["b", "a", "c", "a", "b", "d"])
    once = Resamples(patients, count=50, seed=3)
    assert once.same_as(Resamples(patients, count=50, seed=3))
    shuffled = Resamples(patients[::-1], count=50, seed=3)
    np.testing.assert_array_equal(once.weights, shuffled.weights)
    assert not np.array_equal(once.weights, Resamples(patients, count=50, seed=4).weights)
    assert (once.weights.sum(axis=0) == 4).all()


def test_drawn_patients_are_uniform():
    weights = Resamples(np.arange(50), count=4000).weights
    # Each patient's multiplicity is binomial(50, 1/50): mean 1, variance 0.98.
    assert weights.mean(axis=1) == pytest.approx(np.ones(50), abs=5 * np.sqrt(0.98 / 4000))
    assert weights.var() == pytest.approx(0.98, rel=0.02)


def test_equal_scores_do_not_differ():
    labels, probabilities, patients = a_list()
    ours = bootstrap_auroc(labels, probabilities, Resamples(patients, count=200))
    # A monotone map ranks alike; equal resamples pair as well as the same ones.
    theirs = bootstrap_auroc(labels, 2 * probabilities + 1, Resamples(patients, count=200))
    for gap in (paired_difference(ours, theirs), paired_difference(ours.macro(), theirs.macro())):
        assert np.all(gap.value == 0)
        np.testing.assert_allclose(gap.low, -gap.high)
        assert np.all(np.nan_to_num(gap.p_value, nan=1) == 1)


def test_paired_difference_is_antisymmetric_and_narrower_than_its_parts():
    labels, probabilities, patients = a_list(rows=600)
    noise = np.random.default_rng(1).normal(0, 0.08, probabilities.shape)
    resamples = Resamples(patients, count=400)
    clear = bootstrap_auroc(labels, probabilities, resamples)
    blurred = bootstrap_auroc(labels, probabilities + noise, resamples)
    gap = paired_difference(clear.macro(), blurred.macro())
    assert gap.value == pytest.approx(clear.macro().values - blurred.macro().values)
    assert gap.low <= gap.value <= gap.high
    alone = clear.macro().interval()
    assert gap.high - gap.low < alone.high - alone.low
    back = paired_difference(blurred.macro(), clear.macro())
    assert (back.low, back.high, back.p_value) == pytest.approx((-gap.high, -gap.low, gap.p_value))


def test_unpaired_differences_raise_value_error():
    labels, probabilities, patients = a_list()
    resamples = Resamples(patients, count=20)
    ours = bootstrap_auroc(labels, probabilities, resamples)
    with pytest.raises(ValueError, match="same resamples"):
        paired_difference(ours, bootstrap_auroc(labels, probabilities, Resamples(patients, 20, seed=1)))
    with pytest.raises(ValueError, match="two means"):
        paired_difference(ours, ours.macro())
    with pytest.raises(ValueError, match="do not fit"):
        bootstrap_auroc(labels[:-1], probabilities[:-1], resamples)


def test_variance_is_that_of_the_draws_where_patients_are_many():
    labels, probabilities, patients = a_list(rows=20_000)
    auroc = bootstrap_auroc(labels, probabilities, Resamples(patients, count=300))
    variance, degrees = auroc.spread()
    np.testing.assert_allclose(variance, auroc.draws.var(axis=0), rtol=0.03)
    np.testing.assert_array_equal(degrees, auroc.patients + 3)
    means = auroc.draws.mean(axis=1)
    assert auroc.macro().spread()[0] == pytest.approx(means.var(), rel=0.03)


def test_undefined_findings_are_left_out_of_the_mean():
    labels, probabilities, patients = a_list()
    labels[:, 1] = 0
    auroc = bootstrap_auroc(labels, probabilities, Resamples(patients, count=300))
    interval, mean = auroc.interval(), auroc.macro()
    assert np.isnan([interval.value[1], interval.low[1], interval.high[1]]).all()
    assert mean.values == pytest.approx(auroc.values[[0, 2]].mean())
    others = bootstrap_auroc(labels[:, [0, 2]], probabilities[:, [0, 2]], auroc.resamples).macro()
    assert mean.interval() == pytest.approx(others.interval())
    nothing = bootstrap_auroc(np.zeros_like(labels), probabilities, Resamples(patients, count=20))
    assert np.isnan([*nothing.macro().interval()]).all()
    assert np.isnan([*paired_difference(nothing.macro(), nothing.macro())]).all()


def test_a_finding_of_one_patient_has_no_interval_and_no_p_value():
    labels, probabilities, patients = a_list()
    labels[:, 2] = 0
    labels[5, 2] = 1
    auroc = bootstrap_auroc(labels, probabilities, Resamples(patients, count=300))
    other = bootstrap_auroc(labels, -probabilities, auroc.resamples)
    assert 0.25 < np.isnan(auroc.draws[:, 2]).mean() < 0.5  # lost from 37 % of the resamples
    assert np.isnan(auroc.interval().low).tolist() == [False, False, True]
    assert np.isnan(paired_difference(auroc, other).p_value).tolist() == [False, False, True]
    mean = auroc.macro().interval()  # its variance is the prior one there
    assert mean.low < mean.value < mean.high
    labels[patients != patients[5], 2] = 1  # two patients: with and without it
    labels[patients == patients[5], 2] = 0
    inverse = bootstrap_auroc(labels, probabilities, auroc.resamples)
    assert np.isnan(inverse.interval().low).tolist() == [False, False, True]


def test_perfect_values_have_intervals_of_positive_width():
    """All resamples of a perfect list are perfect: percentiles would give an interval from 1 to 1."""
    labels = np.repeat([[1], [0]], (10, 90), axis=0)
    resamples = Resamples(np.arange(100), count=200)
    perfect = labels * 0.5 + 0.25
    metrics_of_list = [
        bootstrap_auroc(labels, perfect, resamples),
        bootstrap_average_precision(labels, perfect, resamples),
        *bootstrap_decisions(labels, perfect, 0.5, resamples).values(),
    ]
    for bootstrapped in metrics_of_list:
        interval = bootstrapped.interval()
        assert interval.value == interval.high == 1
        assert 0.5 < interval.low < 0.999
        mean = bootstrapped.macro().interval()
        assert mean.low < mean.high == 1


def test_finding_without_threshold_has_no_interval():
    labels, probabilities, patients = a_list()
    thresholds = np.array([0.5, np.nan, 0.5])
    decisions = bootstrap_decisions(labels, probabilities, thresholds, Resamples(patients, count=50))
    assert np.isnan(decisions["accuracy"].interval().low).tolist() == [False, True, False]
