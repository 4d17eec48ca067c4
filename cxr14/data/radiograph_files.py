"""Files of radiographs (PNG, JPEG, DICOM) as gray pixels, with their oddities."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr14.data import dicom, images
from cxr14.data.images import decode_picture, has_colour
from cxr14.errors import InputError

SUFFIXES = images.SUFFIXES | dicom.SUFFIXES
"""What the names of radiographs end in, in lower case; DICOM files are also known by their content."""

DICOM_MODE = "DICOM"

_GRAY_MODES = ("1", "L", "LA", "I", "F")
_COLOUR = "this is a colour picture, and a radiograph is gray"
TURNED = "its EXIF data say that it is stored turned or mirrored; it was read as stored"
_CONSTANT = "it has one gray value throughout"


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A decoded radiograph."""

    gray: np.ndarray
    """(H, W) uint8."""
    mode: str
    """Pillow's name of the pixel format, "L" for 8-bit gray; of a DICOM file "DICOM"."""
    warnings: tuple[str, ...]
    """What makes answers about it doubtful."""


def read_radiograph(source: Path | bytes) -> Radiograph:
    """Decode a PNG, JPEG or DICOM file, known by its content.

    Args:
        source: a file, or the content of one.

    Raises:
        InputError: it cannot be read; the message does not repeat the path.
    """
    if dicom.is_dicom(source):
        gray, found = dicom.read_dicom(source)
        return Radiograph(gray, DICOM_MODE, (*found, *_constant(gray)))
    try:
        picture = decode_picture(source)
    except InputError as error:
        name = "the bytes given" if isinstance(source, bytes) else source
        raise InputError(str(error).removeprefix(f"{name} ")) from None
    is_gray = picture.mode.startswith(_GRAY_MODES)
    colour = (_COLOUR,) if not is_gray and has_colour(source) else ()
    turned = (TURNED,) if picture.is_turned else ()
    return Radiograph(picture.gray, picture.mode, (*colour, *turned, *_constant(picture.gray)))


def _constant(gray: np.ndarray) -> tuple[str, ...]:
    return (_CONSTANT,) if gray.min() == gray.max() else ()
