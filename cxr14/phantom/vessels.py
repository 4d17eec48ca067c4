"""Branching structures of the lung: arteries, veins, bronchi."""

from typing import NamedTuple

import numpy as np

from cxr14.phantom.body import LEFT, RIGHT, X_SIGN
from cxr14.phantom.canvas import Field, Grid, blur
from cxr14.phantom.chest import Chest

HILUM = ((0.155, -0.03), (0.165, -0.07))  # |x|, y: the left hilum stands a little higher

_TWIGS = 5  # on a stem
_THICK_SPREAD, _THIN_SPREAD = 0.0045, 0.0022  # of the dots that draw a vessel, as shares of the side


def markings(chest: Chest, rng: np.random.Generator) -> Field:
    """Draw the vessels of both lungs: thick at the hila, tapering, invisible in the outer third.

    Args:
        chest: its body has the calibres.
        rng: random stream.

    Returns:
        (S, S), 0 to 1.
    """
    trees = [_tree(chest, rng, side, stems=13, length=0.62) for side in (RIGHT, LEFT)]
    for tree, calibre in zip(trees, chest.body.vessels, strict=True):
        tree[3] *= calibre
    return _drawn(chest.grid, np.concatenate(trees, axis=1))


def bronchi(chest: Chest, rng: np.random.Generator, side: int) -> Field:
    """Draw the larger bronchi of one lung, which are dark in a lung without air; (S, S), 0 to 1."""
    tree = _tree(chest, rng, side, stems=8, length=0.5)
    tree[3] *= tree[2] > 0.007
    return _drawn(chest.grid, tree)


def hila(chest: Chest) -> Field:
    """Draw the hila, where the great vessels overlap; (S, S), 0 to 1."""
    shadow = np.zeros_like(chest.grid.x)
    for side, (x, y) in enumerate(HILUM):
        at = X_SIGN[side] * (x + 0.02) + chest.body.shift
        shadow += chest.grid.cloud(at, y, 0.055, 0.10) * chest.body.vessels[side]
    return shadow


def _tree(chest: Chest, rng: np.random.Generator, side: int, stems: int, length: float) -> np.ndarray:
    """Return points of the stems and twigs of one lung: (4, points); x, y, half width, weight."""
    dots = int(min(max(0.2 * chest.grid.size, 16), 96))  # so close that they show as a line
    # More and longer vessels run downwards: the lower lobes are larger and better perfused.
    heading = np.deg2rad(np.linspace(-80, 88, stems) + rng.normal(0, 9, stems))
    reach = length * rng.uniform(0.6, 1.0, stems) * (0.80 + 0.25 * np.sin(heading))
    root = np.zeros(stems)
    stem = _walk(root, root, heading, rng.normal(0.15, 0.45, stems), reach, dots)
    stem_width = 0.019 * rng.uniform(0.7, 1.2, (stems, 1)) * np.linspace(1, 0.08, dots)

    forks = rng.uniform(0.13, 0.80, (stems, _TWIGS))
    at = np.arange(stems)[:, None], (forks * dots).astype(int)
    turn = rng.choice([-1, 1], (stems, _TWIGS)) * rng.uniform(0.3, 0.8, (stems, _TWIGS))
    twig_reach = reach[:, None] * (1 - forks) * rng.uniform(0.5, 0.9, (stems, _TWIGS))
    curl = rng.normal(0, 0.4, (stems, _TWIGS))
    twig_dots = dots * 3 // 5
    twig = _walk(stem.x[at], stem.y[at], stem.heading[at] + turn, curl, twig_reach, twig_dots)
    twig_width = 0.72 * stem_width[at][..., None] * np.linspace(1, 0.15, twig_dots)

    x, y = (
        np.concatenate([one.ravel(), other.ravel()]) for one, other in ((stem.x, twig.x), (stem.y, twig.y))
    )
    width = np.concatenate([stem_width.ravel(), twig_width.ravel()])
    weight = np.concatenate([(stem_width * stem.stride).ravel(), (twig_width * twig.stride).ravel()])
    out, up = HILUM[side]
    return np.stack([X_SIGN[side] * (out + x) + chest.body.shift, up + y, width, weight])


class _Walk(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    heading: np.ndarray
    stride: np.ndarray


def _walk(
    x: np.ndarray, y: np.ndarray, heading: np.ndarray, curl: np.ndarray, reach: np.ndarray, dots: int
) -> _Walk:
    """Return dots along curves that start at x, y and turn by `curl` in total, on a new last axis."""
    way = heading[..., None] + curl[..., None] * np.linspace(0, 1, dots)
    stride = (reach / (dots - 1))[..., None]
    along, down = np.cumsum(np.cos(way) * stride, -1), np.cumsum(np.sin(way) * stride, -1)
    return _Walk(x[..., None] + along, y[..., None] + down, way, stride)


def _drawn(grid: Grid, tree: np.ndarray) -> Field:
    x, y, width, weight = tree
    thick = width > 0.0095
    least = 0.45 / grid.size
    if least > _THICK_SPREAD:
        shadow = blur(_scattered(grid, x, y, weight), least)
    else:
        shadow = blur(_scattered(grid, x[thick], y[thick], weight[thick]), _THICK_SPREAD)
        shadow += blur(_scattered(grid, x[~thick], y[~thick], weight[~thick]), max(least, _THIN_SPREAD))
    # Saturated, because crossing vessels are no denser than the thicker of the two.
    return np.tanh(2.0 * shadow)


def _scattered(grid: Grid, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Field:
    """Distribute the weight of each point over its four nearest pixels, as weight per area."""
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
