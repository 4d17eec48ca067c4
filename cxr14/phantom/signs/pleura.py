"""Signs between lung and chest wall: water, air and scar in the pleural space."""

import numpy as np

from cxr14.phantom.canvas import Field, ridge, rise, texture
from cxr14.phantom.chest import Chest
from cxr14.phantom.signs.sign import Sign


def effusion(chest: Chest, sign: Sign) -> list[Field]:
    """Water in the pleural space sinks: it fills the costophrenic angle and climbs the wall in a curve.

    The upper border (meniscus) is highest at the lateral wall. Behind water neither lung nor diaphragm shows.
    In bed (AP) most of it runs out behind the lung instead, and veils the lower half of that side.
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
        water = rise(chest.grid.y - level + climb, 2.5 * chest.grid.edge) * chest.half(side)
        chest.flood(water)
        footprints.append(water * chest.seen_lung)
        if chest.body.ap:
            veil = rise(chest.grid.y - dome + 0.30, 0.5) * chest.half(side)
            chest.lose_air(veil, 0.12 + 0.30 * amount)
            footprints[-1] = np.maximum(footprints[-1], veil * chest.lung)
    return footprints


def pneumothorax(chest: Chest, sign: Sign) -> list[Field]:
    """Air between lung and wall: beyond a thin white line, the fallen lung's edge, no vessel can be seen.

    The air gathers where a standing patient's thorax is highest, so the gap is widest at the apex.
    """
    rng, grid, body = sign.rng, chest.grid, chest.body
    height = np.clip((body.base(sign.side) - grid.y) * (1 / (body.base(sign.side) - body.apex)), 0.0, 1.0)
    gap = (0.025 + 0.19 * sign.severity) * (0.35 + 0.65 * height) * (1.0 + 0.10 * texture(rng, grid.size, 5))
    inside_lung = np.minimum(chest.to_wall - gap, (grid.y - body.apex - 0.02 - 0.20 * sign.severity) * 0.9)
    half = chest.half(sign.side)
    free = rise(-inside_lung, 1.5 * grid.edge) * half
    chest.markings *= 1.0 - free
    # Air alone is a little blacker than air held in lung; the fallen lung is a little whiter.
    chest.add(free * chest.seen_lung, -0.03 - 0.02 * sign.severity)
    chest.lose_air((1.0 - free) * half, 0.03 + 0.10 * sign.severity)
    edge = ridge(inside_lung, max(0.006, 0.35 * grid.edge)) * half * chest.seen_lung
    chest.add(edge, 0.045 + 0.04 * sign.severity)
    return [free * chest.seen_lung]


def pleural_thickening(chest: Chest, sign: Sign) -> list[Field]:
    """Scarred pleura: an uneven white band on the inner wall, low down in the angle, or a cap on the apex."""
    rng, grid, body = sign.rng, chest.grid, chest.body
    relief = np.clip(0.75 + 0.35 * texture(rng, grid.size, 10), 0.2, 1.5)
    thickness = (0.050 + 0.095 * sign.severity) * relief
    low = rng.random() < 0.6
    border = rng.uniform(-0.15, 0.15)
    extent = rise(grid.y - border, 0.12) if low else rise(body.apex + 0.34 + border - grid.y, 0.12)
    side = chest.half(sign.side)
    band = rise(thickness - chest.to_wall, 2.0 * grid.edge) * extent * side
    if not low:
        # The cap lies on the top of the lung as well, where the wall is overhead.
        band = np.maximum(band, rise(1.2 * thickness - (grid.y - body.apex), 2.0 * grid.edge) * side)
    chest.lose_air(band, 0.70 + 0.20 * min(1.0, sign.severity))
    veil = rise(3.0 * thickness - chest.to_wall, 0.08) * extent * side
    chest.lose_air(veil, 0.16 + 0.20 * sign.severity)
    return [band * chest.lung]
