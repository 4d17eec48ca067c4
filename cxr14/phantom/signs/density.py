"""Signs that add tissue: nodule, mass, a large heart, a hernia."""

import numpy as np

from cxr14.phantom.canvas import Field, ridge, step
from cxr14.phantom.chest import Chest
from cxr14.phantom.signs.sign import Sign


def nodule(chest: Chest, sign: Sign) -> list[Field]:
    """A round, well-defined opacity of up to 3 cm, sometimes two or three."""
    rng = sign.rng
    spots = []
    for _ in range(1 + (rng.random() < 0.25) + (rng.random() < 0.1)):
        x, y = chest.random_point(rng)
        radius = rng.uniform(0.036, 0.066) * (0.85 + 0.40 * sign.severity)
        ball = _ball(chest, chest.grid.distance(x, y, rng.uniform(0.85, 1.18)), radius, soft=1.5)
        chest.add(ball * chest.lung, 0.13 + 0.19 * sign.severity)
        spots.append(ball * chest.lung)
    return spots


def mass(chest: Chest, sign: Sign) -> list[Field]:
    """An opacity of more than 3 cm with a lobulated or spiculated border."""
    rng, grid = sign.rng, chest.grid
    x, y = chest.random_point(rng)
    radius = 0.080 + 0.075 * sign.severity
    around = np.arctan2(grid.y - y, grid.x - x)
    lobes = 1.0 + 0.10 * np.sin(int(rng.integers(2, 5)) * around + rng.uniform(0, 6))
    spikes = 0.025 * np.sin(int(rng.integers(7, 12)) * around + rng.uniform(0, 6))
    lump = _ball(chest, grid.distance(x, y) / (lobes + spikes), radius, soft=3.0)
    chest.add(lump * chest.lung, 0.12 + 0.15 * sign.severity)
    return [lump * chest.lung]


def cardiomegaly(chest: Chest, sign: Sign) -> list[Field]:
    """A heart wider than half of the thorax.

    The size is set in signs/volume.py; the footprint is the heart below the hila.
    """
    del sign
    return [chest.heart * step(chest.grid.y + 0.08, 0.03) * step(chest.to_floor + 0.05, 0.03)]


def hernia(chest: Chest, sign: Sign) -> list[Field]:
    """Hiatal hernia: a round shadow behind the heart, with gas above a fluid level."""
    rng, grid, body = sign.rng, chest.grid, chest.body
    radius = 0.15 + 0.10 * sign.severity
    x = body.shift + rng.normal(0.05, 0.05)
    y = min(body.dome) - 0.04 - 0.45 * radius
    from_middle = grid.distance(x, y, 1.12)
    sac = step(radius - from_middle, max(2.0 * grid.edge, 0.25 * radius))
    surface = y - 0.05 * radius + rng.normal(0, 0.02)
    gas = step(0.84 * radius - from_middle, 2.0 * grid.edge) * step(surface - grid.y, grid.edge)
    if rng.random() < 0.15:
        gas *= 0.0  # a sac without gas
    # The sac lies behind the heart: it is white beside the heart, and its gas is dark on the heart.
    chest.remove_air(sac * (1.0 - gas), 0.75)
    chest.add(sac, 0.05)
    chest.add(ridge(from_middle - 0.92 * radius, max(0.02, 0.5 * grid.edge)), 0.015)
    chest.add(gas, -0.12 - 0.18 * sign.severity)
    return [sac]


def _ball(chest: Chest, distance: Field, radius: float, soft: float) -> Field:
    """Return the attenuation of a ball: nearly even inside, with a steep border."""
    return step(radius - distance, max(soft * chest.grid.edge, 0.5 * radius))
