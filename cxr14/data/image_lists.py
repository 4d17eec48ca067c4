"""Image lists: text files with a name and 14 labels on each line."""

import hashlib
import re
import sys
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np

from cxr14.data.kinds import SYNTHETIC_PREFIX, kind_of
from cxr14.errors import InputError, one_line
from cxr14.files import atomic_write, read_text
from cxr14.findings import FINDINGS

# NIH names a radiograph patient_follow-up.png: 00000061_012.png; the phantoms put a word before it. Other
# words before or behind, as in 00000061_012_flip.png, mark an altered copy of that patient's radiograph.
_NIH_NAME = re.compile(rf".*?(?P<patient>({SYNTHETIC_PREFIX})?(?<!\d)\d{{8}})_\d{{3}}(?!\d).*")
_SHOWN = 3


@dataclass(frozen=True)
class ImageList:
    """The radiographs of one split with their labels.

    Attributes:
        path: the file it was read from.
        names: N file names.
        labels: (N, 14) uint8, 1 where the finding was noted, in the order of `findings.FINDINGS`.
    """

    path: Path
    names: list[str]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, rows: np.ndarray) -> "ImageList":
        """Return the radiographs at these places, in this order, as a list of the same file."""
        return ImageList(self.path, [self.names[row] for row in rows], self.labels[rows])

    @cached_property
    def patients(self) -> list[str]:
        """The patient of each radiograph; see `patient_of`."""
        return [patient_of(name) for name in self.names]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of names and labels: that of the file, when `write_list` wrote it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def text(self) -> str:
        """The content of its file, as `write_list` writes it."""
        return _as_text(self.names, self.labels)

    @property
    def kind(self) -> str:
        """The kind of its radiographs, a key of `cxr14.data.kinds.KINDS`."""
        return kind_of(self.names)


def patient_of(name: str) -> str:
    """Return the patient that a file name identifies.

    Args:
        name: ``00000061_012.png`` and ``00000061_012_flip.png`` give "00000061",
            ``synthetic_00000003_001.png`` "synthetic_00000003". A name without patient and follow-up number
            counts as a patient of its own.
    """
    match = _NIH_NAME.fullmatch(name)
    return match["patient"] if match else name


_WHERE_LISTS_COME_FROM = (
    "ChestX-ray14/prepare.py writes the lists of the real radiographs, and ChestX-ray14/make-phantoms.py "
    "makes synthetic ones for prepare.py to read"
)


def read_list(path: Path) -> ImageList:
    """Read an image list.

    Raises:
        InputError: no such file, names without labels, another number of columns, a label that is not 0 or 1,
            or nothing in it.
    """
    lines = read_text(path, "the image list", _WHERE_LISTS_COME_FROM).splitlines()
    names, rows = [], []
    for number, line in enumerate(lines, start=1):
        columns = line.split()
        if not columns:
            continue
        names.append(columns[0])
        rows.append(_labels_of(columns, path, number))
    if not names:
        raise InputError(f"the image list {path} is empty; run ChestX-ray14/prepare.py again to write it.")
    return ImageList(path, names, np.array(rows, dtype=np.uint8))


def write_list(path: Path, names: Sequence[str], labels: np.ndarray) -> None:
    """Write an image list atomically.

    Args:
        path: the file; its folder is made if it is missing.
        names: N file names without spaces.
        labels: (N, 14), 0 or 1.
    """
    with atomic_write(path) as aside:
        aside.write_text(_as_text(names, labels), encoding="utf-8", newline="\n")


def require_disjoint(*image_lists: ImageList) -> None:
    """Check that no patient is in two of the lists.

    A warning on stderr says where a list repeats a name with the same labels, or has names without patients.

    Raises:
        InputError: patients are in two lists, or a list repeats a name with other labels; a few are named.
    """
    for image_list in image_lists:
        _check_repeats(image_list)
    for image_list in image_lists:
        silent = [name for name in image_list.names if not _NIH_NAME.fullmatch(name)]
        if silent:
            print(
                f"warning: {len(silent)} of the {len(image_list)} names in {image_list.path}, such as "
                f"{one_line(silent[0])}, do not identify patients, so it cannot be checked whether a patient "
                "is in another list as well.",
                file=sys.stderr,
            )
    for a, b in combinations(image_lists, 2):
        both = sorted(set(a.patients) & set(b.patients))
        if both:
            raise InputError(
                f"{len(both)} patients are in both {a.path} and {b.path}, such as "
                f"{', '.join(both[:_SHOWN])}: split by patient, as ChestX-ray14/prepare.py does."
            )


def require_both_classes(image_list: ImageList) -> None:
    """Check that at least one finding has positives and negatives, without which there is no AUROC.

    Raises:
        InputError: no finding has both.
    """
    positives = image_list.labels.sum(axis=0)
    if not ((positives > 0) & (positives < len(image_list))).any():
        raise InputError(
            f"no finding has both positives and negatives in {image_list.path} ({len(image_list)} "
            "radiographs): no AUROC can be computed on it; use a longer list."
        )


def require_images(image_list: ImageList, images: Container[str]) -> None:
    """Check that every radiograph of the list can be read.

    Args:
        image_list: the list.
        images: the names that can be read, ``ImageSource.names``.

    Raises:
        InputError: some are not; the message counts them and names the first three.
    """
    missing = [name for name in image_list.names if name not in images]
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(image_list)} radiographs in {image_list.path} are not in DATA_DIR, "
            f"such as {', '.join(missing[:_SHOWN])}: point DATA_DIR at their folder or run "
            "ChestX-ray14/prepare.py."
        )


def _check_repeats(image_list: ImageList) -> None:
    first: dict[str, int] = {}
    contradicting = []
    for row, name in enumerate(image_list.names):
        before = first.setdefault(name, row)
        if not np.array_equal(image_list.labels[before], image_list.labels[row]):
            contradicting.append(name)
    if contradicting:
        raise InputError(
            f"{image_list.path} lists {len(contradicting)} radiographs again with other labels, such as "
            f"{', '.join(contradicting[:_SHOWN])}: correct the list."
        )
    repeats = len(image_list) - len(first)
    if repeats:
        print(f"warning: {image_list.path} repeats a name in {repeats} of its lines.", file=sys.stderr)


def _labels_of(columns: list[str], path: Path, number: int) -> list[int]:
    values = columns[1:]
    separator = next((mark for mark in ";," if mark in columns[0]), None)
    if separator:
        raise InputError(
            f"line {number} of {path} separates its columns by {separator!r}, as spreadsheets do; save the "
            "list with blanks or tabs between name and labels."
        )
    if not values:
        raise InputError(
            f"line {number} of {path} holds a name without labels, as NIH's own lists do; "
            "run ChestX-ray14/prepare.py, which joins names and labels."
        )
    if len(values) != len(FINDINGS):
        raise InputError(
            f"line {number} of {path} has {len(values)} labels after the name; {len(FINDINGS)} are expected."
        )
    if not set(values) <= {"0", "1"}:
        wrong = next(value for value in values if value not in {"0", "1"})
        raise InputError(f"line {number} of {path} holds the label {wrong!r}; only 0 and 1 are labels.")
    return [int(value) for value in values]


def _as_text(names: Sequence[str], labels: np.ndarray) -> str:
    rows = np.asarray(labels, dtype=np.uint8).astype("U1")
    return "".join(f"{name} {' '.join(row)}\n" for name, row in zip(names, rows, strict=True))
