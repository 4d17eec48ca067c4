"""What preparing found odd, and which radiographs the lists go on without."""

import csv
from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

from cxr14.data import image_lists
from cxr14.data.store_files import StoreEntry
from cxr14.files import atomic_write


@dataclass(frozen=True)
class Oddity:
    """One line of ``prepare-report.csv``."""

    name: str
    what: str
    """missing, unreadable, constant, format, copy, unlabelled, or in no list."""
    detail: str
    left_out: bool
    """Whether no list names it for this."""


def unmatched(found: Set[str], labelled: Set[str], listed: Set[str]) -> list[Oddity]:
    """Compare what the source holds with what table and lists name.

    Args:
        found: names of the files.
        labelled: names with labels.
        listed: names that the split puts on a side.
    """
    return [
        *(
            Oddity(name, "missing", "labelled, but not in the source", True)
            for name in sorted(labelled - found)
        ),
        *(
            Oddity(name, "unlabelled", "in the source, but without labels", True)
            for name in sorted(found - labelled)
        ),
        *(
            Oddity(name, "in no list", "on no side of the split", True)
            for name in sorted(found & labelled - listed)
        ),
    ]


def look_through(index: Iterable[StoreEntry]) -> list[Oddity]:
    """Collect what is odd about packed radiographs.

    Two names with the same pixels are told. When they belong to two patients, one of them must be wrong, and
    could stand on another side than its twin: only the first is kept. Of one patient, both are.

    Args:
        index: the store's entries, in the order of the names.
    """
    odd = []
    first_with: dict[str, str] = {}
    for entry in index:
        if entry.state == "unreadable":
            odd.append(Oddity(entry.name, "unreadable", "truncated, or no image", True))
            continue
        if entry.state == "constant":
            odd.append(Oddity(entry.name, "constant", "one gray value throughout", True))
            continue
        if entry.mode != "L":
            odd.append(Oddity(entry.name, "format", f"{entry.mode}, not 8-bit gray; converted", False))
        first = first_with.setdefault(entry.content, entry.name)
        if first != entry.name:
            other = image_lists.patient_of(entry.name) not in (image_lists.patient_of(first), entry.name)
            whose = "of another patient" if other else "of the same patient or of nobody known"
            odd.append(Oddity(entry.name, "copy", f"same pixels as {first}, {whose}", other))
    return odd


def write_report(path: Path, oddities: Iterable[Oddity]) -> None:
    """Write ``prepare-report.csv``, a line an oddity."""
    with atomic_write(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "what", "detail", "left_out"])
        writer.writerows(
            [odd.name, odd.what, odd.detail, "yes" if odd.left_out else "no"] for odd in oddities
        )


def summary(oddities: Iterable[Oddity]) -> str:
    """Say in one line how many radiographs are left out or kept for what."""
    counts = Counter((odd.what, odd.left_out) for odd in oddities)
    parts = [
        f"{count} {what} ({'left out' if out else 'kept'})" for (what, out), count in sorted(counts.items())
    ]
    return ", ".join(parts) if parts else "nothing odd"
