"""Signs of lung with less air than normal, or with more."""

import numpy as np

from cxr14.phantom import vessels
from cxr14.phantom.body import LEFT, RIGHT, X_SIGN
from cxr14.phantom.canvas import Field, ridge, step, texture
from cxr14.phantom.chest import Chest
from cxr14.phantom.signs.sign import Sign


def infiltration(chest: Chest, sign: Sign) -> list[Field]:
    """Hazy, patchy opacity without borders, in one to three places.

    Older reports use the word for opacities that are too ill-defined to be called consolidation. Vessels
    remain visible.
    """
    rng = sign.rng
    mottle = _mottle(chest, sign, cells=14)
    patches = []
    for _ in range(int(rng.integers(1, 4))):
        x, y = chest.random_point(rng)
        patch = chest.grid.cloud(x, y, rng.uniform(0.13, 0.24), rng.uniform(0.13, 0.26)) * mottle
        chest.remove_air(patch, 0.22 + 0.36 * sign.severity)
        patches.append(patch * chest.lung)
    return patches


def consolidation(chest: Chest, sign: Sign) -> list[Field]:
    """A lobe whose air is replaced: even and dense, with a sharp border at a fissure.

    The lung keeps its volume, and the adjacent border of heart or diaphragm is lost (silhouette sign).
    """
    rng, grid = sign.rng, chest.grid
    upper = rng.random() < 0.4
    fissure = rng.uniform(-0.16, 0.0) + rng.normal(0, 0.15) * (grid.side_x - 0.35)
    away = (fissure - grid.y) if upper else (grid.y - fissure)
    middle = float(fissure.mean()) + (-0.17 if upper else 0.19)
    lobe = grid.cloud(X_SIGN[sign.side] * rng.uniform(0.30, 0.42), middle, 0.26, 0.25)
    solid = (
        lobe
        * step(away, 2.0 * grid.edge)
        * chest.half(sign.side)
        * (0.8 + 0.2 * _mottle(chest, sign, cells=10))
    )
    chest.remove_air(solid, 0.24 + 0.46 * sign.severity)
    return [solid * chest.lung]


def pneumonia(chest: Chest, sign: Sign) -> list[Field]:
    """A mottled patch of infected lung, mostly low, with air bronchograms: dark branches in a white patch.

    Bronchi are invisible in healthy lung; they show where the alveoli around them are filled.
    """
    rng = sign.rng
    mottle = 0.4 + 0.6 * _mottle(chest, sign, cells=18)
    x, y = chest.random_point(rng, side=sign.side, low=rng.random() < 0.7)
    patch = chest.grid.cloud(x, y, rng.uniform(0.14, 0.21), rng.uniform(0.13, 0.22)) * mottle
    air = vessels.bronchi(chest, rng, sign.side)
    chest.remove_air(patch * (1.0 - 0.55 * air), 0.42 + 0.42 * sign.severity)
    footprints = [patch * chest.lung]
    if rng.random() < 0.3:
        other = chest.grid.cloud(-x, y + rng.normal(0, 0.1), 0.13, 0.14) * mottle
        chest.remove_air(other, 0.22 + 0.30 * sign.severity)
        footprints.append(other * chest.lung)
    return footprints


def edema(chest: Chest, sign: Sign) -> list[Field]:
    """Fluid in both lungs around the hila (bat-wing pattern) and in the septa.

    The septa show as short horizontal lines at the lower lateral wall (Kerley B lines); some fluid blunts the
    costophrenic angles. signs/volume.py widens the vessels.
    """
    rng, grid = sign.rng, chest.grid
    mottle = 0.55 + 0.45 * _mottle(chest, sign, cells=16)
    wings = np.zeros_like(grid.x)
    for side in (RIGHT, LEFT):
        x = X_SIGN[side] * (0.25 + 0.02 * rng.normal()) + chest.body.shift
        wings += grid.cloud(x, 0.02 + 0.03 * rng.normal(), 0.23, 0.36) * chest.half(side)
    chest.remove_air(wings * mottle, 0.09 + 0.29 * sign.severity)
    touching = step(0.11 - chest.to_wall, 0.03) * step(chest.to_wall - 0.005, grid.edge) * chest.lung
    for _ in range(int(2 + 5 * sign.severity)):
        y, side = rng.uniform(0.05, 0.38), int(rng.integers(2))
        chest.add(ridge(grid.y - y, max(0.005, 0.35 * grid.edge)) * touching * chest.half(side), 0.045)
    blunt = step(0.015 + 0.05 * sign.severity - chest.to_wall, 0.03) * step(grid.y - 0.28, 0.05)
    chest.remove_air(blunt, 0.3 * sign.severity)
    return [wings * chest.lung * chest.half(side) for side in (RIGHT, LEFT)]


