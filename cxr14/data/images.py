"""Radiographs from a folder of image files or from the packed store.

A folder that DATA_DIR names holds either plain image files or the packed store that ChestX-ray14/prepare.py
makes of them: ``store.npy``, one uint8 array (N, S, S), and ``store.csv``, which describes each row. Both
give the same batches; the store gives them without decoding anything.
"""

import io
import os
import warnings
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from cxr14.data.store_files import STORE_INDEX, STORE_PIXELS, STORE_WORKING, open_store
from cxr14.errors import InputError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})

MOST_PIXELS = 64_000_000
"""Pixels of the largest radiograph that is decoded."""

_TOO_MANY_PIXELS = f"it has more than {MOST_PIXELS // 1_000_000} million pixels, too many for a radiograph"

_LEAST_COLOUR = 5  # mean gray levels between a pixel's strongest and weakest channel; JPEG adds a few

_GET_IMAGES = (
    "ChestX-ray14/download.py and prepare.py bring the real radiographs, ChestX-ray14/make-phantoms.py makes "
    "synthetic ones"
)


def decode(source: Path | bytes) -> np.ndarray:
    """Decode an image file to 8-bit gray.

    Args:
        source: a file, or the content of one. Colour becomes luma (ITU-R 601-2), transparency is dropped. Of
            gray with more than 8 bits the eight highest bits in use are kept, so that 12 bits in a 16-bit
            file keep their contrast.

    Returns:
        (H, W) uint8.

    Raises:
        InputError: it is missing, truncated, no PNG or JPEG file, larger than `MOST_PIXELS`, or animated.
    """
    return decode_picture(source).gray


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image file."""

    gray: np.ndarray
    """(H, W) uint8, as stored."""
    mode: str
    """Pillow's name of the pixel format, "L" for 8-bit gray."""
    is_turned: bool
    """Whether its EXIF orientation asks viewers to turn or mirror it."""


def decode_picture(source: Path | bytes) -> Picture:
    """Decode as `decode` does, and also return what the file says of itself."""
    try:
        with _open_image(source) as image:
            mode = image.mode
            if mode.startswith(("I", "F")):
                gray = _eight_bits(np.asarray(image))
            else:
                gray = np.asarray(image if mode == "L" else image.convert("L"))
            return Picture(gray, mode, _is_turned(image))
    except FileNotFoundError:
        raise InputError(f"there is no radiograph {source}; {_GET_IMAGES}.") from None
    except Exception as error:  # a damaged file makes Pillow raise OSError, SyntaxError, struct.error …
        name = "the bytes given" if isinstance(source, bytes) else source
        raise InputError(
            f"{name} cannot be decoded ({_reason(error, source)}): get the file again or leave it out."
        ) from error


