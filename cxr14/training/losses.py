"""Losses over 14 binary findings, from labels and from a teacher.

The training loop calls every loss as ``loss(views, logits, labels) -> scalar``. A distillation computes the
teacher's logits on the same views (cxr14/training/distillation.py).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from cxr14.training.views import Views

Loss = Callable[[Views, Tensor, Tensor], Tensor]
"""views, (B, 14) logits, (B, 14) labels in 0..1 -> scalar."""


def binary_cross_entropy(views: Views | None, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over radiographs and findings, from logits.

    Args:
        views: not used; every loss receives them.
        logits: (B, 14).
        labels: (B, 14), 0 to 1: between where radiographs are blended or labels smoothed.
    """
    return functional.binary_cross_entropy_with_logits(logits, labels)


def smoothed_cross_entropy(views: Views | None, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return the binary cross-entropy with labels moved towards 1/2: y (1 - s) + s / 2.

    Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 7, for
    independent binary findings.

    Args:
        views: not used.
        logits: (B, 14).
        labels: (B, 14), 0 to 1.
        smoothing: s, 0 to 1.
    """
    return binary_cross_entropy(views, logits, labels * (1 - smoothing) + smoothing / 2)


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


def bernoulli_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """Return KL(sigma(z_t) || sigma(z_s)) for each element, in log-space: finite for any logits.

    Args:
        teacher, student: logits of one shape.
    """
    yes = torch.sigmoid(teacher) * (functional.logsigmoid(teacher) - functional.logsigmoid(student))
    no = torch.sigmoid(-teacher) * (functional.logsigmoid(-teacher) - functional.logsigmoid(-student))
    return yes + no


def bernoulli_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T^2 * sum over findings of KL(sigma(z_t / T) || sigma(z_s / T)), mean over radiographs.

    The findings are independent, so the divergence is that of 14 Bernoulli variables, not of one softmax.

    Args:
        student, teacher: (B, 14) logits z_s and z_t.
        temperature: T, above 0; for T^2 see `squared_probability_gap`.
    """
    divergence = bernoulli_kl(teacher / temperature, student / temperature)
    return temperature**2 * divergence.sum(dim=1).mean()


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
        soft_weight: lambda, 0 or more. BCE is a mean over the findings and the divergence a sum, so with 1/14
            both are means. That is no equal weight for rare findings: the gradient of the divergence at T = 2
            is 1.2 times that at T = 1 where z_t = -1, and 10 times where z_t = -5.
    """
    hard = functional.binary_cross_entropy_with_logits(student, labels)
    return hard + soft_weight * bernoulli_divergence(student, teacher, temperature)


def matching_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, label_weight: float
) -> Tensor:
    """Return w BCE(z_s, y) + (1 - w) T^2 * mean over findings of KL(sigma(z_t / T) || sigma(z_s / T)).

    Function matching: Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent",
    for independent binary findings. The student learns mostly from the teacher, on views that both see, which
    MIXUP blends.

    Args:
        student, teacher: (B, 14) logits.
        labels: (B, 14), 0 to 1.
        temperature: T, above 0.
        label_weight: w, 0 to 1; 0 uses no labels.
    """
    divergence = bernoulli_divergence(student, teacher, temperature) / student.shape[1]
    if label_weight == 0:
        return divergence
    hard = functional.binary_cross_entropy_with_logits(student, labels)
    return label_weight * hard + (1 - label_weight) * divergence
