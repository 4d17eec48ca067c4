"""Tissue around the lungs: soft tissue, trachea, bones, stomach.

Every function returns attenuation: 0 is air, about 0.35 aerated lung, 0.65 the chest wall, 0.85 the heart
and 1 the abdomen.
"""

import numpy as np

from cxr14.phantom.body import LEFT, RIGHT
from cxr14.phantom.canvas import Field, ridge, step, texture, trace
from cxr14.phantom.chest import BELLY, BELLY_FADE, Chest

_RIB_SPACING = 0.119
_FIRST_RIB = -0.66
_LAST_RIB = 9


def soft_tissue(chest: Chest) -> tuple[Field, Field]:
    """Draw neck, shoulders, trunk, arms and abdomen, without the air of the lungs.

    The trunk is thickest at the midline; at its edge the beam passes little tissue.

    Returns:
        Attenuation, and the (S, S) share of each pixel that the body covers, 0 to 1.
    """
    grid, body = chest.grid, chest.body
    flesh = 0.04 * body.habitus
    flank = body.half_width + 0.12 + flesh
    shoulder = -0.80 - 0.03 * body.habitus
    skin = trace(
        [
            (-1.10, 0.26 + 0.5 * flesh),
            (shoulder - 0.10, 0.27 + 0.5 * flesh),
            (shoulder, 0.38 + flesh),
            (shoulder + 0.09, 0.66 + flesh),
            (shoulder + 0.17, 0.88 + flesh),
            (shoulder + 0.29, 1.04 + flesh),
            (shoulder + 0.44, 1.08 + flesh),
            (shoulder + 0.52, flank + 0.10),
            (-0.10, flank + 0.01),
            (0.30, flank),
            (0.80, flank + 0.02 + flesh),
        ],
        smooth=0.09,
    )
    edge = grid.at_y(skin)
    inward = np.clip((edge - grid.side_x) * (1 / 0.75), 0.0, 1.0)
    trunk = np.sqrt(inward * (2.0 - inward))
    arm, arm_covers = _arms(chest, flank)
    covered = step(edge - grid.side_x, 2 * grid.edge)
    total = covered * (0.30 + 0.34 * trunk + 0.02 * body.habitus)
    total += BELLY * step(-chest.to_floor, BELLY_FADE) * covered
    return np.maximum(total, arm), np.maximum(covered, arm_covers)


def trachea(chest: Chest) -> Field:
    """Draw the air of trachea and main bronchi, as negative attenuation."""
    grid, shift = chest.grid, chest.body.shift
    across = grid.x - 0.7 * shift - 0.012
    trunk = step(0.042 - np.abs(across), 0.05) * step(-0.22 - grid.y, 0.03)
    below = np.clip(grid.y + 0.24, 0.0, None)
    branch = (
        ridge(np.abs(across) - 1.1 * below, 0.022) * step(-0.10 - grid.y, 0.04) * step(grid.y + 0.26, 0.03)
    )
    return -0.075 * trunk - 0.045 * branch


def bones(chest: Chest, rng: np.random.Generator, nuisance: float) -> Field:
    """Draw ribs, clavicles, scapulae, shoulder joints and the spine.

    The cortex of a bone is denser than its middle, so a long bone shows as two parallel lines.
    """
    strength = float(np.exp(rng.normal(0, 0.2) * nuisance))
    offset = rng.normal(0, 0.02) * nuisance
    ribs = _ribs(chest, offset)
    girdle = _clavicles(chest, rng.normal(0, 0.018, 2) * nuisance) + _scapulae(chest) + _humeri(chest)
    return strength * (ribs + girdle) + _spine(chest, rng.random())


def breasts(chest: Chest, rng: np.random.Generator) -> Field:
    """Draw the shadows of two breasts, denser at the lower border, which may cross the diaphragm."""
    grid = chest.grid
    size, y = rng.uniform(0.25, 0.33), rng.uniform(0.10, 0.20)
    density = 0.09 + 0.03 * chest.body.habitus
    depth = 1 - np.sqrt(((grid.side_x - 0.42) * (1 / size)) ** 2 + ((grid.y - y) * (1 / size)) ** 2)
    lower = 0.45 + 0.55 * step(grid.y - y, 0.3)
    return max(0.03, density) * step(depth - 0.06, 0.22) * lower


def stomach(chest: Chest, rng: np.random.Generator) -> Field:
    """Draw the gas in the stomach under the left hemidiaphragm, as negative attenuation."""
    width, height, depth, x = (
        rng.uniform(0.09, 0.15),
        rng.uniform(0.04, 0.075),
        rng.uniform(0.05, 0.16),
        rng.normal(0, 0.04),
    )
    if rng.random() > 0.7:
        return np.zeros_like(chest.grid.x)
    bubble = 1 - chest.grid.distance(0.34 + x, chest.body.dome[LEFT] + 0.075 + height, width / height) * (
        1 / width
    )
    return -depth * step(bubble, 0.35) * step(-chest.to_floor - 0.01, 2 * chest.grid.edge)


def muscle_grain(chest: Chest, rng: np.random.Generator) -> Field:
    """Draw the faint texture of muscle, fat and bowel."""
    return 0.012 * texture(rng, chest.grid.size, 7) + 0.008 * texture(rng, chest.grid.size, 15)


