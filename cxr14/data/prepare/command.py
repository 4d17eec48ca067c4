"""The entry of prepare.py."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr14.data import image_lists, nih_tables, splits
from cxr14.data.geometry import image_size_for
from cxr14.data.image_lists import ImageList
from cxr14.data.prepare import outputs, problems
from cxr14.data.prepare.medmnist import MedMnist
from cxr14.data.prepare.packing import pack
from cxr14.data.prepare.sources import Source, find_sources
from cxr14.data_settings import PrepareSettings
from cxr14.errors import InputError
from cxr14.files import exclusive

_INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended, as shells have it
_CORES = os.cpu_count() or 1


_REPORT = "prepare-report.csv"


@dataclass(frozen=True)
class _Inputs:
    sources: list[Source]
    labels: Mapping[str, np.ndarray]
    split: splits.Split


def prepare(settings: PrepareSettings) -> None:
    """Prepare the radiographs: what prepare.py does.

    Raises:
        InputError: anything that a person can correct; radiographs packed before that are kept.
    """
    _require_consistent(settings)
    _require_apart(settings)
    try:
        with _locked(settings.out):
            _prepare(settings)
    except KeyboardInterrupt:
        print("stopped; the same command resumes.", file=sys.stderr)
        sys.exit(_INTERRUPTED)


def _prepare(settings: PrepareSettings) -> None:
    inputs = _from_medmnist(settings.medmnist) if settings.medmnist else _from_nih(settings)
    labels = inputs.labels
    found = {name for source in inputs.sources for name in source.sizes}
    packed = found & labels.keys()
    # Checked here rather than after hours of packing.
    image_lists.require_disjoint(*_image_lists(settings.out, splits.restrict(inputs.split, packed), labels))
    outputs.require_own(settings.out, _paths(settings.out))
    images = settings.out / "images"
    print(
        f"Packing {len(packed)} radiographs of {settings.size} x {settings.size} pixels: "
        f"{len(packed) * settings.size**2 / 1e9:.2f} GB in {images}. The networks crop "
        f"{image_size_for(settings.size)} px out of them (IMAGE_SIZE); no more than a batch is in memory."
    )
    index = pack(inputs.sources, packed, images, settings.size, settings.workers or _CORES)

    found_problems = problems.compare_names(found, labels.keys(), set().union(*inputs.split.values()))
    found_problems += problems.check_radiographs(index)
    left_out = {problem.name for problem in found_problems if problem.left_out}
    written = _image_lists(settings.out, splits.restrict(inputs.split, packed - left_out), labels)
    texts = {image_list.path: image_list.text for image_list in written}
    texts[settings.out / _REPORT] = problems.report_text(found_problems)
    outputs.write(settings.out, texts)

    print(f"{images}: {len(index)} radiographs of {settings.size} x {settings.size} pixels")
    for image_list in written:
        print(
            f"{image_list.path}: {len(image_list)} radiographs of {len(set(image_list.patients))} patients, "
            f"fingerprint {image_list.fingerprint}"
        )
    print(f"{settings.out / _REPORT}: {problems.summary(found_problems)}")


def _paths(out: Path) -> list[Path]:
    return [*(out / "labels" / f"{side}_list.txt" for side in splits.SIDES), out / _REPORT]


def _require_consistent(settings: PrepareSettings) -> None:
    if settings.medmnist is None and not settings.source.exists():
        raise InputError(
            f"there is no folder or archive {settings.source}: ChestX-ray14/download.py downloads the "
            "radiographs."
        )
    if (settings.split == "lists") != (settings.lists is not None):
        raise InputError("--split lists and --lists FOLDER go together: give both or neither.")
    if settings.medmnist is not None and settings.split != "official":
        raise InputError(f"--medmnist brings its own split: leave out --split {settings.split}.")


def _require_apart(settings: PrepareSettings) -> None:
    """Refuse lists that would be read and replaced."""
    written = {path.resolve() for path in _paths(settings.out)}
    for side in splits.SIDES if settings.lists else ():
        path = settings.lists / f"{side}_list.txt"
        if path.resolve() in written:
            raise InputError(
                f"{path} would be read and replaced: put your own lists into another folder, or choose "
                "another --out."
            )


def _from_medmnist(archive: Path) -> _Inputs:
    source = MedMnist(archive)
    print(f"Labels and split from {archive}.")
    return _Inputs([source], source.labels, source.split)


def _from_nih(settings: PrepareSettings) -> _Inputs:
    documents = nih_tables.find_documents(settings.source)
    table = nih_tables.read_table(documents.table) if documents.table else {}
    if settings.lists is not None:
        own = {side: image_lists.read_list(settings.lists / f"{side}_list.txt") for side in splits.SIDES}
        image_lists.require_disjoint(*own.values())
        table |= {name: row for one in own.values() for name, row in zip(one.names, one.labels, strict=True)}
        split = {side: sorted(set(one.names)) for side, one in own.items()}
        label_source = settings.lists
    else:
        split = _drawn_split(settings, documents, table)
        label_source = documents.table
    print(f"Labels from {label_source}; split: {settings.split}.")
    return _Inputs(find_sources(settings.source, settings.size), table, split)


def _drawn_split(
    settings: PrepareSettings, documents: nih_tables.Documents, table: Mapping[str, np.ndarray]
) -> splits.Split:
    if documents.table is None:
        raise InputError(
            f"{settings.source} holds no Data_Entry_2017.csv, NIH's table of the findings, and neither does "
            "the folder around it: ChestX-ray14/download.py downloads it."
        )
    if settings.split == "patient":
        return splits.by_patient(table, settings.test_fraction, settings.val_fraction, settings.seed)
    if documents.train_val is None or documents.test is None:
        raise InputError(
            f"{settings.source} lacks train_val_list.txt or test_list.txt, NIH's official split: download.py "
            "downloads them; or choose --split patient."
        )
    train_val, test = nih_tables.read_names(documents.train_val), nih_tables.read_names(documents.test)
    return splits.official(train_val, test, settings.val_fraction, settings.seed)


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
def _locked(out: Path) -> Iterator[None]:
    with exclusive(out / ".prepare.lock", f"another prepare.py is writing to {out}"):
        outputs.remove_leftovers(out, _paths(out))
        yield
