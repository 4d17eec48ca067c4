"""Distillation losses on correlation, rank and activation maps.

AUROC depends on the order of the radiographs alone. The first two losses do not change when the teacher's
logits of a finding are shifted (both) or scaled (correlation), so they transfer the order and not the
calibration.
"""

import torch
from torch import Tensor
from torch.nn import functional

from cxr14.training.losses import bernoulli_kl

SMALLEST_DEVIATION = 1e-3
"""A finding whose logits deviate less than this within the batch, for either network, is left out: its
correlation would be noise."""


def correlation_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return 1 - the Pearson correlation over the batch of student and teacher logits, mean over findings.

    Huang et al. 2022, "Knowledge Distillation from A Stronger Teacher" (DIST), its term within a class, here
    for each of 14 independent findings. 0 where the logits agree up to shift and positive scale, at most 2.
    It sees the batch that it is given: with ACCUMULATE or several processes, each part by itself.

    Args:
        student, teacher: (B, 14) logits.

    Returns:
        Scalar; 0 where no finding deviates enough, or B is 1.
    """
    if len(student) < 2:
        return student.sum() * 0
    student, teacher = student.float(), teacher.float()
    student, teacher = student - student.mean(dim=0), teacher - teacher.mean(dim=0)
    deviations = [logits.square().mean(dim=0).sqrt() for logits in (student.detach(), teacher.detach())]
    used = (deviations[0] >= SMALLEST_DEVIATION) & (deviations[1] >= SMALLEST_DEVIATION)
    distance = 1 - functional.cosine_similarity(student, teacher, dim=0)
    return torch.where(used, distance, torch.zeros_like(distance)).sum() / used.sum().clamp(min=1)


def pairwise_rank_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return how far the student orders pairs of radiographs otherwise than the teacher, mean over findings.

    With d_ij = z_i - z_j, the mean over pairs i < j of KL(sigma(d_t / tau) || sigma(d_s / tau)): Burges et
    al. 2005, "Learning to Rank using Gradient Descent" (RankNet), with the teacher's probabilities for
    labels, and its entropy subtracted so that agreement is 0. It sees the batch that it is given, as
    `correlation_distance` does.

    Args:
        student, teacher: (B, 14) logits.
        temperature: tau, above 0.

    Returns:
        Scalar, 0 or more; 0 where B is 1.
    """
    if len(student) < 2:
        return student.sum() * 0
    first, second = torch.triu_indices(len(student), len(student), offset=1, device=student.device)
    d_student = (student[first] - student[second]).float() / temperature  # (pairs, 14)
    d_teacher = (teacher[first] - teacher[second]).float() / temperature
    return bernoulli_kl(d_teacher, d_student).mean()


def map_distance(student: Tensor, teacher: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return how far the student's class activation maps differ in shape from the teacher's.

    sum over findings of q |m_s - m_t|^2, mean over radiographs, where m is a map less its mean over the
    cells, divided by its length, and q = sigma(z_t) / sum over findings of sigma(z_t): maps of findings
    that the teacher sees count most. 0 where the maps agree up to shift and positive scale, at most 4.

    Args:
        student: (B, 14, h, w) maps.
        teacher: (B, 14, h', w') maps; resized to (h, w) where they differ.
        teacher_logits: (B, 14) z_t.
    """
    student, teacher = student.float(), teacher.float()
    if teacher.shape != student.shape:
        teacher = functional.interpolate(teacher, student.shape[-2:], mode="bilinear", antialias=True)
    shapes = []
    for maps in (student, teacher):
        cells = maps.flatten(2)
        shapes.append(functional.normalize(cells - cells.mean(dim=2, keepdim=True), dim=2))
    # q in log-space: the probabilities may all be too small for float32.
    weights = functional.logsigmoid(teacher_logits.float()).softmax(dim=1)
    return (weights * (shapes[0] - shapes[1]).square().sum(dim=2)).sum(dim=1).mean()
