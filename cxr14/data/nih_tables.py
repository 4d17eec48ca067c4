"""NIH's table of findings and patients, and its official lists of names."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr14.errors import InputError
from cxr14.files import read_text
from cxr14.findings import FINDINGS, NO_FINDING

_NAME, _FINDINGS = "Image Index", "Finding Labels"
_AGE, _SEX, _VIEW = "Patient Age", ("Patient Gender", "Patient Sex"), "View Position"
_ORIGIN = "it is not NIH's table, which ChestX-ray14/download.py downloads"
_OLDEST = 120
"""Years. NIH's table holds a few ages that no one reaches, up to 414."""
# The 224 px copy on Kaggle calls them train_val_list_NIH.txt and so on; NIH's newer table ends in _v2020.
_TABLE, _TRAIN_VAL, _TEST = "Data_Entry_2017*.csv", "train_val_list*.txt", "test_list*.txt"


@dataclass(frozen=True)
class Documents:
    """Paths of the table and the lists; None for what was not found."""

    table: Path | None
    train_val: Path | None
    test: Path | None


def find_documents(source: Path) -> Documents:
    """Look for NIH's table and lists in a folder, nearest to its top, else in the folder that holds it.

    Args:
        source: the folder of the images or archives, or one archive.

    Raises:
        InputError: two files that match lie at the same depth.
    """
    return Documents(*(_nearest(source, pattern) for pattern in (_TABLE, _TRAIN_VAL, _TEST)))


def read_table(path: Path) -> dict[str, np.ndarray]:
    """Read ``Data_Entry_2017.csv``, NIH's table of findings.

    Returns:
        File name -> (14,) uint8 in the order of `findings.FINDINGS`.

    Raises:
        InputError: it lacks a column, names a finding that is none of the 14, or has a radiograph twice.
    """
    columns = {finding: column for column, finding in enumerate(FINDINGS)}
    table: dict[str, np.ndarray] = {}
    for line, entry in _rows(path, _NAME, _FINDINGS):
        labels = np.zeros(len(FINDINGS), np.uint8)
        for finding in (entry[_FINDINGS] or "").split("|"):
            if finding == NO_FINDING:
                continue
            if finding not in columns:
                raise InputError(
                    f"line {line} of {path} names the finding {finding!r}, which is none of the "
                    f"{len(FINDINGS)} and not {NO_FINDING!r}: correct it there."
                )
            labels[columns[finding]] = 1
        if entry[_NAME] in table:
            raise InputError(f"line {line} of {path} lists {entry[_NAME]} a second time.")
        table[entry[_NAME]] = labels
    if not table:
        raise InputError(f"{path} lists no radiograph.")
    return table


@dataclass(frozen=True)
class Demographics:
    """What NIH's table says about one radiograph; None where it says nothing usable."""

    age: int | None
    """Years, 0 to 120."""
    sex: str | None
    """"female" or "male"."""
    view: str | None
    """"PA" or "AP"."""


def read_demographics(path: Path) -> dict[str, Demographics]:
    """Read age, sex and view of each radiograph from NIH's table.

    Returns:
        File name -> demographics.

    Raises:
        InputError: the file is missing or lacks one of the columns.
    """
    sexes = {"F": "female", "M": "male"}
    table = {}
    for line, entry in _rows(path, _NAME, _AGE, _VIEW):
        sex = next((entry[name] for name in _SEX if name in entry), None)
        if sex is None:
            raise InputError(f"line {line} of {path} has no {_SEX[0]!r}: is it NIH's table?")
        view = entry[_VIEW]
        table[entry[_NAME]] = Demographics(
            _years(entry[_AGE] or ""), sexes.get(sex), view if view in ("PA", "AP") else None
        )
    return table


def _years(text: str) -> int | None:
    """Return the years of "58", and of "058Y", "007M" and "012D", as an older edition writes them."""
    found = re.fullmatch(r"(\d+)([YMD]?)", text.strip())
    if not found:
        return None
    years = int(found[1]) // {"": 1, "Y": 1, "M": 12, "D": 365}[found[2]]
    return years if years <= _OLDEST else None


def _rows(path: Path, *columns: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a table that has these columns, with their line numbers."""
    with io.StringIO(read_text(path, "the table"), newline="") as file, _csv_errors(path):
        reader = csv.DictReader(file)
        lacking = [column for column in columns if column not in (reader.fieldnames or ())]
        if lacking:
            first = (reader.fieldnames or [""])[0]
            separators = [repr(each) for each in ";\t" if each in first]
            hint = (
                f"its columns are separated by {separators[0]}; save it with commas"
                if separators
                else _ORIGIN
            )
            raise InputError(f"{path} has no column {' and no '.join(map(repr, lacking))}: {hint}.")
        for entry in reader:
            yield reader.line_num, entry


@contextmanager
def _csv_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except csv.Error as error:
        raise InputError(f"the table {path} cannot be read ({error}).") from None


def read_names(path: Path) -> list[str]:
    """Read a list of NIH: a file name a line, nothing else."""
    return read_text(path, "the list").split()


def _nearest(source: Path, pattern: str) -> Path | None:
    folders = [source] if source.is_dir() else []
    for folder in [*folders, source.parent]:
        # Above the source only the folder itself is searched, not its other subfolders.
        matching = folder.rglob(pattern) if folder == source else folder.glob(pattern)
        found = [path for path in matching if path.is_file()]
        nearest = [path for path in found if len(path.parts) == min(len(other.parts) for other in found)]
        if len(nearest) > 1:
            names = " and ".join(path.name for path in sorted(nearest))
            raise InputError(f"{folder} holds {names}: keep only one of them there.")
        if nearest:
            return nearest[0]
    return None
