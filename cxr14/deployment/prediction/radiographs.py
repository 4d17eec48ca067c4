"""Files and folders of radiographs as the pixels of a model."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr14.data import dicom
from cxr14.data.geometry import centre_start
from cxr14.data.images import resize
from cxr14.data.radiograph_files import SUFFIXES
from cxr14.deployment.card import Preprocessing

NO_RADIOGRAPH = "holds no PNG, JPEG or DICOM file"


@dataclass(frozen=True)
class LeftOut:
    """A file that cannot be read, or was not found."""

    path: Path
    reason: str
    is_error: bool = True
    """False: it is another name of a file that is read."""


def printable(path: Path) -> str:
    """Return a path with bytes that are no UTF-8 written as escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def find_radiographs(inputs: Iterable[Path]) -> Iterator[Path | LeftOut]:
    """Yield each file once, those of folders in the order of their names.

    In a folder, of any depth, files with the suffix of a picture count, and DICOM files without one. A path
    that does not exist, a folder without radiographs or that cannot be read, and a file given twice are
    yielded as left out.
    """
    seen: set[Path] = set()
    for given in inputs:
        if given.is_dir():
            locked: list[OSError] = []
            files = list(_files_in(given, locked.append))
            for error in locked:
                yield LeftOut(Path(error.filename), f"the folder cannot be read ({error.strerror})")
            if not files and not locked:
                yield LeftOut(given, NO_RADIOGRAPH)
        else:
            files = [given]
        for path in files:
            real = path.resolve()
            if real in seen:
                yield LeftOut(path, "it was given twice; it is read once", is_error=False)
            elif not path.exists():
                yield LeftOut(path, "there is no such file")
            else:
                yield path
            seen.add(real)


def prepare_gray(gray: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Turn a decoded radiograph into the input of a model.

    Args:
        gray: (H, W) uint8.
        preprocessing: of the model's card.

    Returns:
        (S, S) uint8.
    """
    square = resize(gray, preprocessing.read_side)
    start = centre_start(preprocessing.read_side, preprocessing.image_size)
    part = slice(start, start + preprocessing.image_size)
    return square[part, part]


def _files_in(folder: Path, report: Callable[[OSError], None]) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, onerror=report):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            # Scanners and archives often write DICOM files without a suffix.
            if not name.startswith(".") and (path.suffix.lower() in SUFFIXES or _is_plain_dicom(path)):
                yield path


def _is_plain_dicom(path: Path) -> bool:
    return path.is_file() and (not path.suffix or path.suffix[1:].isdigit()) and dicom.is_dicom(path)
