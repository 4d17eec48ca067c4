"""Problems of single radiographs, as prepare-report.csv lists them."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass

from cxr14.data import image_lists
from cxr14.data.store_files import StoreEntry


@dataclass(frozen=True)
class Problem:
    """One line of ``prepare-report.csv``."""

    name: str
    what: str
    """missing, unreadable, constant, format, copy, unlabelled, or in no list."""
    detail: str
    left_out: bool
    """Whether the image lists leave it out because of this."""


def compare_names(found: Set[str], labelled: Set[str], listed: Set[str]) -> list[Problem]:
    """Compare the names in the sources with those in the table and the lists.

    Args:
        found: names of the files.
        labelled: names with labels.
        listed: names that are in a part of the split.
    """
    return [
        *(
            Problem(name, "missing", "labelled, but not in the source", True)
            for name in sorted(labelled - found)
        ),
        *(
            Problem(name, "unlabelled", "in the source, but without labels", True)
            for name in sorted(found - labelled)
        ),
        *(
            Problem(name, "in no list", "in no part of the split", True)
            for name in sorted(found & labelled - listed)
        ),
    ]


def check_radiographs(index: Iterable[StoreEntry]) -> list[Problem]:
    """Find unusable, unusual and duplicate radiographs in a packed store.

    If radiographs of two patients have the same pixels, one of the names must be wrong, and the two could get
    into different lists: only the first is kept. Duplicates of one patient are kept and reported.

    Args:
        index: the store's entries, in the order of the names.
    """
    found = []
    first_with: dict[str, str] = {}
    for entry in index:
        if entry.state == "unreadable":
            found.append(Problem(entry.name, "unreadable", entry.content or "truncated, or no image", True))
            continue
        if entry.state == "constant":
            found.append(Problem(entry.name, "constant", "one gray value throughout", True))
            continue
        if entry.mode != "L":
            change = "read as stored" if entry.mode.startswith("L,") else "not 8-bit gray; converted"
            found.append(Problem(entry.name, "format", f"{entry.mode}, {change}", False))
        first = first_with.setdefault(entry.content, entry.name)
        if first != entry.name:
            other = image_lists.patient_of(entry.name) not in (image_lists.patient_of(first), entry.name)
            whose = "of another patient" if other else "of the same patient or of an unknown one"
            found.append(Problem(entry.name, "copy", f"same pixels as {first}, {whose}", other))
    return found


def report_text(problems: Iterable[Problem]) -> str:
    """Return the text of ``prepare-report.csv``, one line for each problem."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["name", "what", "detail", "left_out"])
    writer.writerows(
        [problem.name, problem.what, problem.detail, "yes" if problem.left_out else "no"]
        for problem in problems
    )
    return file.getvalue()


def summary(problems: Iterable[Problem]) -> str:
    """Return in one line how many radiographs have which problem, and whether they are kept."""
    counts = Counter((problem.what, problem.left_out) for problem in problems)
    parts = [
        f"{count} {what} ({'left out' if out else 'kept'})" for (what, out), count in sorted(counts.items())
    ]
    return ", ".join(parts) if parts else "no problems"
