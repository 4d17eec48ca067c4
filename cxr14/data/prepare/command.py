"""What ChestX-ray14/prepare.py does: files and NIH's documents become a packed store and image lists."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from cxr14.data import image_lists, nih_tables, splits
from cxr14.data.image_lists import ImageList
from cxr14.data.prepare import problems
from cxr14.data.prepare.medmnist import MedMnist
from cxr14.data.prepare.packing import pack
from cxr14.data.prepare.sources import Origin, find_origins
from cxr14.data_settings import PrepareSettings
from cxr14.errors import InputError
from cxr14.files import wrap_disk_errors

_INTERRUPTED = 130  # what a shell calls a program that Ctrl-C ended
_CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class _Material:
    origins: list[Origin]
    labels: Mapping[str, np.ndarray]
    split: splits.Split


def prepare(settings: PrepareSettings) -> None:
    """Prepare the radiographs: what prepare.py does.

    Raises:
        InputError: anything that a person can correct; what has been packed until then is kept.
    """
    _require_consistent(settings)
    try:
        with _alone_in(settings.out):
            _prepare(settings)
    except KeyboardInterrupt:
        print("stopped; the same command resumes.", file=sys.stderr)
        sys.exit(_INTERRUPTED)


def _prepare(told: PrepareSettings) -> None:
    """Pack the radiographs, write the lists and the report, and say what was done.

    Raises:
        InputError: anything that a person can mend; what has been packed until then is kept.
    """
    material = _from_medmnist(told.medmnist) if told.medmnist else _from_nih(told)
    labels = material.labels
    found = {name for origin in material.origins for name in origin.sizes}
    packed = found & labels.keys()
    # Refused here rather than after hours of packing.
    image_lists.require_disjoint(*_image_lists(told.out, splits.restrict(material.split, packed), labels))
    index = pack(material.origins, packed, told.out / "images", told.size, told.workers or _CORES)

    oddities = problems.unmatched(found, labels.keys(), set().union(*material.split.values()))
    oddities += problems.look_through(index)
    left_out = {odd.name for odd in oddities if odd.left_out}
    written = _image_lists(told.out, splits.restrict(material.split, packed - left_out), labels)
    for image_list in written:
        image_lists.write_list(image_list.path, image_list.names, image_list.labels)
    problems.write_report(told.out / "prepare-report.csv", oddities)

    print(f"{told.out / 'images'}: {len(index)} radiographs of {told.size} x {told.size} pixels")
    for image_list in written:
        print(
            f"{image_list.path}: {len(image_list)} radiographs of {len(set(image_list.patients))} patients, "
            f"fingerprint {image_list.fingerprint}"
        )
    print(f"{told.out / 'prepare-report.csv'}: {problems.summary(oddities)}")


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
    documents = nih_tables.find_documents(told.source)
    table = nih_tables.read_table(documents.table) if documents.table else {}
    if told.lists is not None:
        own = {side: image_lists.read_list(told.lists / f"{side}_list.txt") for side in splits.SIDES}
        table |= {name: row for one in own.values() for name, row in zip(one.names, one.labels, strict=True)}
        split = {side: sorted(set(one.names)) for side, one in own.items()}
        told_by = told.lists
    else:
        split = _drawn_split(told, documents, table)
        told_by = documents.table
    print(f"Labels from {told_by}; split: {told.split}.")
    return _Material(find_origins(told.source, told.size), table, split)


def _drawn_split(
    told: PrepareSettings, documents: nih_tables.Documents, table: Mapping[str, np.ndarray]
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
    train_val, test = nih_tables.read_names(documents.train_val), nih_tables.read_names(documents.test)
    return splits.official(train_val, test, told.val_fraction, told.seed)


def _image_lists(out: Path, split: splits.Split, labels: Mapping[str, np.ndarray]) -> list[ImageList]:
    empty = [side for side, names in split.items() if not names]
    if empty:
        raise InputError(
            f"no usable radiograph of the source is in {' or '.join(empty)}: its files are named otherwise "
            "than in the table and the lists, or are too few to be split."
        )
    return [
        image_lists.ImageList(
            out / "labels" / f"{side}_list.txt", names, np.stack([labels[name] for name in names])
        )
        for side, names in split.items()
    ]


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    with wrap_disk_errors(out):
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
