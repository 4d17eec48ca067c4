"""The losses against numbers worked out by hand: factors of T^2, means and sums, and the focal exponent.

Two radiographs, two findings, T = 2. With c = 2 ln 3, sigma(c) = 0.9 and sigma(c / 2) = 0.75:

    student logits   c   0      probabilities at T = 2   .75  .50      labels   1  0
                     0   0                               .50  .50               0  1
    teacher logits  -c   c                               .25  .75
                     0   0                               .50  .50
"""

import math

import pytest
import torch

from cxr14.training import losses

C = 2 * math.log(3)
STUDENT = torch.tensor([[C, 0.0], [0.0, 0.0]], dtype=torch.float64)
TEACHER = torch.tensor([[-C, C], [0.0, 0.0]], dtype=torch.float64)
LABELS = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)

# Squared gaps: .5^2 = .25, .25^2 = .0625, 0, 0. Their mean is .078125; times T^2 = 4.
SQUARED_GAP = 0.3125
# (1 - p)^2 * -ln p of the true label: .1^2 * .105360516 = .001053605, and three times .5^2 * .693147181 =
# .173286795. Their mean:
FOCAL = 0.130228498
# -ln p of the true label: .105360516 and three times .693147181. Their mean:
CROSS_ENTROPY = 0.546200514
# KL(.25 || .75) = .5 ln 3 = .549306144 and KL(.75 || .5) = .75 ln 1.5 + .25 ln .5 = .130812036. Their sum is
# .680118180, its mean over two radiographs .340059090; times T^2 = 4:
DIVERGENCE = 1.360236361


def test_squared_probability_gap():
    value = losses.squared_probability_gap(STUDENT, TEACHER, temperature=2.0)
    assert value.item() == pytest.approx(SQUARED_GAP, abs=1e-8)


def test_focal_binary_cross_entropy():
    assert losses.focal_binary_cross_entropy(STUDENT, LABELS).item() == pytest.approx(FOCAL, abs=1e-8)


def test_study_loss():
    # .25 * .130228498 + .75 * .3125
    value = losses.study_loss(STUDENT, TEACHER, LABELS, temperature=2.0, hard_weight=0.25)
    assert value.item() == pytest.approx(0.266932125, abs=1e-8)


def test_bernoulli_divergence():
    value = losses.bernoulli_divergence(STUDENT, TEACHER, temperature=2.0)
    assert value.item() == pytest.approx(DIVERGENCE, abs=1e-8)


def test_bernoulli_loss():
    # .546200514 + .5 * 1.360236361
    value = losses.bernoulli_loss(STUDENT, TEACHER, LABELS, temperature=2.0, soft_weight=0.5)
    assert value.item() == pytest.approx(CROSS_ENTROPY + 0.5 * DIVERGENCE, abs=1e-8)
    assert value.item() == pytest.approx(1.226318694, abs=1e-8)
