"""Signs of the pleural space: fluid, air and scar between lung and chest wall."""

import numpy as np

from cxr14.phantom.canvas import Field, ridge, step, texture
from cxr14.phantom.chest import Chest
from cxr14.phantom.signs.sign import Sign


def effusion(chest: Chest, sign: Sign) -> list[Field]:
    """Fluid in the pleural space: it fills the costophrenic angle, with a curved upper border (meniscus).

    The meniscus is highest at the lateral wall. The fluid hides lung and diaphragm. In bed (AP) most of it
    spreads behind the lung and makes the lower half of that side hazy.
    """
    rng = sign.rng
    other = rng.random() < 0.3
    footprints = []
    for side, amount in ((sign.side, sign.severity), (1 - sign.side, 0.5 * sign.severity if other else 0.0)):
        if amount == 0.0:
            continue
        dome = chest.body.dome[side]
        standing = 0.4 * amount if chest.body.ap else amount
        level = dome + 0.19 - 0.29 * standing**1.2
        climb = (0.03 + 0.18 * standing) * np.exp(np.clip(chest.to_wall, 0.0, None) * -8.0)
        water = step(chest.grid.y - level + climb, 2.5 * chest.grid.edge) * chest.half(side)
        chest.add_fluid(water)
        footprints.append(water * chest.visible_lung)
        if chest.body.ap:
            veil = step(chest.grid.y - dome + 0.30, 0.5) * chest.half(side)
            chest.remove_air(veil, 0.12 + 0.30 * amount)
            footprints[-1] = np.maximum(footprints[-1], veil * chest.lung)
    return footprints


def pneumothorax(chest: Chest, sign: Sign) -> list[Field]:
    """Air between lung and wall: a thin white line, the edge of the lung, without vessels beyond it.

    The gap is widest at the apex, because air rises in a standing patient.
    """
    rng, grid, body = sign.rng, chest.grid, chest.body
    height = np.clip((body.base(sign.side) - grid.y) * (1 / (body.base(sign.side) - body.apex)), 0.0, 1.0)
    gap = (0.025 + 0.19 * sign.severity) * (0.35 + 0.65 * height) * (1.0 + 0.10 * texture(rng, grid.size, 5))
    inside_lung = np.minimum(chest.to_wall - gap, (grid.y - body.apex - 0.02 - 0.20 * sign.severity) * 0.9)
    half = chest.half(sign.side)
    free = step(-inside_lung, 1.5 * grid.edge) * half
    chest.markings *= 1.0 - free
    # Air is a little darker than lung, and the collapsed lung a little whiter than normal.
    chest.add(free * chest.visible_lung, -0.03 - 0.02 * sign.severity)
    chest.remove_air((1.0 - free) * half, 0.03 + 0.10 * sign.severity)
    edge = ridge(inside_lung, max(0.006, 0.35 * grid.edge)) * half * chest.visible_lung
    chest.add(edge, 0.045 + 0.04 * sign.severity)
    return [free * chest.visible_lung]


def pleural_thickening(chest: Chest, sign: Sign) -> list[Field]:
    """Scarred pleura: an uneven white band at the lower chest wall, or a cap on the apex."""
    rng, grid, body = sign.rng, chest.grid, chest.body
    relief = np.clip(0.75 + 0.35 * texture(rng, grid.size, 10), 0.2, 1.5)
    thickness = (0.050 + 0.095 * sign.severity) * relief
    low = rng.random() < 0.6
    border = rng.uniform(-0.15, 0.15)
    extent = step(grid.y - border, 0.12) if low else step(body.apex + 0.34 + border - grid.y, 0.12)
    side = chest.half(sign.side)
    band = step(thickness - chest.to_wall, 2.0 * grid.edge) * extent * side
    if not low:
        # The cap also covers the top of the lung.
        band = np.maximum(band, step(1.2 * thickness - (grid.y - body.apex), 2.0 * grid.edge) * side)
    chest.remove_air(band, 0.70 + 0.20 * min(1.0, sign.severity))
    veil = step(3.0 * thickness - chest.to_wall, 0.08) * extent * side
    chest.remove_air(veil, 0.16 + 0.20 * sign.severity)
    return [band * chest.lung]
