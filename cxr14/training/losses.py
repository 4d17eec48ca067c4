"""Losses over 14 independent binary findings: from the labels, and two that also use a teacher.

The training loop calls every loss as ``loss(images, logits, labels) -> scalar``. In a distillation the teacher
receives the same images.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxr14.runtime import precision

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(B, 3, H, W) images, (B, 14) logits, (B, 14) labels in 0..1 -> scalar."""


def binary_cross_entropy(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over radiographs and findings, from logits.

    Args:
        images: not used; every loss receives them.
        logits: (B, 14).
        labels: (B, 14), 0 or 1.
    """
    return functional.binary_cross_entropy_with_logits(logits, labels)


def focal_binary_cross_entropy(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """Return the mean of (1 - p)^gamma * -log(p), where p is the probability given to the true label.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 4, without its class weight.
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    # 1 - p_true as a sigmoid, not as 1 - exp(-ce): exact where p is close to 1.
    complement = torch.sigmoid(logits * (1 - 2 * labels))
    return (complement**gamma * cross_entropy).mean()


def squared_probability_gap(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T^2 * mean((sigma(z_s / T) - sigma(z_t / T))^2) over radiographs and findings.

    Args:
        student, teacher: (B, 14) logits z_s and z_t.
        temperature: T, above 0. The factor T^2 keeps the gradient's size when T grows (Hinton et al. 2015,
            "Distilling the Knowledge in a Neural Network", section 2).
    """
    gap = torch.sigmoid(student / temperature) - torch.sigmoid(teacher / temperature)
    return temperature**2 * gap.square().mean()


def bernoulli_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T^2 * sum over findings of KL(sigma(z_t / T) || sigma(z_s / T)), mean over radiographs.

    The findings are independent, so the divergence is that of 14 Bernoulli variables, not of one softmax. It
    is computed in log-space and finite for any logits.

    Args:
        student, teacher: (B, 14) logits z_s and z_t.
        temperature: T, above 0; for T^2 see `squared_probability_gap`.
    """
    student, teacher = student / temperature, teacher / temperature
    yes = torch.sigmoid(teacher) * (functional.logsigmoid(teacher) - functional.logsigmoid(student))
    no = torch.sigmoid(-teacher) * (functional.logsigmoid(-teacher) - functional.logsigmoid(-student))
    return temperature**2 * (yes + no).sum(dim=1).mean()


def study_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, hard_weight: float
) -> Tensor:
    """Return alpha * focal-BCE(z_s, y; gamma = 2) + (1 - alpha) * T^2 * MSE(sigma(z_s / T), sigma(z_t / T)).

    The loss of the study that this repository redoes (DTforCXR8), with two errors corrected: its softmax
    across findings that do not exclude one another, and its logarithms of raw logits.

    Args:
        student, teacher: (B, 14) logits.
        labels: (B, 14), 0 or 1.
        temperature: T, above 0.
        hard_weight: alpha, 0 to 1.
    """
    hard = focal_binary_cross_entropy(student, labels)
    return hard_weight * hard + (1 - hard_weight) * squared_probability_gap(student, teacher, temperature)


def bernoulli_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, soft_weight: float
) -> Tensor:
    """Return BCE(z_s, y) + lambda * T^2 * sum over findings of KL(sigma(z_t / T) || sigma(z_s / T)).

    Source: Hinton et al. 2015, sections 2 and 2.1, for independent binary findings instead of classes.

    Args:
        student, teacher: (B, 14) logits.
        labels: (B, 14), 0 or 1.
        temperature: T, above 0.
        soft_weight: lambda, 0 or more. BCE is a mean over the findings and the divergence a sum, so 1/14 gives
            labels and teacher equal weight.
    """
    hard = functional.binary_cross_entropy_with_logits(student, labels)
    return hard + soft_weight * bernoulli_divergence(student, teacher, temperature)


class Distillation:
    """A loss that computes the logits of frozen teachers and passes them to one of the losses above.

    Args:
        teachers: networks that map the student's images to (B, 14) logits. They are frozen and set to eval
            here; the logits of several are averaged (the geometric mean of their odds).
        compare: (student logits, teacher logits, labels) -> scalar.
    """

    def __init__(
        self, teachers: Sequence[nn.Module], compare: Callable[[Tensor, Tensor, Tensor], Tensor]
    ) -> None:
        self.teachers = [teacher.eval().requires_grad_(False) for teacher in teachers]
        self.compare = compare

    def __call__(self, images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss of (B, 14) student `logits` on the crops that they were computed from."""
        with torch.no_grad(), precision.autocast(images.device):
            teacher_logits = torch.stack([teacher(images) for teacher in self.teachers]).float().mean(dim=0)
        return self.compare(logits, teacher_logits, labels)
