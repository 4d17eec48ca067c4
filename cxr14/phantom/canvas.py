"""Drawing functions: coordinates, soft edges, textures and blurs.

Lengths are in image units: the image spans -1 to 1 in x (to the right, the patient's left) and y (downwards).
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

Field = np.ndarray  # (S, S) float32
Extent = tuple[float, float, float, float]  # x, y, width, height, as shares of the side

# Outlines are tabulated over this range of y, which is larger than the image.
_TOP, _BOTTOM, _ROWS = -1.6, 1.6, 513
OUTLINE_Y = np.linspace(_TOP, _BOTTOM, _ROWS, dtype=np.float32)
OUTLINE_STEP = (_BOTTOM - _TOP) / (_ROWS - 1)


@dataclass(frozen=True)
class Pose:
    """Position of the patient: scale, tilt in radians, and displacement in image units."""

    scale: float = 1.0
    tilt: float = 0.0
    right: float = 0.0
    down: float = 0.0


class Grid:
    """Pixel centres of a square image, in the patient's coordinates.

    Attributes:
        size: pixels on a side, S.
        edge: width of a sharp border, about a pixel and a half, in image units.
        x, y: (S, S) float32, the patient's coordinates: the midline is x = 0.
        side_x: |x|.
    """

    def __init__(self, size: int, pose: Pose) -> None:
        self.size = size
        self.edge = 3.0 / size / pose.scale
        self._pose = pose
        line = (np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0
        along, down = line[None, :] - pose.right, line[:, None] - pose.down
        cosine, sine = float(np.cos(pose.tilt)) / pose.scale, float(np.sin(pose.tilt)) / pose.scale
        self.x = along * cosine + down * sine
        self.y = down * cosine - along * sine
        self.side_x = np.abs(self.x)

    @cached_property
    def left(self) -> np.ndarray:
        """(S, S) bool: the patient's left half, which is the right half of the image."""
        return self.x > 0

    def by_side(self, right: Field, left: Field) -> Field:
        """Return `right` in the patient's right half and `left` in the left one."""
        return np.where(self.left, left, right)

    def at_y(self, outline: np.ndarray) -> Field:
        """Interpolate an outline, tabulated at OUTLINE_Y, at the y of every pixel."""
        index, fraction = self._place
        table = outline.astype(np.float32, copy=False)
        return table[index] + fraction * np.diff(table)[index]

    @cached_property
    def _place(self) -> tuple[np.ndarray, Field]:
        place = (self.y - _TOP) * (1 / OUTLINE_STEP)
        index = np.clip(place.astype(np.intp), 0, _ROWS - 2)
        return index, place - index.astype(np.float32)

    def pixels_of(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Convert points in the patient's coordinates to columns and rows, with fractions."""
        cosine, sine = (
            float(np.cos(self._pose.tilt)) * self._pose.scale,
            float(np.sin(self._pose.tilt)) * self._pose.scale,
        )
        along, down = x * cosine - y * sine + self._pose.right, x * sine + y * cosine + self._pose.down
        return (along + 1) * (self.size / 2) - 0.5, (down + 1) * (self.size / 2) - 0.5

    def distance(self, x: float, y: float, squash: float = 1.0) -> Field:
        """Return the distance to a point; with `squash` above 1, equal distances form wide ellipses."""
        return np.sqrt((self.x - x) ** 2 + ((self.y - y) * squash) ** 2)

    def cloud(self, x: float, y: float, width: float, height: float) -> Field:
        """Return a soft-edged ellipse with the given half axes, 1 in the middle."""
        radius = ((self.x - x) * (1 / width)) ** 2 + ((self.y - y) * (1 / height)) ** 2
        return np.exp(-radius * np.sqrt(np.sqrt(radius)))


def step(value: Field, width: float) -> Field:
    """Return 0 where `value` is far below 0, 1 far above, 1/2 at 0, with a smooth step of about `width`."""
    ramp = np.clip(value * (1 / width) + 0.5, 0.0, 1.0)
    return ramp * ramp * (3.0 - 2.0 * ramp)


def ridge(value: Field, width: float) -> Field:
    """Return a soft line: a Gaussian of `value` with standard deviation `width`, 1 at 0."""
    return np.exp(-0.5 * (value * (1 / width)) ** 2)


def trace(points: list[tuple[float, float]], smooth: float = 0.05) -> np.ndarray:
    """Return an outline x(y) through points, with rounded corners.

    Args:
        points: (y, x), from top to bottom.
        smooth: length in y over which corners are rounded.

    Returns:
        The outline tabulated at OUTLINE_Y.
    """
    heights, places = zip(*points, strict=True)
    line = np.interp(OUTLINE_Y, heights, places)
    reach = max(1, round(smooth / OUTLINE_STEP))
    kernel = np.hanning(2 * reach + 3)[1:-1]
    padded = np.concatenate([np.full(reach, line[0]), line, np.full(reach, line[-1])])
    return np.convolve(padded, kernel / kernel.sum(), mode="valid").astype(np.float32)


def texture(rng: np.random.Generator, size: int, cells: int) -> Field:
    """Return a smooth random texture with mean 0 and standard deviation about 1.

    The random numbers depend on `cells` alone, so the texture is the same at every size.

    Args:
        rng: random stream.
        size: pixels on a side.
        cells: independent values along a side.
    """
    basis = _lumps(size, cells)
    return basis @ rng.standard_normal((basis.shape[1], basis.shape[1]), dtype=np.float32) @ basis.T


def blur(image: Field, sigma: float) -> Field:
    """Blur with a Gaussian whose weights are normalised at the border, so that the border does not darken.

    Args:
        image: (S, S) float32.
        sigma: standard deviation as a share of the side.
    """
    matrix = _gaussian(image.shape[0], sigma)
    return matrix @ image @ matrix.T


def bounds(footprint: Field, level: float = 0.35) -> Extent | None:
    """Return the smallest box around where `footprint` exceeds `level` of its peak; None if it is empty."""
    peak = float(footprint.max())
    if peak < 0.05:
        return None
    inside = footprint > level * peak
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    size = footprint.shape[0]
    top, left = int(rows[0]), int(columns[0])
    return left / size, top / size, (int(columns[-1]) + 1 - left) / size, (int(rows[-1]) + 1 - top) / size


@lru_cache(maxsize=64)
def _lumps(size: int, cells: int) -> np.ndarray:
    pixels = (np.arange(size) + 0.5) / size * cells
    weights = np.exp(-0.5 * ((pixels[:, None] - np.arange(-1, cells + 2)) / 0.6) ** 2)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=64)
def _gaussian(size: int, sigma: float) -> np.ndarray:
    pixels = np.arange(size)
    weights = np.exp(-0.5 * ((pixels[:, None] - pixels) / (sigma * size)) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
