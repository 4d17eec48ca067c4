"""One way to turn any file into a gray radiograph, and one way to read many of them.

A folder that DATA_DIR names holds either plain image files or the packed store that ChestX-ray14/prepare.py
makes of them: ``store.npy``, one uint8 array (N, S, S), and ``store.csv``, which says what each row is. Both
give the same batches; the store gives them without decoding anything.
"""

import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from cxr14.errors import InputError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
STORE_PIXELS = "store.npy"
STORE_INDEX = "store.csv"
STORE_WORKING = "packing"
# The first line of the index; a store of any other layout is refused, not guessed at.
STORE_LAYOUT = "# packed store of radiographs, layout 1"

_GET_IMAGES = (
    "ChestX-ray14/download.py and prepare.py bring the real radiographs, ChestX-ray14/make-phantoms.py makes "
    "synthetic ones"
)


def decode(source: Path | bytes) -> np.ndarray:
    """Decode an image file to 8-bit gray.

    Args:
        source: a file, or the content of one. Colour becomes luma (ITU-R 601-2), transparency is dropped. Of
            deep gray the eight highest bits in use are kept: 12 bits in a 16-bit file keep their contrast.

    Returns:
        (H, W) uint8.

    Raises:
        InputError: it is missing, truncated or no image.
    """
    return decode_with_mode(source)[0]


def decode_with_mode(source: Path | bytes) -> tuple[np.ndarray, str]:
    """Decode an image file as `decode` does, and tell Pillow's name of its pixel format, "L" for gray."""
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            mode = image.mode
            if mode.startswith(("I", "F")):
                return _eight_bits(np.asarray(image)), mode
            return np.asarray(image if mode == "L" else image.convert("L")), mode
    except FileNotFoundError:
        raise InputError(f"there is no radiograph {source}; {_GET_IMAGES}.") from None
    except (
        Exception
    ) as error:  # a damaged file makes Pillow raise OSError, SyntaxError, ValueError, struct.error …
        name = "the bytes given" if isinstance(source, bytes) else source
        raise InputError(f"{name} cannot be decoded ({error}): get the file again or leave it out.") from None


def resize(gray: np.ndarray, side: int) -> np.ndarray:
    """Bring a radiograph to a square, bilinear and antialiased, as Pillow and torchvision do.

    Args:
        gray: (H, W) uint8. What is not square is squeezed: so NIH itself brought films of 3056 x 2544 and
            2048 x 2500 pixels to the 1024 x 1024 that it publishes.
        side: pixels of the result.

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
    """Where radiographs are read from."""

    names: Collection[str]
    """File names of all that can be read; asking whether a name is among them is fast."""

    def copies(self, side: int) -> bool:
        """Tell whether reading at `side` is a mere copy, so that processes to help with it only cost."""
        ...

    def read(self, names: Sequence[str], side: int) -> np.ndarray:
        """Return the named radiographs, (B, side, side) uint8."""
        ...


class FolderImages:
    """Plain image files, all in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = {file.name for file in folder.iterdir() if file.suffix.lower() in SUFFIXES}

    def copies(self, side: int) -> bool:
        """Tell that files are decoded whatever the side."""
        return False

    def read(self, names: Sequence[str], side: int) -> np.ndarray:
        """Decode and resize the named radiographs: (B, side, side) uint8."""
        batch = np.empty((len(names), side, side), np.uint8)
        for row, name in enumerate(names):
            batch[row] = resize(decode(self.folder / name), side)
        return batch


class PackedImages:
    """The packed store, memory-mapped: a process that reads it holds nothing but its index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = read_index(folder / STORE_INDEX)
        try:
            self._pixels = np.load(folder / STORE_PIXELS, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder / STORE_PIXELS} cannot be read ({error}): run prepare.py again."
            ) from None
        if self._pixels.shape[0] != len(index) or self._pixels.ndim != 3 or self._pixels.dtype != np.uint8:
            raise InputError(f"{folder} holds a store and an index of different runs: run prepare.py again.")
        self._rows = {entry.name: entry.row for entry in index if entry.state == "ok"}
        self.names = self._rows.keys()

    @property
    def side(self) -> int:
        """Pixels along one side of the stored radiographs."""
        return self._pixels.shape[1]

    def copies(self, side: int) -> bool:
        """Tell whether nothing has to be resized."""
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
        InputError: there is no such folder, nothing in it, or its store is unfinished or of another layout.
    """
    if not data_dir.is_dir():
        raise InputError(f"there is no folder {data_dir}; {_GET_IMAGES}.")
    if (data_dir / STORE_INDEX).exists():
        return PackedImages(data_dir)
    folder = FolderImages(data_dir)
    if folder.names:
        return folder
    if (data_dir / STORE_PIXELS).exists() or (data_dir / STORE_WORKING).exists():
        raise InputError(f"the packed store in {data_dir} is not complete: run prepare.py again, it goes on.")
    raise InputError(f"there is no radiograph in {data_dir}; {_GET_IMAGES}.")


@dataclass(frozen=True, order=True, slots=True)
class StoreEntry:
    """What the index says about one row of the packed store."""

    row: int
    name: str
    bytes: int
    """Size of the file that it was decoded from."""
    width: int
    height: int
    """Pixels of that file; 0 when it could not be read."""
    mode: str
    """Pillow's name of its pixel format; "L" is 8-bit gray."""
    state: str
    """"ok", or why the row is not to be used: "constant" or "unreadable"."""
    content: str
    """Hash of the stored pixels, by which copies under two names are found."""


def read_index(path: Path) -> list[StoreEntry]:
    """Read the index of a packed store.

    Raises:
        InputError: it is of another layout than this code writes, or damaged.
    """
    return parse_index(path.read_text(encoding="utf-8").splitlines(), path)


def parse_index(lines: Sequence[str], path: Path) -> list[StoreEntry]:
    """Turn the lines of an index into entries.

    Args:
        lines: the layout, the names of the columns, then a line a row of the store.
        path: where they come from, for the error.

    Raises:
        InputError: they are of another layout than this code writes, or damaged.
    """
    if not lines or lines[0] != STORE_LAYOUT:
        found = lines[0][:60] if lines else "nothing"
        raise InputError(
            f"{path} belongs to a packed store of another layout ({found!r}): delete {STORE_PIXELS} and "
            f"{STORE_INDEX} in that folder and run prepare.py again."
        )
    kinds = [field.type for field in fields(StoreEntry)]
    try:
        return [
            StoreEntry(*(kind(value) for kind, value in zip(kinds, row, strict=True)))
            for row in csv.reader(lines[2:])
        ]
    except ValueError:
        raise InputError(f"{path} is damaged: delete the store beside it and run prepare.py again.") from None
