"""Structures that resemble findings and are never labelled."""

import numpy as np

from cxr14.phantom.canvas import OUTLINE_Y, ridge, step, texture
from cxr14.phantom.chest import Chest


def draw_mimics(chest: Chest, rng: np.random.Generator, nuisance: float) -> None:
    """Draw each mimic with its own probability, multiplied by `nuisance`."""
    ap = chest.body.ap
    probabilities = (
        (nipples, 0.12),
        (skin_fold, 0.20 if ap else 0.08),
        (blunt_angle, 0.18),
        (faint_haze, 0.12),
        (granuloma, 0.15),
        (line, 0.45 if ap else 0.06),
        (leads, 0.35 if ap else 0.04),
    )
    # Every mimic has its own random stream, so that they do not depend on one another.
    for (mimic, probability), stream in zip(probabilities, rng.spawn(len(probabilities)), strict=True):
        if stream.random() < min(0.9, probability * nuisance):
            mimic(chest, stream)


def nipples(chest: Chest, rng: np.random.Generator) -> None:
    """Two small round shadows at the same height; one of them alone resembles a nodule."""
    y, radius = rng.uniform(0.15, 0.28), rng.uniform(0.018, 0.026)
    for sign in (-1.0, 1.0):
        x = sign * rng.uniform(0.38, 0.46)
        chest.add(step(radius - chest.grid.distance(x, y), 1.5 * chest.grid.edge) * chest.lung, 0.06)


def skin_fold(chest: Chest, rng: np.random.Generator) -> None:
    """A fold of skin against the detector: an edge like that of a pneumothorax, but vessels cross it."""
    side = int(rng.integers(2))
    inward = chest.to_wall - rng.uniform(0.08, 0.2) - rng.uniform(-0.12, 0.12) * chest.grid.y
    fold = step(inward, chest.grid.edge) * np.exp(np.clip(inward, 0.0, None) * -16.0)
    chest.add(
        fold * step(chest.grid.y + 0.3, 0.2) * chest.half(side) * chest.visible_lung,
        rng.uniform(0.03, 0.05),
    )


def blunt_angle(chest: Chest, rng: np.random.Generator) -> None:
    """A costophrenic angle closed by an old pleurisy, which resembles a small effusion."""
    side = int(rng.integers(2))
    depth = chest.body.dome[side] + rng.uniform(0.10, 0.19) - chest.grid.y
    chest.add_fluid(step(-depth, 3.0 * chest.grid.edge) * chest.half(side))


def faint_haze(chest: Chest, rng: np.random.Generator) -> None:
    """A scar or overlap too faint to be reported."""
    x, y = chest.random_point(rng)
    mottle = np.clip(0.6 + 0.3 * texture(rng, chest.grid.size, 12), 0.0, 1.2)
    chest.remove_air(chest.grid.cloud(x, y, 0.18, 0.18) * mottle, 0.12)


def granuloma(chest: Chest, rng: np.random.Generator) -> None:
    """A calcified granuloma or a vessel seen end on: small, and dense for its size."""
    x, y = chest.random_point(rng)
    chest.add(step(rng.uniform(0.012, 0.017) - chest.grid.distance(x, y), chest.grid.edge) * chest.lung, 0.14)


def line(chest: Chest, rng: np.random.Generator) -> None:
    """A venous line or tube: a thin bright curve from the neck downwards."""
    start, sway, turn, end = (
        rng.uniform(0.08, 0.5),
        rng.uniform(0.03, 0.12),
        rng.uniform(0, 6),
        rng.uniform(-0.25, 0.05),
    )
    sign = 1.0 if rng.random() < 0.25 else -1.0
    course = sign * (0.07 + (start - 0.07) * np.clip((end - OUTLINE_Y) / 0.8, 0.0, 1.5) ** 1.5)
    course = course + sway * (np.sin(3 * OUTLINE_Y + turn) - np.sin(3 * end + turn))
    off = chest.grid.x - chest.grid.at_y(course)
    chest.density += 0.13 * ridge(off, max(0.007, 0.4 * chest.grid.edge)) * step(end - chest.grid.y, 0.02)


def leads(chest: Chest, rng: np.random.Generator) -> None:
    """Electrodes of a heart monitor: small dense discs or rings with a wire, mostly in AP."""
    grid = chest.grid
    for _ in range(int(rng.integers(1, 4))):
        x, y, lean = rng.uniform(-0.65, 0.65), rng.uniform(-0.5, 0.4), rng.normal(0, 0.5)
        radius = grid.distance(x, y)
        if rng.random() < 0.5:
            chest.add(step(0.026 - radius, grid.edge), 0.20)
        else:
            chest.add(ridge(radius - 0.026, max(0.006, 0.3 * grid.edge)), 0.22)
        wire = ridge(grid.x - x - lean * (grid.y - y) ** 2, max(0.005, 0.3 * grid.edge))
        chest.add(wire * step(y - grid.y if rng.random() < 0.5 else grid.y - y, 0.02), 0.09)
