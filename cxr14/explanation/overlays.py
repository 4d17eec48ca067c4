"""Heat maps drawn on radiographs, and a contact sheet of them."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from cxr14.data.boxes import BOX_SIDE, Box
from cxr14.data.geometry import crop_start, read_side
from cxr14.files import atomic_write
from cxr14.findings import FINDINGS

SIDE = 512
"""Side of an overlay in pixels; it shows the whole radiograph."""
MOST_ON_SHEET = 24
"""Most radiographs on a contact sheet."""

_MAX_OPACITY = 0.6  # where the map is highest: the lung beneath stays visible
_BOX, _FRAME = (40, 200, 255), (150, 150, 150)
_TILE = 2.3  # inches of a radiograph on the sheet
_GAP, _CAPTION, _MARGIN = 0.1, 0.32, 0.1  # inches
_DPI = 100


@dataclass(frozen=True, eq=False)
class HeatMap:
    """The heat map of one finding on one radiograph, and what is known about the two."""

    name: str
    """File name of the radiograph."""
    radiograph: np.ndarray
    """(P, P) uint8, the whole radiograph."""
    heat: np.ndarray
    """(S, S), 0 to 1, over the centre crop."""
    finding: int
    """Column number."""
    probability: float
    """Probability of the finding that the network gives the centre crop."""
    label: int
    """Label of the finding in the image list, 0 or 1."""
    boxes: Sequence[Box] = ()
    """Annotated boxes of the finding, if there are any."""

    @property
    def caption(self) -> str:
        """Finding, probability and label."""
        return f"{FINDINGS[self.finding]} {self.probability:.2f}, label {self.label}"


def overlay(radiograph: np.ndarray, heat: np.ndarray | None = None, boxes: Sequence[Box] = ()) -> Image.Image:
    """Draw a heat map and boxes on a radiograph; a thin frame shows the centre crop.

    Args:
        radiograph: (P, P) uint8, the whole radiograph.
        heat: (S, S), 0 to 1, over the centre crop; None draws neither map nor frame.
        boxes: of the finding.

    Returns:
        (SIDE, SIDE) RGB.
    """
    gray = Image.fromarray(radiograph).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    picture = gray.convert("RGB")
    if heat is not None:
        start, end = _crop_edges(len(heat))
        crop = (end - start, end - start)
        resized = Image.fromarray(heat.astype(np.float32)).resize(crop, Image.Resampling.BILINEAR)
        strength = np.asarray(resized).clip(0, 1)
        colour = Image.fromarray(_colours()[(strength * 255).astype(np.uint8)])
        opacity = Image.fromarray((strength * 255 * _MAX_OPACITY).astype(np.uint8))
        picture.paste(colour, (start, start), opacity)
        ImageDraw.Draw(picture).rectangle((start, start, end - 1, end - 1), outline=_FRAME)
    pen = ImageDraw.Draw(picture)
    for box in boxes:
        corners = [round(edge * SIDE / BOX_SIDE) for edge in (box.x, box.y, box.x + box.w, box.y + box.h)]
        pen.rectangle(corners, outline=_BOX, width=3)
    return picture


def save_overlay(path: Path, heat_map: HeatMap, caution: str = "") -> None:
    """Write an overlay as a PNG file of SIDE x SIDE pixels.

    Args:
        path: the PNG file.
        heat_map: what to draw.
        caution: a line that is drawn on the lower edge and stored as the PNG text "Caution".

    Raises:
        InputError: the file cannot be written.
    """
    picture = overlay(heat_map.radiograph, heat_map.heat, heat_map.boxes)
    text = PngImagePlugin.PngInfo()
    if caution:
        pen, font = ImageDraw.Draw(picture), ImageFont.load_default(16)
        pen.rectangle((0, SIDE - 24, 12 + pen.textlength(caution, font), SIDE), fill="black")
        pen.text((6, SIDE - 12), caution, fill="white", font=font, anchor="lm")
        text.add_text("Caution", caution)
    with atomic_write(path) as aside:
        picture.save(aside, format="PNG", pnginfo=text)


def save_contact_sheet(path: Path, heat_maps: Sequence[HeatMap], title: str, note: str) -> None:
    """Draw a row for each radiograph: the radiograph, and beside it the overlay of each finding.

    Args:
        path: the PNG file.
        heat_maps: of any number of radiographs; the first `MOST_ON_SHEET` radiographs are drawn.
        title: stands on top, and is stored as the PNG text "Title".
        note: explains the sheet; stands below the title.

    Raises:
        InputError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    rows = _by_radiograph(heat_maps)[:MOST_ON_SHEET]
    columns = 1 + max(len(row) for row in rows)
    width = max(columns * (_TILE + _GAP), 7.5)
    title_lines = textwrap.wrap(title, int(width * 10))
    note_lines = textwrap.wrap(note, int(width * 15))
    title_height, note_height = 0.22 * len(title_lines), 0.165 * len(note_lines)
    top = 2 * _MARGIN + title_height + note_height
    height = len(rows) * (_TILE + _CAPTION) + top
    figure = Figure((width, height), facecolor="white")
    left, below = _MARGIN / width, 1 - (_MARGIN + title_height) / height
    figure.text(left, 1 - _MARGIN / height, "\n".join(title_lines), size=12, weight="bold", va="top")
    figure.text(left, below, "\n".join(note_lines), size=8.5, color="#444", va="top", linespacing=1.3)
    for number, row in enumerate(rows):
        bottom = height - top - (number + 1) * (_TILE + _CAPTION) + 0.05
        tiles = [(row[0].name, overlay(row[0].radiograph))]
        for one in row:
            tiles.append((one.caption.replace("_", " "), overlay(one.radiograph, one.heat, one.boxes)))
        for column, (caption, picture) in enumerate(tiles):
            left = _MARGIN + column * (_TILE + _GAP)
            axes = figure.add_axes((left / width, bottom / height, _TILE / width, _TILE / height))
            axes.imshow(picture, interpolation="antialiased")
            axes.set_axis_off()
            axes.set_title(caption, size=8, loc="left", pad=3)
    with atomic_write(path) as aside:
        figure.savefig(aside, format="png", dpi=_DPI, metadata={"Title": title})


def _by_radiograph(heat_maps: Sequence[HeatMap]) -> list[list[HeatMap]]:
    rows: dict[str, list[HeatMap]] = {}
    for one in heat_maps:
        rows.setdefault(one.name, []).append(one)
    return list(rows.values())


def _crop_edges(image_size: int) -> tuple[int, int]:
    """Return the first and last edge of the centre crop, in pixels of the overlay."""
    side, start = read_side(image_size), crop_start(image_size)
    return round(start * SIDE / side), round((start + image_size) * SIDE / side)


@cache
def _colours() -> np.ndarray:
    from matplotlib import colormaps

    # Yellow to red differs from the radiograph's gray on the dark lung and on the bright heart alike.
    return colormaps["YlOrRd"](np.linspace(0.2, 0.9, 256), bytes=True)[:, :3]
