"""Blends depend on their generator alone, keep the mean, and treat images and labels alike."""

import numpy as np
import pytest
import torch

from cxr14.training.mixup import Blend, blend, draw_blend


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_equal_generators_draw_equal_blends():
    for one, other in zip(draw_blend(16, 0.3, generator(1)), draw_blend(16, 0.3, generator(1)), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(draw_blend(16, 0.3, generator(1)).weight, draw_blend(16, 0.3, generator(2)).weight)


@pytest.mark.parametrize("alpha", [0.01, 0.3, 1.0, 8.0])
def test_weights_follow_the_folded_beta_distribution(alpha):
    drawn = draw_blend(20_000, alpha, generator())
    assert ((drawn.weight >= 0.5) & (drawn.weight <= 1)).all()
    reference = np.random.default_rng(0).beta(alpha, alpha, 200_000)
    expected = np.maximum(reference, 1 - reference).mean()
    assert drawn.weight.mean().item() == pytest.approx(expected, abs=0.005)


def test_partners_are_a_permutation():
    assert torch.equal(draw_blend(50, 1.0, generator()).partner.sort().values, torch.arange(50))


def test_blend_equals_the_formula():
    how = draw_blend(5, 1.0, generator(3))
    images = torch.rand(5, 3, 4, 4, generator=generator(4))
    for row, (weight, partner) in enumerate(zip(how.weight, how.partner, strict=True)):
        expected = weight * images[row] + (1 - weight) * images[partner]
        assert torch.allclose(blend(images, how)[row], expected, atol=1e-6)


def test_weight_of_one_changes_nothing():
    images = torch.rand(4, 3, 2, 2)
    assert torch.equal(blend(images, Blend(torch.ones(4), torch.tensor([3, 2, 1, 0]))), images)
