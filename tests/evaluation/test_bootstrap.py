"""Patient bootstrap against explicit resampling, DeLong against its definition, both against truth."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from cxr14.evaluation import metrics
from cxr14.evaluation.bootstrap import (
    Bootstrapped,
    Resamples,
    bootstrap_auroc,
    bootstrap_average_precision,
    bootstrap_decisions,
    paired_difference,
)
from cxr14.evaluation.delong import delong_covariance, delong_difference, delong_interval, delong_variance

ROOT = Path(__file__).resolve().parent.parent


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
        for name, expected in zip(
            ("accuracy", "F1", "sensitivity", "specificity"),
            (metrics.accuracy, metrics.f1, metrics.sensitivity, metrics.specificity),
            strict=True,
        ):
            np.testing.assert_allclose(
                decisions[name].draws[resample], expected(y, p, thresholds), atol=1e-12
            )
    assert 0 < lost < 150


def test_values_on_the_list_are_those_of_the_metrics():
    labels, probabilities, patients = a_list()
    resamples = Resamples(patients, count=10)
    np.testing.assert_array_equal(
        bootstrap_auroc(labels, probabilities, resamples).values, metrics.auroc(labels, probabilities)
    )
    np.testing.assert_array_equal(
        bootstrap_decisions(labels, probabilities, 0.5, resamples)["F1"].values,
        metrics.f1(labels, probabilities),
    )


def test_the_draw_depends_on_seed_and_patients_alone():
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


def test_runs_share_one_draw_and_identical_runs_do_not_differ():
    labels, probabilities, patients = a_list()
    ours = bootstrap_auroc(labels, probabilities, Resamples(patients, count=200))
    # A monotone map ranks alike; an equal draw is as good as the same one.
    theirs = bootstrap_auroc(labels, 2 * probabilities + 1, Resamples(patients, count=200))
    for gap in (paired_difference(ours, theirs), paired_difference(ours.macro(), theirs.macro())):
        for zeros in (gap.value, gap.low, gap.high):
            assert np.all(zeros == 0)
        assert np.all(gap.p_value == 1)


def test_a_paired_difference_is_narrower_than_an_unpaired_one_and_signed():
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
    elsewhere = bootstrap_auroc(labels, probabilities, Resamples(patients, count=400, seed=1))
    with pytest.raises(ValueError, match="same resamples"):
        paired_difference(clear, elsewhere)
    with pytest.raises(ValueError, match="same resamples"):
        paired_difference(clear, clear.macro())
    with pytest.raises(ValueError, match="do not fit"):
        bootstrap_auroc(labels[:-1], probabilities[:-1], resamples)


def test_p_value_agrees_with_the_interval():
    """Below 5 % exactly where the 95 % interval leaves 0 out, up to the ends' interpolation."""
    resamples = Resamples(np.arange(4), count=999)
    draw = np.random.default_rng(0)
    zero = Bootstrapped(np.zeros(1), np.zeros((999, 1)), resamples)
    for shift in np.linspace(-4, 4, 41):
        draws = draw.normal(shift, 1, (999, 1))
        gap = paired_difference(Bootstrapped(np.array([shift]), draws, resamples), zero)
        if abs(gap.p_value[0] - 0.05) > 0.005:
            assert (gap.p_value[0] < 0.05) == (not gap.low[0] <= 0 <= gap.high[0])
        assert 2 / 1000 <= gap.p_value[0] <= 1


def test_what_is_undefined_stays_undefined_and_is_left_out_of_the_mean():
    labels, probabilities, patients = a_list()
    labels[:, 1] = 0
    labels[:, 2] = 0
    labels[5, 2] = 1  # one patient: lost from 37 % of the resamples
    auroc = bootstrap_auroc(labels, probabilities, Resamples(patients, count=300))
    interval = auroc.interval()
    assert np.isnan([interval.value[1], interval.low[1], interval.high[1]]).all()
    assert not np.isnan([interval.low[[0, 2]], interval.high[[0, 2]]]).any()
    lost = np.isnan(auroc.draws[:, 2])
    assert 0.25 < lost.mean() < 0.5
    np.testing.assert_array_equal(np.isnan(auroc.macro().draws), lost)
    np.testing.assert_allclose(auroc.macro().draws[~lost], auroc.draws[~lost][:, [0, 2]].mean(axis=1))
    assert auroc.macro().values == pytest.approx(metrics.macro(auroc.values)[0])
    nothing = bootstrap_auroc(np.zeros_like(labels), probabilities, Resamples(patients, count=20)).macro()
    assert np.isnan([*nothing.interval()]).all()
    too_few = Bootstrapped(np.array([0.5]), np.array([[0.5]] + [[np.nan]] * 9), Resamples(np.arange(3), 10))
    assert np.isnan([too_few.interval().low, too_few.interval().high]).all()


def test_an_undecided_finding_has_no_interval():
    labels, probabilities, patients = a_list()
    thresholds = np.array([0.5, np.nan, 0.5])
    accuracy = bootstrap_decisions(labels, probabilities, thresholds, Resamples(patients, count=50))[
        "accuracy"
    ]
    assert np.isnan(accuracy.interval().low).tolist() == [False, True, False]


