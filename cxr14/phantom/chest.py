"""Geometry of lungs, heart and diaphragm, and their attenuation."""

from functools import cached_property

import numpy as np

from cxr14.phantom.body import LEFT, RIGHT, X_SIGN, Body
from cxr14.phantom.canvas import OUTLINE_STEP, OUTLINE_Y, Field, Grid, step, trace

# Attenuation of the abdomen beyond that of the chest wall, and the height over which it increases.
BELLY, BELLY_FADE = 0.19, 0.10


class Chest:
    """Fields of one chest on one grid.

    A radiograph is a map of attenuation. Lungs are dark because they contain air. Processes that replace the
    air (fluid, pus, collapse, scar) multiply `aeration`, so that two of them in one place are no whiter than
    solid tissue. Processes that add tissue (mass, nodule) add to `density`.

    Attributes:
        grid, body: pixel coordinates, and the numbers that describe the patient.
        to_wall: (S, S) distance from the inner chest wall along its normal, positive inside.
        to_floor: (S, S) height above the diaphragm.
        lung: (S, S) 0 to 1, the lung with the part behind the heart.
        heart: (S, S) 0 to 1, the silhouette of heart and great vessels.
        aeration: (S, S) remaining share of the air, 1 before any sign.
        density: (S, S) attenuation added by signs, in the units of tissue.py.
        markings: (S, S) visible share of the vessels.
    """

    def __init__(self, grid: Grid, body: Body) -> None:
        self.grid, self.body = grid, body
        walls, slopes, medial = zip(*(self._outline(side) for side in (RIGHT, LEFT)), strict=True)
        wall = grid.by_side(*(grid.at_y(table) for table in walls))
        slant = grid.by_side(*(grid.at_y(table) for table in slopes))
        self.wall_x = wall
        self.to_wall = (wall - grid.side_x) * slant
        right_floor, left_floor = self._floor(RIGHT), self._floor(LEFT)
        floor = right_floor + (left_floor - right_floor) * step(grid.x, 0.16)
        self.to_floor = floor - grid.y
        inner = grid.side_x - grid.by_side(*(grid.at_y(table) for table in medial))
        self.lung = (
            step(self.to_wall, grid.edge) * step(self.to_floor, 1.4 * grid.edge) * step(inner, grid.edge)
        )
        self.heart = self._silhouette()
        self.aeration = np.ones_like(grid.x)
        self.density = np.zeros_like(grid.x)
        self.markings = np.ones_like(grid.x)

    def half(self, side: int) -> Field:
        """Return 1 on one side of the midline of the mediastinum and 0 on the other."""
        left = step(self.grid.x - self.body.shift, self.grid.edge)
        return left if side == LEFT else 1.0 - left

    @cached_property
    def visible_lung(self) -> Field:
        """Lung that is not behind the heart, 0 to 1."""
        return self.lung * (1.0 - self.heart)

    def remove_air(self, where: Field, amount: float) -> None:
        """Remove the share `amount` of the air, weighted by `where` (0 to 1)."""
        self.aeration *= 1.0 - np.clip(where * amount, 0.0, 0.97)

    def add(self, where: Field, amount: float) -> None:
        """Add tissue of attenuation `amount`, weighted by `where` (0 to 1)."""
        self.density += where * amount

    def add_fluid(self, where: Field) -> None:
        """Fill the pleural space with fluid, weighted by `where` (0 to 1); it is as dense as the abdomen."""
        self.remove_air(where, 0.95)
        beside_heart = step(self.to_wall, self.grid.edge) * (1.0 - self.heart)
        self.add(where * step(self.to_floor, BELLY_FADE) * beside_heart, BELLY)

    def random_point(
        self, rng: np.random.Generator, side: int | None = None, low: bool = False
    ) -> tuple[float, float]:
        """Draw a point well inside a lung.

        Args:
            rng: random stream.
            side: RIGHT or LEFT; None draws it.
            low: whether to draw from the lower half.
        """
        side = int(rng.integers(2)) if side is None else side
        body = self.body
        down = rng.uniform(0.52 if low else 0.18, 0.88)
        y = body.apex + down * (body.dome[side] - body.apex)
        inner = 0.20 + 0.20 * max(0.0, down - 0.5)
        outer = 0.84 * body.half_width * (0.62 + 0.38 * min(1.0, down * 1.6))
        return X_SIGN[side] * rng.uniform(inner, outer), y

    def _outline(self, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        body = self.body
        down = (OUTLINE_Y - body.apex) / (body.base(side) - body.apex)
        inside = np.clip(down, 0.0, 1.0)
        tip = 0.29
        wall = tip + (body.half_width - tip) * (1 - (1 - inside) ** 2.3) ** 0.60
        # Above its apex the lung has no wall: the distance becomes negative.
        wall -= 3.0 * np.clip(body.apex - OUTLINE_Y, 0.0, None)
        slant = 1 / np.sqrt(1 + np.gradient(wall, OUTLINE_STEP) ** 2)
        medial = 0.07 + (tip - 0.07) * (1 - np.sqrt(1 - np.clip(1 - down / 0.22, 0.0, 1.0) ** 2))
        return wall, slant, medial

    def _floor(self, side: int) -> Field:
        body, crest = self.body, 0.34
        lateral = np.clip((self.grid.side_x - crest) * (1 / (body.half_width - crest)), 0.0, 1.3)
        medial = np.clip((crest - self.grid.side_x) * (1 / crest), 0.0, 1.0)
        return body.dome[side] + body.drop[side] * lateral**2 * np.sqrt(lateral) + 0.07 * medial**2

    def _silhouette(self) -> Field:
        body, grid = self.body, self.grid
        width = body.heart_ratio * 2 * body.half_width
        left, right = 0.655 * width, 0.345 * width
        tip = body.dome[LEFT] - 0.07
        knob = -0.31
        arch = 0.155 + 0.035 * body.unfolding
        left_border = trace(
            [
                (-0.80, 0.105),
                (knob - 0.12, 0.110),
                (knob - 0.03, arch),
                (knob + 0.03, arch),
                (knob + 0.11, 0.140),
                (-0.11, 0.165),
                (-0.02, 0.185),
                (0.08, 0.46 * left + 0.06),
                (tip - 0.16, 0.87 * left),
                (tip - 0.03, left),
                (tip + 0.04, 0.98 * left),
                (tip + 0.16, 0.78 * left),
            ]
        )
        right_border = trace(
            [
                (-0.80, 0.085),
                (-0.35, 0.100 + 0.02 * body.unfolding),
                (-0.10, 0.120),
                (0.02, 0.60 * right + 0.03),
                (0.5 * tip + 0.06, right),
                (tip, 0.92 * right),
                (tip + 0.2, 0.70 * right),
            ]
        )
        across = grid.x - body.shift
        soft = 1.3 * grid.edge + 0.012
        return step(grid.at_y(left_border) - across, soft) * step(across + grid.at_y(right_border), soft)