def _arms(chest: Chest, flank: float) -> tuple[Field, Field]:
    grid = chest.grid
    # In bed (AP) the arms lie close to the trunk; standing, they are turned outwards.
    lean = 0.10 if chest.body.ap else 0.30
    axis = 0.17 + flank + lean * np.clip(grid.y + 0.45, 0.0, None)
    across = np.clip(np.abs(grid.side_x - axis) * (1 / 0.135), 0.0, 1.0)
    covers = step(1.0 - across, 0.25) * step(grid.y + 0.45, 0.35)
    return covers * (0.22 + 0.30 * np.sqrt(1.0 - across * across)), covers


def _tube(across: Field, half_width: float, edge: float) -> Field:
    """Return the profile of a long bone: 0.5 in the middle, 1 at the cortex, 0 outside."""
    out = np.abs(across) * (1 / half_width)
    return step(1.0 - out, max(0.3, edge / half_width)) * (0.5 + 0.5 * np.clip(out, 0.0, 1.0) ** 4)


def _ribs(chest: Chest, offset: float) -> Field:
    grid = chest.grid
    # All ribs at once: y less the course of the ribs, in units of their spacing. The nearest integer is the
    # number of the rib, the remainder the distance from its axis.
    lateral = np.clip(grid.side_x / np.maximum(chest.wall_x + 0.02, 0.05), 0.0, 1.15)
    cube = lateral * lateral * lateral
    slope = 0.85 + 0.55 * (grid.y + 0.7)
    back = (grid.y - _FIRST_RIB - offset - slope * (0.20 * cube - 0.075 * np.sin(3.0 * lateral))) * (
        1 / _RIB_SPACING
    )
    front = (grid.y - _FIRST_RIB - offset - 0.16 - slope * 0.30 * (1.0 - lateral)) * (
        1 / (1.08 * _RIB_SPACING)
    )
    fade = grid.edge / _RIB_SPACING
    within = step(chest.wall_x + 0.045 - grid.side_x, 0.03) * step(grid.side_x - 0.08, 0.05)
    behind = _tube(back - np.round(back), 0.21, fade) * _between(back, 0, _LAST_RIB)
    before = _tube(front - np.round(front), 0.24, fade) * _between(front, 0, 6) * step(lateral - 0.52, 0.25)
    # Along the chest wall the beam passes many ribs end on.
    wall = ridge(chest.to_wall + 0.025, 0.028) * step(chest.to_floor + 0.03, 0.12) * step(grid.y + 0.62, 0.1)
    return within * (0.10 * behind + 0.055 * before) + 0.075 * wall


def _between(order: Field, first: int, last: int) -> Field:
    return step(order - first + 0.5, 0.1) * step(last + 0.5 - order, 0.1)


def _clavicles(chest: Chest, tilts: np.ndarray) -> Field:
    grid = chest.grid
    along = np.clip((grid.side_x - 0.09) * (1 / 0.75), 0.0, 1.0)
    tilt = grid.by_side(np.float32(tilts[RIGHT]), np.float32(tilts[LEFT]))
    course = -0.505 + tilt - 0.23 * along + 0.035 * np.sin(6.28 * along) + 0.2 * tilt * along
    within = step(grid.side_x - 0.09, 0.04) * step(0.84 - grid.side_x, 0.04)
    return 0.12 * within * _tube(grid.y - course, 0.027, grid.edge)


def _scapulae(chest: Chest) -> Field:
    grid = chest.grid
    # Standing, the shoulders are turned forward, which moves the scapulae off the lungs.
    bow = 0.05 * np.sin(7.0 * (grid.y + 0.55))
    border = chest.body.half_width - (0.09 if chest.body.ap else 0.0) + 0.12 * (grid.y + 0.5) - bow
    inward = grid.side_x - border
    outward = 0.95 - 0.42 * (grid.y + 0.62) + bow - grid.side_x
    blade = (
        step(inward, 2 * grid.edge)
        * step(outward, 2 * grid.edge)
        * step(grid.y + 0.62, 0.05)
        * step(-grid.y, 0.1)
    )
    return blade * (0.032 + 0.03 * ridge(inward - 0.012, 0.016) + 0.02 * ridge(outward - 0.015, 0.02))


def _humeri(chest: Chest) -> Field:
    grid = chest.grid
    head = step(0.115 - grid.distance(-0.99, -0.575), 2 * grid.edge)
    head = np.maximum(head, step(0.115 - grid.distance(0.99, -0.575), 2 * grid.edge))
    axis = 1.00 + (0.10 if chest.body.ap else 0.30) * np.clip(grid.y + 0.5, 0.0, None)
    shaft = _tube(grid.side_x - axis, 0.055, grid.edge) * step(grid.y + 0.52, 0.06)
    return 0.09 * np.maximum(head, shaft)


def _spine(chest: Chest, phase: float) -> Field:
    grid = chest.grid
    across = grid.x - 0.3 * chest.body.shift
    column = step(0.092 - np.abs(across), 0.07)
    discs = np.cos((grid.y * (1 / 0.138) + phase) * 6.283)
    pedicles = ridge(np.abs(across) - 0.05, 0.018) * np.clip(-discs, 0.0, None)
    return column * (0.08 + 0.018 * discs) + 0.03 * pedicles
