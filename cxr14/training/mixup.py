"""Mixup: each radiograph of a batch blended with another one, labels alike.

Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization"; for distillation Beyer et al. 2022, "Knowledge
distillation: A good teacher is patient and consistent": student and teacher see the same blend.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Blend(NamedTuple):
    """How the radiographs of a batch are blended; on the CPU."""

    weight: Tensor
    """(B,) float32, the share of the radiograph itself, 0.5 to 1."""
    partner: Tensor
    """(B,) int64, the radiograph of the batch that has the rest."""


def draw_blend(count: int, alpha: float, generator: torch.Generator) -> Blend:
    """Draw a weight and a partner for each radiograph of a batch.

    The weight is max(m, 1 - m) with m ~ Beta(alpha, alpha), drawn for each radiograph; partners are a random
    permutation. A radiograph may be its own partner, which leaves it as it is.

    Args:
        count: B.
        alpha: above 0; 1 is uniform, small values blend little.
        generator: of the CPU, so that the blends are the same on every device.
    """
    concentration = torch.full((count, 2), alpha, dtype=torch.float64)
    gamma = torch._standard_gamma(concentration, generator=generator)
    # Two gamma variables that both underflow to 0 would give 0 / 0: no blend then.
    share = torch.where(gamma.sum(dim=1) > 0, gamma[:, 0] / gamma.sum(dim=1), torch.ones(count).double())
    weight = torch.maximum(share, 1 - share).float()
    return Blend(weight, torch.randperm(count, generator=generator))


def blend(values: Tensor, how: Blend) -> Tensor:
    """Return weight * value + (1 - weight) * the partner's value, radiograph by radiograph.

    Args:
        values: (B, ...) floating: images or labels.
        how: of the B radiographs.
    """
    weight = how.weight.to(values.device, values.dtype).view(-1, *(1,) * (values.dim() - 1))
    return torch.lerp(values[how.partner.to(values.device)], values, weight)
