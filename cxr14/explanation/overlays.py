"""Heat maps drawn on radiographs, and a contact sheet of them."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cxr14.data.geometry import read_side
from cxr14.data.nih_tables import BOX_SIDE
from cxr14.explanation.localization import Box, crop_start
from cxr14.files import atomic_write
from cxr14.findings import FINDINGS

SIDE = 512
"""Pixels of an overlay: a radiograph in it is whole, and large enough to read."""
MOST_ON_SHEET = 24
"""Radiographs on a contact sheet: more of them than anyone looks at in one picture."""

_STRONGEST = 0.6  # share of colour where the map is highest: the lung beneath stays visible
_BOX, _FRAME = (40, 200, 255), (150, 150, 150)
_TILE = 2.3  # inches of a radiograph on the sheet
_DPI = 100


@dataclass(frozen=True, eq=False)
class Look:
    """One radiograph, and where a network looked on it for one finding."""

    name: str
    radiograph: np.ndarray
    """(P, P) uint8, whole."""
    heat: np.ndarray
    """(S, S), 0 to 1, over its centre crop."""
    finding: int
    """Column number."""
    probability: float
    """What the network says of the centre crop."""
    labelled: bool
    """Whether the image list has the finding."""
    boxes: Sequence[Box] = ()
    """Where the finding is seen, if that is known."""

    @property
    def caption(self) -> str:
        """Finding, probability and label."""
        return f"{FINDINGS[self.finding]} {self.probability:.2f}, label {int(self.labelled)}"


def overlay(radiograph: np.ndarray, heat: np.ndarray | None = None, boxes: Sequence[Box] = ()) -> Image.Image:
    """Draw a map and boxes on a radiograph; a thin frame shows the part that the network saw.

    Args:
        radiograph: (P, P) uint8, whole.
        heat: (S, S), 0 to 1, over its centre crop; None draws neither map nor frame.
        boxes: of the finding.

    Returns:
        (SIDE, SIDE) RGB.
    """
    gray = Image.fromarray(radiograph).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    picture = gray.convert("RGB")
    if heat is not None:
        start, end = _seen(len(heat))
        strength = Image.fromarray(heat.astype(np.float32)).resize(
            (end - start,) * 2, Image.Resampling.BILINEAR
        )
        strength = np.asarray(strength).clip(0, 1)
        colour = Image.fromarray(_colours()[(strength * 255).astype(np.uint8)])
        share = Image.fromarray((strength * 255 * _STRONGEST).astype(np.uint8))
        picture.paste(colour, (start, start), share)
        ImageDraw.Draw(picture).rectangle((start, start, end - 1, end - 1), outline=_FRAME)
    pen = ImageDraw.Draw(picture)
    for box in boxes:
        corners = [round(place * SIDE / BOX_SIDE) for place in (box.x, box.y, box.x + box.w, box.y + box.h)]
        pen.rectangle(corners, outline=_BOX, width=3)
    return picture


def save_overlay(path: Path, look: Look) -> None:
    """Write a look as a PNG of SIDE x SIDE pixels.

    Raises:
        InputError: the disk does not take it.
    """
    with atomic_write(path) as aside:
        overlay(look.radiograph, look.heat, look.boxes).save(aside, format="PNG")


def contact_sheet(path: Path, looks: Sequence[Look], title: str, note: str) -> None:
    """Draw a row a radiograph: itself, and beside it each finding that was looked for.

    Args:
        path: the PNG that appears.
        looks: of any number of radiographs, those of one radiograph side by side; the first `MOST_ON_SHEET`
            radiographs are drawn.
        title: stands on top.
        note: what must be known to read it; stands below the title.

    Raises:
        InputError: the disk does not take it.
    """
    from matplotlib.figure import Figure

    rows = _rows(looks)[:MOST_ON_SHEET]
    columns = 1 + max(len(row) for row in rows)
    width, top = max(columns * (_TILE + 0.1), 7.5), 0.95
    height = len(rows) * (_TILE + 0.32) + top
    figure = Figure((width, height), facecolor="white")
    figure.text(0.1 / width, 1 - 0.1 / height, title, size=12, weight="bold", va="top")
    told = textwrap.fill(note, int(width * 15))
    figure.text(0.1 / width, 1 - 0.37 / height, told, size=8.5, color="#444", va="top", linespacing=1.3)
    for number, row in enumerate(rows):
        bottom = height - top - (number + 1) * (_TILE + 0.32) + 0.05
        tiles = [(row[0].name, overlay(row[0].radiograph))]
        tiles += [(look.caption, overlay(look.radiograph, look.heat, look.boxes)) for look in row]
        for column, (caption, picture) in enumerate(tiles):
            left = 0.1 + column * (_TILE + 0.1)
            axes = figure.add_axes((left / width, bottom / height, _TILE / width, _TILE / height))
            axes.imshow(picture, interpolation="antialiased")
            axes.set_axis_off()
            axes.set_title(caption.replace("_", " ") if column else caption, size=8, loc="left", pad=3)
    with atomic_write(path) as aside:
        figure.savefig(aside, format="png", dpi=_DPI)


def _rows(looks: Sequence[Look]) -> list[list[Look]]:
    rows: dict[str, list[Look]] = {}
    for look in looks:
        rows.setdefault(look.name, []).append(look)
    return list(rows.values())


def _seen(image_size: int) -> tuple[int, int]:
    """First and last edge, in pixels of the overlay, of the crop that the network saw."""
    side, start = read_side(image_size), crop_start(image_size)
    return round(start * SIDE / side), round((start + image_size) * SIDE / side)


@cache
def _colours() -> np.ndarray:
    from matplotlib import colormaps

    # Yellow to red: seen on the dark lung and on the bright heart alike, and no gray of the radiograph's own.
    return colormaps["YlOrRd"](np.linspace(0.2, 0.9, 256), bytes=True)[:, :3]
