"""What ChestX-ray14/prepare.py does: files and NIH's documents become a packed store and image lists."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from filelock import FileLock, Timeout

from cxr14 import lists, nih, report, settings, splits
from cxr14.errors import InputError, spoken_errors
from cxr14.files import spoken_disk_errors
from cxr14.medmnist import MedMnist
from cxr14.origins import Origin, find_origins
from cxr14.packing import pack
from cxr14.settings import Count, PositiveShare, Whole

_INTERRUPTED = 130  # what a shell calls a program that Ctrl-C ended
_CORES = os.cpu_count() or 1


@dataclass(kw_only=True)
class PrepareSettings:
    """What prepare.py can be told."""

    source: Path
    """Folder of the radiographs, in any layout: image files, .zip and .tar.gz archives; or one archive."""
    out: Path
    """Folder that receives images/, labels/ and prepare-report.csv."""
    size: Count = 256
    """Pixels along one side of a packed radiograph; networks that see 224 crop from 256."""
    split: Literal["official", "patient", "lists"] = "official"
    """official: NIH's test list, validation cut from the rest by patient; patient: all three sides drawn by
    patient; lists: your own."""
    lists: Path | None = None
    """Folder of your own train_list.txt, val_list.txt and test_list.txt, for --split lists."""
    medmnist: Path | None = None
    """ChestMNIST's .npz file, instead of a source; it brings its own split."""
    val_fraction: PositiveShare = 0.125
    """Share of the patients outside of the test list that validate: 10 of the 80 in 70/10/20."""
    test_fraction: PositiveShare = 0.2
    """Share of all patients that test, for --split patient."""
    seed: Whole = 0
    """Draws the patients."""
    workers: Whole = 0
    """Processes that decode; 0 takes all cores."""


@dataclass(frozen=True)
class _Material:
    origins: list[Origin]
    labels: Mapping[str, np.ndarray]
    split: splits.Split


def main(script: Mapping[str, object], argv: Sequence[str] | None = None) -> None:
    """Prepare the radiographs as a script's constants and flags say.

    Args:
        script: its ``globals()``.
        argv: the command line; None takes that of the process.
    """
    with spoken_errors():
        told = settings.from_script(PrepareSettings, script, argv)
        _require_consistent(told)
        try:
            with _alone_in(told.out):
                prepare(told)
        except KeyboardInterrupt:
            print("stopped; the same command goes on where it was.", file=sys.stderr)
            sys.exit(_INTERRUPTED)


def prepare(told: PrepareSettings) -> None:
    """Pack the radiographs, write the lists and the report, and say what was done.

    Raises:
        InputError: anything that a person can mend; what has been packed until then is kept.
    """
    material = _from_medmnist(told.medmnist) if told.medmnist else _from_nih(told)
    labels = material.labels
    found = {name for origin in material.origins for name in origin.sizes}
    packed = found & labels.keys()
    # Refused here rather than after hours of packing.
    lists.require_disjoint(*_image_lists(told.out, splits.restrict(material.split, packed), labels))
    index = pack(material.origins, packed, told.out / "images", told.size, told.workers or _CORES)

    oddities = report.unmatched(found, labels.keys(), set().union(*material.split.values()))
    oddities += report.look_through(index)
    left_out = {odd.name for odd in oddities if odd.left_out}
    image_lists = _image_lists(told.out, splits.restrict(material.split, packed - left_out), labels)
    for image_list in image_lists:
        lists.write_list(image_list.path, image_list.names, image_list.labels)
    report.write_report(told.out / "prepare-report.csv", oddities)

    print(f"{told.out / 'images'}: {len(index)} radiographs of {told.size} x {told.size} pixels")
    for image_list in image_lists:
        print(
            f"{image_list.path}: {len(image_list)} radiographs of {len(set(image_list.patients))} patients, "
            f"fingerprint {image_list.fingerprint}"
        )
    print(f"{told.out / 'prepare-report.csv'}: {report.summary(oddities)}")


def _require_consistent(told: PrepareSettings) -> None:
    if told.medmnist is None and not told.source.exists():
        raise InputError(f"there is no folder or archive {told.source}: download.py brings the radiographs.")
    if (told.split == "lists") != (told.lists is not None):
        raise InputError("--split lists and --lists FOLDER go together: say both or neither.")
    if told.medmnist is not None and told.split != "official":
        raise InputError(f"--medmnist brings its own split: leave out --split {told.split}.")


def _from_medmnist(archive: Path) -> _Material:
    origin = MedMnist(archive)
    print(f"Labels and split from {archive}.")
    return _Material([origin], origin.labels, origin.split)


def _from_nih(told: PrepareSettings) -> _Material:
    documents = nih.find_documents(told.source)
    table = nih.read_table(documents.table) if documents.table else {}
    if told.lists is not None:
        own = {side: lists.read_list(told.lists / f"{side}_list.txt") for side in splits.SIDES}
        table |= {name: row for one in own.values() for name, row in zip(one.names, one.labels, strict=True)}
        split = {side: sorted(set(one.names)) for side, one in own.items()}
        told_by = told.lists
    else:
        split = _drawn_split(told, documents, table)
        told_by = documents.table
    print(f"Labels from {told_by}; split: {told.split}.")
    return _Material(find_origins(told.source, told.size), table, split)


def _drawn_split(
    told: PrepareSettings, documents: nih.Documents, table: Mapping[str, np.ndarray]
) -> splits.Split:
    if documents.table is None:
        raise InputError(
            f"{told.source} holds no Data_Entry_2017.csv, NIH's table of the findings, and neither does the "
            "folder around it: download.py brings it."
        )
    if told.split == "patient":
        return splits.by_patient(table, told.test_fraction, told.val_fraction, told.seed)
    if documents.train_val is None or documents.test is None:
        raise InputError(
            f"{told.source} lacks train_val_list.txt or test_list.txt, NIH's official split: download.py "
            "brings them, or say --split patient."
        )
    train_val, test = nih.read_names(documents.train_val), nih.read_names(documents.test)
    return splits.official(train_val, test, told.val_fraction, told.seed)


def _image_lists(out: Path, split: splits.Split, labels: Mapping[str, np.ndarray]) -> list[lists.ImageList]:
    empty = [side for side, names in split.items() if not names]
    if empty:
        raise InputError(
            f"no usable radiograph of the source is in {' or '.join(empty)}: its files are named otherwise "
            "than in the table and the lists, or are too few to be split."
        )
    return [
        lists.ImageList(
            out / "labels" / f"{side}_list.txt", names, np.stack([labels[name] for name in names])
        )
        for side, names in split.items()
    ]


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    with spoken_disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".prepare.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"another prepare.py works on {out} already: wait for it.") from None
    with lock:
        for folder in (out, out / "labels"):
            for leftover in folder.glob(".*.part"):  # of a run that was killed while it wrote
                leftover.unlink()
        yield