def has_colour(source: Path | bytes) -> bool:
    """Return whether a readable image file shows colours, not gray values stored as RGB.

    A coloured mark on a radiograph does not count: it is the mean over the picture that decides.
    """
    with _open_image(source) as image:
        pixels = np.asarray(image.convert("RGB").reduce(max(min(image.size) // 64, 1)), dtype=int)
    return bool((pixels.max(axis=2) - pixels.min(axis=2)).mean() > _LEAST_COLOUR)


def _is_turned(image: Image.Image) -> bool:
    exif = Image.Exif()
    # Damaged metadata make Pillow warn, or raise SyntaxError, struct.error …
    with suppress(Exception), warnings.catch_warnings(action="ignore"):
        exif.load(image.info.get("exif", b""))  # of a PNG file known once it is decoded
        return exif.get(ExifTags.Base.Orientation) in range(2, 9)  # 1 is upright, more are not defined
    return False


def _reason(error: Exception, source: Path | bytes) -> str:
    """Return why a picture cannot be decoded, without Pillow's own words, which may hold the path."""
    if isinstance(error, Image.DecompressionBombError):  # Pillow refuses the largest before this module does
        return _TOO_MANY_PIXELS
    if isinstance(error, UnidentifiedImageError):
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        return "it is no PNG or JPEG file" if size else "it is empty"
    if isinstance(error, _RefusedPicture):
        return str(error)
    if isinstance(error, MemoryError):
        return "the memory is not large enough"
    if isinstance(error, OSError) and error.errno:
        return str(error.strerror)
    return "it is truncated" if "truncated" in str(error).lower() else "it is damaged"


class _RefusedPicture(ValueError):
    """Raised for a picture that Pillow would decode."""


def _open_image(source: Path | bytes) -> Image.Image:
    # Only the formats of SUFFIXES: the others would be more code for a hostile file to reach. Nothing is
    # decoded before the size is known.
    with warnings.catch_warnings(action="ignore"):  # of damaged metadata
        image = Image.open(
            io.BytesIO(source) if isinstance(source, bytes) else source, formats=("PNG", "JPEG")
        )
    if image.width * image.height > MOST_PIXELS:
        image.close()
        raise _RefusedPicture(_TOO_MANY_PIXELS)
    if getattr(image, "is_animated", False):
        image.close()
        raise _RefusedPicture("it holds several pictures")
    return image


def resize(gray: np.ndarray, side: int) -> np.ndarray:
    """Resize a radiograph to a square, bilinear and antialiased, as Pillow and torchvision do.

    Args:
        gray: (H, W) uint8. Its aspect ratio is not kept: NIH resized radiographs of 3056 x 2544 and of
            2048 x 2500 pixels to 1024 x 1024 in the same way.
        side: S, pixels of the result.

    Returns:
        (side, side) uint8.
    """
    if gray.shape == (side, side):
        return gray
    return np.asarray(Image.fromarray(gray).resize((side, side), Image.Resampling.BILINEAR))


def _eight_bits(values: np.ndarray) -> np.ndarray:
    brightest = int(values.max(initial=0))
    return (values.clip(0).astype(np.int64) >> max(brightest.bit_length() - 8, 0)).astype(np.uint8)


class ImageSource(Protocol):
    """A set of radiographs that can be read by their names."""

    names: Collection[str]
    """File names of all radiographs that can be read; ``in`` is fast."""

    def copies(self, side: int) -> bool:
        """Return whether reading at `side` only copies, so that reader processes would make it slower."""
        ...

    def read(self, names: Sequence[str], side: int) -> np.ndarray:
        """Return the named radiographs, (B, side, side) uint8."""
        ...


class FolderImages:
    """Plain image files, all in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Regular files only: opening a named pipe would wait for ever.
        self.names = {
            entry.name
            for entry in os.scandir(folder)
            if Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file()
        }

    def copies(self, side: int) -> bool:
        """Return False: files are always decoded."""
        return False

    def read(self, names: Sequence[str], side: int) -> np.ndarray:
        """Decode and resize the named radiographs: (B, side, side) uint8."""
        batch = np.empty((len(names), side, side), np.uint8)
        for row, name in enumerate(names):
            batch[row] = resize(decode(self.folder / name), side)
        return batch


class PackedImages:
    """The packed store, memory-mapped: only its index is in memory.

    Raises:
        InputError: the store is damaged or of another layout.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pixels, index = open_store(folder)
        self._rows = {entry.name: entry.row for entry in index if entry.state == "ok"}
        self.names = self._rows.keys()

    @property
    def side(self) -> int:
        """Pixels along one side of the stored radiographs."""
        return self._pixels.shape[1]

    def copies(self, side: int) -> bool:
        """Return whether `side` is that of the store, so that nothing has to be resized."""
        return side == self.side

    def read(self, names: Sequence[str], side: int) -> np.ndarray:
        """Copy radiographs out of the store, resized where `side` differs: (B, side, side) uint8."""
        rows = [self._rows[name] for name in names]
        if self.copies(side):
            return self._pixels[rows]
        return np.stack([resize(self._pixels[row], side) for row in rows])

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        # Another process maps the file again; pickling the array would send gigabytes.
        return PackedImages, (self.folder,)


def open_images(data_dir: Path) -> ImageSource:
    """Open a folder of radiographs: the packed store when it holds one, else its plain image files.

    Raises:
        InputError: there is no such folder, nothing in it, or its store is unfinished, damaged or of another
            layout.
    """
    if not data_dir.is_dir():
        raise InputError(f"there is no folder {data_dir}; {_GET_IMAGES}.")
    if (data_dir / STORE_INDEX).exists():
        return PackedImages(data_dir)
    folder = FolderImages(data_dir)
    if folder.names:
        return folder
    if (data_dir / STORE_PIXELS).exists() or (data_dir / STORE_WORKING).exists():
        raise InputError(
            f"the packed store in {data_dir} is not complete: run ChestX-ray14/prepare.py again."
        )
    raise InputError(f"there is no radiograph in {data_dir}; {_GET_IMAGES}.")
