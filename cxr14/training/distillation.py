"""Teachers, their logits, and the loss that compares student and teacher."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from cxr14.runtime import precision
from cxr14.settings import DistillSettings
from cxr14.training import losses, relations
from cxr14.training.views import Views
from cxr14.training.teacher_cache import TeacherCache

Compare = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(B, 14) student logits, (B, 14) teacher logits, (B, 14) labels -> scalar."""


@dataclass
class Teacher:
    """A frozen network, and where its logits are kept."""

    model: nn.Module
    cache: TeacherCache | None = None

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)

    def logits(self, views: Views) -> Tensor:
        """Return the (B, 14) float32 logits of the views, computed or from the cache."""
        if self.cache is None:
            return self._compute(views.images)
        return self.cache.logits(views.epoch, views.rows, partial(self._compute, views.images)).to(
            views.images.device, non_blocking=True
        )

    @torch.no_grad()
    def _compute(self, images: Tensor) -> Tensor:
        with precision.autocast(images.device):
            return self.model(images).float()


class Distillation:
    """A loss that compares the student with the mean logits of its teachers.

    Args:
        teachers: one or more; the mean of their logits is the geometric mean of their odds.
        compare: (student logits, teacher logits, labels) -> scalar.
    """

    def __init__(self, teachers: Sequence[Teacher], compare: Compare) -> None:
        self.teachers, self.compare = tuple(teachers), compare

    def __call__(self, views: Views, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss of (B, 14) student `logits` on the views that they were computed from."""
        teacher_logits = torch.stack([teacher.logits(views) for teacher in self.teachers]).mean(dim=0)
        return self.compare(logits, teacher_logits, labels)


def comparison(settings: DistillSettings) -> Compare:
    """Return the loss that the settings name, with its extra terms."""
    if settings.distill_loss == "study":
        base = partial(losses.study_loss, hard_weight=settings.hard_weight)
    elif settings.distill_loss == "matching":
        base = partial(losses.matching_loss, label_weight=settings.label_weight)
    else:
        base = partial(losses.bernoulli_loss, soft_weight=settings.soft_weight)
    base = partial(base, temperature=settings.temperature)
    if not settings.correlation_weight and not settings.rank_weight:
        return base

    def with_relations(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        total = base(student, teacher, labels)
        if settings.correlation_weight:
            total = total + settings.correlation_weight * relations.correlation_distance(student, teacher)
        if settings.rank_weight:
            total = total + settings.rank_weight * relations.pairwise_rank_divergence(student, teacher)
        return total

    return with_relations
