"""The branching shadows of the lung: arteries and veins from the hila, and air in bronchi."""

import numpy as np

from cxr14.phantom.body import LEFT, RIGHT, TOWARDS
from cxr14.phantom.canvas import Field, Grid, blur
from cxr14.phantom.chest import Chest

HILUM = ((0.155, -0.03), (0.165, -0.07))  # |x|, y: the left hilum stands a little higher

_STEM, _TWIG, _TWIGS = 48, 28, 5  # points along a stem and a twig, twigs on a stem


def markings(chest: Chest, rng: np.random.Generator) -> Field:
    """Draw the vessels of both lungs: thick at the hila, tapering, gone in the outer third.

    Args:
        chest: where; calibres come from its body.
        rng: stream.

    Returns:
        (S, S), 0 to 1.
    """
    trees = [_tree(chest, rng, side, stems=13, length=0.62) for side in (RIGHT, LEFT)]
    for tree, calibre in zip(trees, chest.body.vessels, strict=True):
        tree[3] *= calibre
    return _drawn(chest.grid, np.concatenate(trees, axis=1))


def bronchi(chest: Chest, rng: np.random.Generator, side: int) -> Field:
    """Draw the larger bronchi of one lung, dark where the lung around them is solid; (S, S), 0 to 1."""
    tree = _tree(chest, rng, side, stems=8, length=0.5)
    tree[3] *= tree[2] > 0.007
    return _drawn(chest.grid, tree)


def hila(chest: Chest) -> Field:
    """The roots of the lungs, where the great vessels overlap; (S, S), 0 to 1."""
    shadow = np.zeros_like(chest.grid.x)
    for side, (x, y) in enumerate(HILUM):
        at = TOWARDS[side] * (x + 0.02) + chest.body.shift
        shadow += chest.grid.cloud(at, y, 0.055, 0.10) * chest.body.vessels[side]
    return shadow


def _tree(chest: Chest, rng: np.random.Generator, side: int, stems: int, length: float) -> np.ndarray:
    """Points of the stems and twigs of one lung: (4, points), rows x, y, half width, weight."""
    x, y = HILUM[side]
    # More and longer vessels run down than up: the lower lobes are larger and gravity fills them.
    angle = np.deg2rad(np.linspace(-80, 88, stems) + rng.normal(0, 9, stems))
    reach = length * rng.uniform(0.6, 1.0, stems) * (0.80 + 0.25 * np.sin(angle))
    along = np.linspace(0, 1, _STEM)
    bend = angle[:, None] + rng.normal(0.15, 0.45, (stems, 1)) * along
    stride = (reach / (_STEM - 1))[:, None]
    stem_x, stem_y = np.cumsum(np.cos(bend) * stride, 1), np.cumsum(np.sin(bend) * stride, 1)
    stem_w = 0.019 * (1 - 0.92 * along) * rng.uniform(0.7, 1.2, (stems, 1))
    fork, stem = rng.integers(6, _STEM - 10, (stems, _TWIGS)), np.arange(stems)[:, None]
    turn = bend[stem, fork] + rng.choice([-1, 1], (stems, _TWIGS)) * rng.uniform(0.3, 0.8, (stems, _TWIGS))
    twig = np.linspace(0, 1, _TWIG)
    twig_bend = turn[..., None] + rng.normal(0, 0.4, (stems, _TWIGS, 1)) * twig
    twig_reach = reach[:, None] * (1 - fork / _STEM) * rng.uniform(0.5, 0.9, (stems, _TWIGS))
    twig_stride = (twig_reach / (_TWIG - 1))[..., None]
    twig_x = stem_x[stem, fork][..., None] + np.cumsum(np.cos(twig_bend) * twig_stride, 2)
    twig_y = stem_y[stem, fork][..., None] + np.cumsum(np.sin(twig_bend) * twig_stride, 2)
    twig_w = 0.72 * stem_w[stem, fork][..., None] * (1 - 0.85 * twig)
    widths = np.concatenate([stem_w.ravel(), twig_w.ravel()])
    strides = np.concatenate([np.repeat(stride, _STEM), np.repeat(twig_stride, _TWIG)])
    points_x = TOWARDS[side] * (x + np.concatenate([stem_x.ravel(), twig_x.ravel()])) + chest.body.shift
    points_y = y + np.concatenate([stem_y.ravel(), twig_y.ravel()])
    return np.stack([points_x, points_y, widths, widths * strides])


def _drawn(grid: Grid, tree: np.ndarray) -> Field:
    x, y, width, weight = tree
    thick = width > 0.0095
    shadow = np.zeros_like(grid.x)
    for chosen, spread in ((thick, 0.0045), (~thick, 0.0022)):
        shadow += blur(_scattered(grid, x[chosen], y[chosen], weight[chosen]), max(spread, 0.45 / grid.size))
    # Vessels that cross are no denser than the thicker one: saturate.
    return np.tanh(2.0 * shadow)


def _scattered(grid: Grid, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Field:
    """Spread each point's weight over its four nearest pixels, as weight per area of the film."""
    size = grid.size
    column, row = grid.pixels_of(x, y)
    on = (column > 0) & (column < size - 2) & (row > 0) & (row < size - 2)
    column, row, weight = column[on], row[on], weight[on] * (size * size / 4)
    first_column, first_row = column.astype(np.intp), row.astype(np.intp)
    right, down = column - first_column, row - first_row
    corner = first_row * size + first_column
    places = np.concatenate([corner, corner + 1, corner + size, corner + size + 1])
    shares = np.concatenate([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down])
    total = np.bincount(places, shares * np.tile(weight, 4), size * size)
    return total.reshape(size, size).astype(np.float32)
