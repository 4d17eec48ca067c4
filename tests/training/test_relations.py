"""Losses on pairs and correlations against plain numpy, finite differences and their invariances."""

import numpy as np
import pytest
import torch

from cxr14.training.losses import bernoulli_kl
from cxr14.training.relations import correlation_distance, map_distance, pairwise_rank_divergence

LOSSES = [correlation_distance, pairwise_rank_divergence]


def logits(seed, count=9, scale=2.0):
    return scale * torch.randn(count, 14, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def numpy_correlation_distance(student, teacher):
    distances = [1 - np.corrcoef(student[:, c], teacher[:, c])[0, 1] for c in range(student.shape[1])]
    return float(np.mean(distances))


def numpy_rank_divergence(student, teacher, tau=1.0):
    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    total, pairs = 0.0, 0
    for c in range(student.shape[1]):
        for i in range(len(student)):
            for j in range(i + 1, len(student)):
                p = sigmoid((teacher[i, c] - teacher[j, c]) / tau)
                q = sigmoid((student[i, c] - student[j, c]) / tau)
                total += p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
                pairs += 1
    return total / pairs


@pytest.mark.parametrize(
    ("loss", "reference"),
    [(correlation_distance, numpy_correlation_distance), (pairwise_rank_divergence, numpy_rank_divergence)],
)
def test_loss_equals_numpy_reference(loss, reference):
    student, teacher = logits(1), logits(2)
    assert loss(student, teacher).item() == pytest.approx(
        reference(student.numpy(), teacher.numpy()), rel=1e-5
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_and_gradient_are_zero_where_both_agree(loss):
    student = logits(3).requires_grad_()
    value = loss(student, student.detach())
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert student.grad.abs().max() < 1e-6


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_equals_finite_differences(loss):
    student, teacher = logits(4, count=5).requires_grad_(), logits(5, count=5)
    loss(student, teacher).backward()
    step = 1e-2  # the losses compute in float32
    for row, column in ((0, 0), (2, 7), (4, 13)):
        ends = []
        for sign in (1, -1):
            moved = student.detach().clone()
            moved[row, column] += sign * step
            ends.append(loss(moved, teacher).item())
        slope = (ends[0] - ends[1]) / (2 * step)
        assert student.grad[row, column].item() == pytest.approx(slope, abs=2e-4)


def test_correlation_ignores_shift_and_scale_of_the_teacher():
    student, teacher = logits(6), logits(7)
    same = correlation_distance(student, 3 * teacher - 5)
    assert same.item() == pytest.approx(correlation_distance(student, teacher).item(), rel=1e-5)


def test_rank_divergence_ignores_a_shift_of_the_teacher():
    student, teacher = logits(6), logits(7)
    same = pairwise_rank_divergence(student, teacher - 5)
    assert same.item() == pytest.approx(pairwise_rank_divergence(student, teacher).item(), rel=1e-5)


def test_correlation_leaves_out_findings_without_deviation():
    student, teacher = logits(8), logits(9)
    teacher[:, 3] = 0.25
    columns = [column for column in range(14) if column != 3]
    expected = numpy_correlation_distance(student.numpy()[:, columns], teacher.numpy()[:, columns])
    assert correlation_distance(student, teacher).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_is_finite_for_extreme_logits_and_single_radiographs(loss):
    extreme = torch.full((6, 14), 100.0)
    extreme[::2] = -100.0
    student = (-extreme).requires_grad_()
    value = loss(student, extreme)
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()
    assert loss(extreme[:1], extreme[:1]).item() == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_is_finite_under_bfloat16_autocast(loss):
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(logits(1).bfloat16(), logits(2).bfloat16()).isfinite()


def test_bernoulli_kl_is_zero_for_equal_and_positive_for_other_logits():
    student, teacher = logits(1), logits(2)
    assert bernoulli_kl(teacher, teacher).abs().max() < 1e-12
    assert (bernoulli_kl(teacher, student) > 0).all()


def maps(seed, side=4):
    return torch.randn(3, 14, side, side, generator=torch.Generator().manual_seed(seed))


def test_map_distance_equals_numpy_reference():
    student, teacher, teacher_logits = maps(1), maps(2), logits(3, count=3).float()
    total = 0.0
    for b in range(3):
        probability = 1 / (1 + np.exp(-teacher_logits[b].numpy()))
        for c in range(14):
            shapes = []
            for one in (student, teacher):
                cells = one[b, c].numpy().ravel()
                cells = cells - cells.mean()
                shapes.append(cells / np.linalg.norm(cells))
            total += probability[c] / probability.sum() * ((shapes[0] - shapes[1]) ** 2).sum()
    assert map_distance(student, teacher, teacher_logits).item() == pytest.approx(total / 3, rel=1e-5)


def test_map_distance_ignores_shift_and_scale_and_is_zero_for_the_same_shape():
    student, teacher_logits = maps(1).requires_grad_(), logits(3, count=3).float()
    value = map_distance(student, 5 * student.detach() - 2, teacher_logits)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert student.grad.abs().max() < 1e-5


def test_map_distance_accepts_finer_teacher_maps_and_constant_maps():
    assert map_distance(maps(1), maps(2, side=8), logits(3, count=3)).isfinite()
    constant = torch.zeros(3, 14, 4, 4, requires_grad=True)
    value = map_distance(constant, maps(2), logits(3, count=3))
    value.backward()
    assert constant.grad.isfinite().all()


def test_gradient_of_map_distance_equals_finite_differences():
    student, teacher, teacher_logits = maps(1).requires_grad_(), maps(2, side=6), logits(3, count=3).float()
    map_distance(student, teacher, teacher_logits).backward()
    step = 1e-2
    for place in ((0, 0, 1, 1), (1, 7, 3, 0), (2, 13, 0, 2)):
        ends = []
        for sign in (1, -1):
            moved = student.detach().clone()
            moved[place] += sign * step
            ends.append(map_distance(moved, teacher, teacher_logits).item())
        assert student.grad[place].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=2e-4)


def test_map_distance_is_finite_for_extreme_maps_and_under_bfloat16_autocast():
    student, teacher = (100 * maps(seed) for seed in (1, 2))
    extreme = torch.full((3, 14), -100.0)
    student.requires_grad_()
    map_distance(student, teacher, extreme).backward()
    assert student.grad.isfinite().all()
    with torch.autocast("cpu", torch.bfloat16):
        assert map_distance(maps(1).bfloat16(), maps(2).bfloat16(), logits(3, count=3).bfloat16()).isfinite()