def psi(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    return (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)


def delong_by_definition(labels: np.ndarray, scores: list[np.ndarray]) -> np.ndarray:
    """DeLong et al. 1988, equations 4 to 6, each positive against each negative."""
    yes, no = labels == 1, labels == 0
    wins = [psi(each[yes], each[no]) for each in scores]
    of_positives = np.array([each.mean(axis=1) for each in wins])
    of_negatives = np.array([each.mean(axis=0) for each in wins])
    return np.atleast_2d(np.cov(of_positives)) / yes.sum() + np.atleast_2d(np.cov(of_negatives)) / no.sum()


def test_delong_equals_its_definition():
    for seed in range(60):
        labels, scores, _ = a_list(
            seed, rows=40 + seed, steps=int(np.random.default_rng(seed).choice([4, 10**6]))
        )
        labels[2:5] = 1  # two of each at least
        others = np.roll(scores, 1, axis=0) + scores
        ours = delong_covariance(labels, [scores, others])
        assert ours.shape == (3, 2, 2)
        for finding in range(3):
            expected = delong_by_definition(labels[:, finding], [scores[:, finding], others[:, finding]])
            np.testing.assert_allclose(ours[finding], expected, rtol=0, atol=1e-10)
        np.testing.assert_allclose(delong_variance(labels, scores), ours[:, 0, 0], rtol=1e-12)


def test_delong_by_patient_equals_its_definition():
    """Obuchowski 1997, section 2, with loops over patients."""
    for seed in range(10):
        labels, scores, patients = a_list(seed, rows=60)
        for finding in range(2):
            y, s = labels[:, finding], scores[:, finding].astype(float)
            yes, no = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
            wins = psi(s[yes], s[no])
            m, n, auroc = len(yes), len(no), wins.mean()
            people = np.unique(patients)
            x = np.array([sum(wins[k].mean() for k in range(m) if patients[yes[k]] == who) for who in people])
            z = np.array(
                [sum(wins[:, k].mean() for k in range(n) if patients[no[k]] == who) for who in people]
            )
            m_of = np.array([(patients[yes] == who).sum() for who in people])
            n_of = np.array([(patients[no] == who).sum() for who in people])
            i10, i01, i = (m_of > 0).sum(), (n_of > 0).sum(), len(people)
            s10 = i10 / ((i10 - 1) * m) * ((x - m_of * auroc) ** 2).sum()
            s01 = i01 / ((i01 - 1) * n) * ((z - n_of * auroc) ** 2).sum()
            s11 = i / (i - 1) * ((x - m_of * auroc) * (z - n_of * auroc)).sum()
            expected = s10 / m + s01 / n + 2 * s11 / (m * n)
            ours = delong_variance(labels[:, [finding]], scores[:, [finding]], patients)
            assert ours[0] == pytest.approx(expected, abs=1e-10)
    alone = delong_variance(labels, scores, np.arange(len(labels)))
    np.testing.assert_allclose(alone, delong_variance(labels, scores), atol=1e-14)


def test_delong_interval_and_difference():
    labels, scores, patients = a_list(rows=400)
    interval = delong_interval(labels, scores, level=0.9)
    np.testing.assert_array_equal(interval.value, metrics.auroc(labels, scores))
    reach = norm.ppf(0.95) * np.sqrt(delong_variance(labels, scores))
    np.testing.assert_allclose(interval.high - interval.value, np.minimum(reach, 1 - interval.value))
    assert (interval.low >= 0).all() and (interval.high <= 1).all()
    same = delong_difference(labels, scores, scores * 3, patients)
    assert np.all(same.value == 0) and np.all(same.p_value == 1)
    worse = delong_difference(labels, scores, np.random.default_rng(0).random(scores.shape))
    assert worse.p_value[0] < 1e-6 and worse.low[0] > 0


def test_delong_needs_two_of_each_class():
    labels, scores, _ = a_list()
    labels[:, 0] = 0
    labels[:, 1] = 0
    labels[3, 1] = 1
    assert np.isnan(delong_variance(labels, scores)).tolist() == [True, True, False]
    assert np.isnan(delong_difference(labels, scores, scores).p_value).tolist() == [True, True, False]


def test_delong_and_the_bootstrap_agree_where_each_patient_has_one_radiograph():
    labels, scores, _ = a_list(rows=1500, steps=10**6)
    resamples = Resamples(np.arange(1500), count=2000)
    ours = bootstrap_auroc(labels, scores, resamples)
    np.testing.assert_allclose(ours.draws.std(axis=0), np.sqrt(delong_variance(labels, scores)), rtol=0.08)
    blurred = scores + np.random.default_rng(2).normal(0, 0.1, scores.shape)
    drawn = paired_difference(ours, bootstrap_auroc(labels, blurred, resamples))
    computed = delong_difference(labels, scores, blurred)
    np.testing.assert_allclose(computed.high - computed.low, drawn.high - drawn.low, rtol=0.1)
    np.testing.assert_array_equal(computed.value, drawn.value)


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("interval_benchmark", ROOT / "benchmarks" / "intervals.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say(benchmark):
    held = benchmark.coverage()
    for name, share in held.items():
        if "patient" in name:
            assert 0.93 <= share <= 0.97, (name, share)
        else:  # what takes radiographs for independent is wrong about its own certainty
            assert share < 0.90, (name, share)


@pytest.mark.slow
def test_a_thousand_resamples_of_the_whole_test_list_take_seconds(benchmark):
    figures = benchmark.speed()
    assert figures["seconds"] <= 10
    assert figures["times faster"] >= 20
    assert figures["largest gap between the two"] <= 1e-12
