"""Losses against finite differences, plain recomputation and their limits."""

from functools import partial

import numpy as np
import pytest
import torch

from cxr14.training import losses

DISTILLATION_TERMS = [losses.squared_probability_gap, losses.bernoulli_divergence]
TAUGHT_LOSSES = [
    partial(losses.study_loss, temperature=2.0, hard_weight=0.5),
    partial(losses.bernoulli_loss, temperature=2.0, soft_weight=1 / 14),
    partial(losses.matching_loss, temperature=1.0, label_weight=0.1),
]


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 5, 14, generator=generator, dtype=torch.float64) * 3


@pytest.fixture
def labels():
    return (torch.rand(5, 14, generator=torch.Generator().manual_seed(4)) < 0.3).double()


@pytest.mark.parametrize("term", DISTILLATION_TERMS)
@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_term_and_gradient_vanish_when_student_and_teacher_agree(term, temperature, logits):
    student = logits[0].clone().requires_grad_()
    value = term(student, logits[0], temperature)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert student.grad.abs().max().item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("term", DISTILLATION_TERMS)
def test_term_is_positive_when_they_differ(term, logits):
    assert term(logits[0], logits[1], 2.0).item() > 0


@pytest.mark.parametrize("taught", TAUGHT_LOSSES)
def test_gradients_match_finite_differences(taught, logits, labels):
    student = logits[0].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: taught(z, logits[1], labels), student)


@pytest.mark.parametrize("taught", TAUGHT_LOSSES)
@pytest.mark.parametrize("student_logit", [-100.0, 100.0])
@pytest.mark.parametrize("teacher_logit", [-100.0, 100.0])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_extreme_logits_stay_finite(taught, student_logit, teacher_logit, label):
    student = torch.full((2, 14), student_logit, requires_grad=True)
    value = taught(student, torch.full((2, 14), teacher_logit), torch.full((2, 14), label))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("taught", TAUGHT_LOSSES)
def test_losses_are_finite_under_bfloat16_autocast(taught, logits, labels):
    student = logits[0].float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = taught(student, 30 * logits[1].float(), labels.float())
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()


def test_divergence_is_the_textbook_sum(logits):
    """Probabilities and logarithms written out in numpy, where they are safe."""
    temperature = 2.0
    p_student, p_teacher = (1 / (1 + np.exp(-z.numpy() / temperature)) for z in logits)
    divergence = p_teacher * np.log(p_teacher / p_student)
    divergence += (1 - p_teacher) * np.log((1 - p_teacher) / (1 - p_student))
    expected = temperature**2 * divergence.sum(axis=1).mean()
    assert losses.bernoulli_divergence(logits[0], logits[1], temperature).item() == pytest.approx(
        expected, rel=1e-9
    )


def test_focal_loss_without_focus_is_cross_entropy(logits, labels):
    plain = losses.binary_cross_entropy(None, logits[0], labels)
    assert losses.focal_binary_cross_entropy(logits[0], labels, gamma=0).item() == pytest.approx(plain.item())
    assert losses.focal_binary_cross_entropy(logits[0], labels).item() < plain.item()


def test_findings_do_not_compete(logits, labels):
    """Moving one finding's logit leaves every other finding's gradient alone: no softmax across findings."""
    for taught in TAUGHT_LOSSES:
        gradients = []
        for shift in (0.0, 7.0):
            student = logits[0].clone()
            student[:, 0] += shift
            student.requires_grad_()
            taught(student, logits[1], labels).backward()
            gradients.append(student.grad[:, 1:])
        torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)


def test_weights_choose_between_labels_and_teacher(logits, labels):
    student, teacher = logits
    only_labels = losses.study_loss(student, teacher, labels, temperature=2.0, hard_weight=1.0)
    torch.testing.assert_close(only_labels, losses.focal_binary_cross_entropy(student, labels))
    only_labels = losses.bernoulli_loss(student, teacher, labels, temperature=2.0, soft_weight=0.0)
    torch.testing.assert_close(only_labels, losses.binary_cross_entropy(None, student, labels))
