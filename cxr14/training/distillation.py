"""Teachers, their logits, and the loss that compares student and teacher."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cxr14.models.class_maps import WithClassMaps
from cxr14.runtime import precision
from cxr14.settings import DistillationSettings
from cxr14.training import losses, relations
from cxr14.training.teacher_cache import TeacherCache
from cxr14.training.views import Views

Compare = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(B, 14) student logits, (B, 14) teacher logits, (B, 14) labels -> scalar."""


@dataclass
class Teacher:
    """A frozen network, and where its logits are kept."""

    model: nn.Module
    cache: TeacherCache | None = None
    image_size: int | None = None
    """Side of the crops that it sees, in pixels; None: that of the student's."""

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)

    def logits(self, views: Views) -> Tensor:
        """Return the (B, 14) float32 logits of the views, computed or from the cache."""
        if self.cache is None:
            return self._compute(self.model, views)
        return self.cache.logits(views.epoch, views.rows, partial(self._compute, self.model, views)).to(
            views.images.device, non_blocking=True
        )

    def logits_and_maps(self, views: Views) -> tuple[Tensor, Tensor]:
        """Return the (B, 14) logits and the (B, 14, h, w) class activation maps; never from the cache."""
        return self._compute(WithClassMaps(self.model), views)

    @torch.no_grad()
    def _compute(self, model: nn.Module, views: Views) -> Tensor | tuple[Tensor, ...]:
        images = views.at(self.image_size) if self.image_size else views.images
        with precision.autocast(images.device):
            outputs = model(images)
        return tuple(each.float() for each in outputs) if isinstance(outputs, tuple) else outputs.float()


class Combination(NamedTuple):
    """How the logits of K teachers become one: sum over k of scale_k * z_k, plus the shift."""

    scale: Tensor
    """(K, 14)."""
    shift: Tensor
    """(14,)."""

    def of(self, logits: Tensor) -> Tensor:
        """Return the (B, 14) combination of (K, B, 14) logits."""
        scale, shift = self.scale.to(logits), self.shift.to(logits)
        return (scale[:, None] * logits).sum(dim=0) + shift


class Distillation:
    """A loss that compares the student with its teachers.

    Args:
        teachers: one or more.
        compare: (student logits, teacher logits, labels) -> scalar.
        combination: how several teachers' logits become one; None: their mean, the geometric mean of the
            odds.
        map_weight: weight of the distance of the class activation maps, a mean over the teachers; above 0 the
            training has to hand the student's maps over in its views.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        compare: Compare,
        combination: Combination | None = None,
        map_weight: float = 0.0,
    ) -> None:
        self.teachers, self.compare = tuple(teachers), compare
        self.combination, self.map_weight = combination, map_weight

    def __call__(self, views: Views, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss of (B, 14) student `logits` on the views that they were computed from."""
        maps: tuple[Tensor, ...] = ()
        if self.map_weight:
            answers, maps = zip(*(teacher.logits_and_maps(views) for teacher in self.teachers), strict=True)
        else:
            answers = [teacher.logits(views) for teacher in self.teachers]
        answers = torch.stack(answers)  # (K, B, 14)
        teacher_logits = self.combination.of(answers) if self.combination else answers.mean(dim=0)
        loss = self.compare(logits, teacher_logits, labels)
        if self.map_weight:
            distances = [relations.map_distance(views.maps, each, teacher_logits) for each in maps]
            loss = loss + self.map_weight * torch.stack(distances).mean()
        return loss


def comparison(settings: DistillationSettings) -> Compare:
    """Return the loss that the settings name, with its terms on correlation and rank."""
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
