"""Confidence intervals against simulated truth, and the rules that they follow."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from benchmarks import intervals as benchmark
from cxr14.evaluation import intervals


@pytest.mark.parametrize("positive_patients", [2, 5, 10, 50])
@pytest.mark.parametrize("separation", [1.47, 2.4])
def test_intervals_contain_the_truth_as_often_as_they_say(positive_patients, separation):
    """Of 150 lists 95 % are 142.5, with a standard deviation of 2.7: 137 is two of them lower."""
    found = benchmark.coverage(positive_patients, (separation, separation), lists=150)
    for name in ("AUROC", "AUROC, DeLong by patient", "average precision", "difference of AUROC"):
        assert found[f"{name}: contains the truth"] >= 137 / 150, name
    assert found["difference of AUROC: p below 0.05"] <= 13 / 150
    if positive_patients <= 5:
        assert found["AUROC, percentiles: contains the truth"] < 137 / 150
    if positive_patients == 50:  # the prior weighs little
        assert found["AUROC: mean width"] < 1.3 * found["AUROC, percentiles: mean width"]


def test_intervals_of_means_contain_the_truth():
    found = benchmark.coverage_of_means(60, lists=100)
    assert found["mean AUROC: contains the truth"] >= 0.9
    assert found["difference of the mean AUROC: contains the truth"] >= 0.9
    assert found["mean AUROC, percentiles: contains the truth"] < 0.9


def test_resamples_of_a_list_of_full_size_have_the_aurocs_of_scikit_learn():
    assert benchmark.speed(count=8, looped=2)["largest gap between the two"] <= 1e-12


def test_prior_fades_as_patients_grow():
    patients = np.array([1, 2, 5, 10**6])
    variance = intervals.moderated(np.full(4, 3.0), np.ones(4), patients)
    np.testing.assert_allclose(variance, [1, (3 + 4) / 5, (4 * 3 + 4) / 8, 3], rtol=1e-5)
    assert np.isnan(intervals.degrees_of_freedom(patients)).tolist() == [True, False, False, False]


def test_p_value_agrees_with_the_interval_at_every_level():
    values = np.linspace(-3, 3, 41)
    for level in (0.5, 0.9, 0.95):
        found = intervals.difference(values, np.full(41, 0.7), np.full(41, 5.0), level)
        leaves_out_zero = (found.low > 0) | (found.high < 0)
        np.testing.assert_array_equal(found.p_value < 1 - level, leaves_out_zero)


def test_difference_is_the_t_test_of_scipy():
    sample = np.random.default_rng(0).normal(0.3, 1, 12)
    expected = ttest_1samp(sample, 0)
    found = intervals.difference(sample.mean(), sample.var(ddof=1) / 12, 11.0)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))


def test_logit_interval_contains_its_value_and_stays_within_0_and_1():
    values = np.array([0.0, 0.001, 0.3, 0.5, 0.9, 0.999, 1.0])
    for patients in (2, 10, 1000):
        centres = intervals.shrunk(values, patients)
        found = intervals.logit_interval(values, centres, 0.02 * centres * (1 - centres), 5.0)
        assert (found.low <= values + 1e-9).all() and (values <= found.high + 1e-9).all()
        assert (found.low >= 0).all() and (found.high <= 1).all()
        assert found.high[-1] == 1 and found.low[0] == pytest.approx(0, abs=1e-12)


def test_patients_of_each_class_counts_patients_with_both_twice():
    positive = np.array([[True, False], [False, False], [True, True], [True, False]])
    with_it, without = intervals.patients_of_each_class(positive, np.array(["a", "b", "b", "a"]))
    assert with_it.tolist() == [2, 1]
    assert without.tolist() == [1, 2]


def test_two_seeds_that_differ_widen_the_interval_and_lower_its_degrees_of_freedom():
    agree = intervals.with_seeds(np.array(1.0), np.array(100.0), np.array([0.5, 0.5]))
    assert agree == (1, pytest.approx(100))
    variance, degrees = intervals.with_seeds(np.array(1.0), np.array(100.0), np.array([0.0, 40.0]))
    assert variance == pytest.approx(1 + 800 / 2)
    assert degrees == pytest.approx(1, rel=0.01)
    assert intervals.with_seeds(1.0, 100.0, None) == (1.0, 100.0)


def test_holm_is_the_least_level_at_which_the_procedure_rejects():
    draw = np.random.default_rng(0)
    for _ in range(50):
        p_values = np.round(draw.random(6) ** 3, 3)
        adjusted = intervals.holm(p_values)
        for level in draw.random(20):
            rejected = np.zeros(6, dtype=bool)
            for step, index in enumerate(np.argsort(p_values)):
                if p_values[index] > level / (6 - step):
                    break
                rejected[index] = True
            assert np.array_equal(adjusted <= level, rejected)
    with_gap = intervals.holm(np.array([0.02, np.nan, 0.03]))
    assert with_gap[[0, 2]] == pytest.approx([0.04, 0.04]) and np.isnan(with_gap[1])