def atelectasis(chest: Chest, sign: Sign) -> list[Field]:
    """Collapse: short oblique bands without air above a raised hemidiaphragm, in lung with less air."""
    rng, grid = sign.rng, chest.grid
    floor, x_sign = chest.body.dome[sign.side], X_SIGN[sign.side]
    plates = np.zeros_like(grid.x)
    for _ in range(int(rng.integers(1, 4))):
        x, y = x_sign * rng.uniform(0.27, 0.48), floor - rng.uniform(0.05, 0.24)
        slope, reach = rng.normal(0, 0.25), rng.uniform(0.11, 0.20)
        along = (grid.x - x) * (1 / reach)
        off = grid.y - y - slope * (grid.x - x)
        plates = np.maximum(
            plates, ridge(off, max(0.011 + 0.012 * sign.severity, 0.4 * grid.edge)) * np.exp(-(along**4))
        )
    chest.remove_air(plates, 0.46 + 0.42 * sign.severity)
    crowded = grid.cloud(x_sign * 0.35, floor - 0.04, 0.30, 0.15) * chest.half(sign.side)
    crowded *= 0.6 + 0.4 * _mottle(chest, sign, cells=14)
    chest.remove_air(crowded, 0.16 + 0.34 * sign.severity)
    return [np.maximum(plates, crowded) * chest.lung]


def fibrosis(chest: Chest, sign: Sign) -> list[Field]:
    """Scarred septa: a net of fine lines, densest at the bases and under the pleura, or at both apices."""
    rng, grid, size = sign.rng, chest.grid, chest.grid.size
    net = 0.8 * ridge(texture(rng, size, 36), 0.25) + 0.8 * ridge(texture(rng, size, 23), 0.15)
    body = chest.body
    zone = (step(grid.y - 0.0, 0.35) if rng.random() < 0.65 else step(body.apex + 0.36 - grid.y, 0.2)) * (
        0.35 + 0.65 * np.exp(np.clip(chest.to_wall, 0.0, None) * -4.5)
    )
    chest.remove_air(net * zone, 0.38 + 0.46 * sign.severity)
    chest.remove_air(zone, 0.10 + 0.14 * sign.severity)
    return [zone * chest.lung * chest.half(side) for side in (RIGHT, LEFT)]


def emphysema(chest: Chest, sign: Sign) -> list[Field]:
    """Bullae: large dark spaces without vessels, mostly at the apices.

    The main sign is the shape, set in signs/volume.py: large lungs over a flat, low diaphragm.
    """
    rng, grid = sign.rng, chest.grid
    for _ in range(int(rng.integers(0, 1 + round(3 * min(1.0, sign.severity))))):
        side = int(rng.integers(2))
        x, y = X_SIGN[side] * rng.uniform(0.28, 0.5), chest.body.apex + rng.uniform(0.15, 0.42)
        radius = grid.distance(x, y, rng.uniform(0.8, 1.1))
        size = rng.uniform(0.07, 0.13)
        chest.markings *= 1.0 - 0.9 * step(size - radius, 0.03)
        chest.add(ridge(radius - size, max(0.006, 0.4 * grid.edge)) * chest.visible_lung, 0.03)
    return [chest.lung * chest.half(side) for side in (RIGHT, LEFT)]


def _mottle(chest: Chest, sign: Sign, cells: int) -> Field:
    """Return the texture of an opacity: mean about 0.7, never negative."""
    fine, coarse = texture(sign.rng, chest.grid.size, cells), texture(sign.rng, chest.grid.size, cells // 2)
    return np.clip(0.7 + 0.22 * fine + 0.22 * coarse, 0.0, 1.3)
