"""Boxes around findings: NIH's list of them and their geometry."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cxr14.data.geometry import crop_start, read_side
from cxr14.errors import InputError
from cxr14.files import read_text
from cxr14.findings import FINDINGS

BOX_SIDE = 1024
"""Side in pixels of the images that NIH's list of boxes refers to."""

BOX_NAMES = {"Infiltration": "Infiltrate"}
"""Findings that NIH's list of boxes names differently from its table of labels."""

_COLUMNS = 6  # name, finding, x, y, width, height; NIH's lines end in three empty ones


class Box(NamedTuple):
    """A rectangle in pixels of a 1024 x 1024 image: upper left corner, width and height."""

    x: float
    y: float
    w: float
    h: float


Boxes = Mapping[tuple[str, int], Sequence[Box]]
"""(file name, column number of the finding) -> the boxes of that finding on that radiograph."""


def read_boxes(path: Path) -> dict[tuple[str, int], list[Box]]:
    """Read NIH's ``BBox_List_2017.csv``, which has one line for each box.

    Returns:
        The boxes, by file name and column number of the finding; see `Boxes`.

    Raises:
        InputError: the file is missing, empty or no table of boxes, or a line has an unknown finding or no
            valid box.
    """
    columns = {finding: column for column, finding in enumerate(FINDINGS)}
    for finding, name in BOX_NAMES.items():
        columns[name] = columns[finding]
    boxes: dict[tuple[str, int], list[Box]] = {}
    hint = (
        "NIH publishes BBox_List_2017.csv beside its images, and ChestX-ray14/make-phantoms.py writes "
        "one for its own"
    )
    lines = csv.reader(io.StringIO(read_text(path, "the box list", hint), newline=""))
    try:
        next(lines, None)  # NIH's header names two of the six columns
        for line in filter(None, lines):
            where = f"line {lines.line_num} of {path}"
            if len(line) < _COLUMNS:
                raise InputError(f"{where} has {len(line)} columns; name, finding, x, y, w, h are expected.")
            name, finding = line[0], line[1]
            if finding not in columns:
                raise InputError(
                    f"{where} names the finding {finding!r}, which is none of the {len(FINDINGS)}."
                )
            boxes.setdefault((name, columns[finding]), []).append(_parse_box(line[2:_COLUMNS], where))
    except csv.Error as error:
        raise InputError(f"the box list {path} cannot be read ({error}).") from None
    if not boxes:
        raise InputError(f"the box list {path} is empty.")
    return boxes


def to_box_coordinates(position: np.ndarray | float, image_size: int) -> np.ndarray | float:
    """Convert a position in the centre crop to a position on the full radiograph, along either axis.

    Args:
        position: pixels from the edge of the crop; 0 is the edge itself, 0.5 the centre of the first pixel.
        image_size: S, side of the crop.

    Returns:
        The position in pixels of a 1024 x 1024 image.
    """
    return (position + crop_start(image_size)) * BOX_SIDE / read_side(image_size)


def _parse_box(columns: Sequence[str], where: str) -> Box:
    try:
        box = Box(*map(float, columns))
    except ValueError:
        raise InputError(f"{where} has no valid box; x, y, w, h are expected as numbers.") from None
    if not all(map(math.isfinite, box)) or box.w <= 0 or box.h <= 0:
        raise InputError(f"{where} has no valid box; finite numbers are expected, width and height above 0.")
    return box
