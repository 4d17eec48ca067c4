"""DeLong's variance against its definition with loops, and its intervals against the bootstrap."""

import numpy as np
import pytest

from cxr14.evaluation import metrics
from cxr14.evaluation.bootstrap import bootstrap_auroc, paired_difference
from cxr14.evaluation.delong import delong_covariance, delong_difference, delong_interval, delong_variance
from cxr14.evaluation.resamples import Resamples
from tests.evaluation.test_bootstrap import a_list


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


def test_delong_needs_two_patients_of_each_class():
    labels, scores, _ = a_list()
    labels[:, 0] = 0
    labels[:, 1] = 0
    labels[3, 1] = 1
    assert np.isnan(delong_variance(labels, scores)).tolist() == [True, True, False]
    assert np.isnan(delong_interval(labels, scores).low).tolist() == [True, True, False]
    assert np.isnan(delong_difference(labels, scores, scores).p_value).tolist() == [True, True, False]


def test_delong_and_bootstrap_give_equal_intervals():
    labels, scores, patients = a_list(rows=1500, steps=10**6)
    others = scores + np.random.default_rng(2).normal(0, 0.1, scores.shape)
    resamples = Resamples(patients, count=2000)
    drawn = bootstrap_auroc(labels, scores, resamples)
    computed = delong_interval(labels, scores, patients)
    np.testing.assert_allclose(computed.low, drawn.interval().low, atol=0.01)
    np.testing.assert_allclose(computed.high, drawn.interval().high, atol=0.01)
    np.testing.assert_array_equal(computed.value, metrics.auroc(labels, scores))
    gap = paired_difference(drawn, bootstrap_auroc(labels, others, resamples))
    without = delong_difference(labels, scores, others, patients)
    np.testing.assert_allclose(without.high - without.low, gap.high - gap.low, rtol=0.1)
    np.testing.assert_allclose(without.p_value, gap.p_value, atol=0.03)
