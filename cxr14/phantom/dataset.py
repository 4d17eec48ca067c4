"""A folder of phantoms in NIH's layout.

Each PNG file contains the record of what was drawn as text. So an interrupted run can be resumed from the
files alone, and a single file still says that it is synthetic.
"""

import csv
import io
import json
import multiprocessing
import shlex
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cxr14.data.boxes import BOX_NAMES
from cxr14.data.kinds import SYNTHETIC_PREFIX
from cxr14.data_settings import PhantomSettings
from cxr14.errors import InputError
from cxr14.files import atomic_write, read_text, remove_unfinished
from cxr14.findings import FINDINGS, NO_FINDING
from cxr14.phantom.difficulty import Difficulty, difficulty_of
from cxr14.phantom.radiograph import IMAGES_A_PATIENT, render

GENERATOR = 2  # goes up when the same seed gives other images or labels; no folder mixes two versions
SETTINGS_FILE = "settings.json"
LOCK_FILE = ".make-phantoms.lock"
IMAGES = "images"

# NIH's own headers, with their unbalanced brackets and missing names.
ENTRY_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"

_FILM_MM = 366.0  # width and height of the field of view, in mm; NIH: 2544 pixels of 0.139 mm


def file_name(index: int) -> str:
    """Return the name of a phantom's file: synthetic_<patient>_<follow-up>.png."""
    patient, follow_up = divmod(index, IMAGES_A_PATIENT)
    return f"{SYNTHETIC_PREFIX}{patient + 1:08d}_{follow_up:03d}.png"


def write_set(settings: PhantomSettings) -> None:
    """Write a set of phantoms in NIH's layout, or resume one that was interrupted.

    Args:
        settings: all of them; `sheet` is not used.

    Raises:
        InputError: the folder contains a set of other settings, or files that are no phantoms.
    """
    difficulty = difficulty_of(settings)
    _prepare_folder(settings, difficulty)
    images = settings.out / IMAGES
    remove_unfinished(images)
    job = partial(_draw, images=images, settings=_identity(settings, difficulty), difficulty=difficulty)
    with _results(job, range(settings.count), settings.num_workers) as results:
        records = list(tqdm(results, total=settings.count, desc="synthetic radiographs", unit="image"))
    _write_tables(settings, records)
    _write(settings.out / "README.txt", _readme(settings, difficulty))


def _identity(settings: PhantomSettings, difficulty: Difficulty) -> dict[str, object]:
    """Return the settings that the set depends on: all but the folder and the number of processes."""
    return {
        "generator": GENERATOR,
        "count": settings.count,
        "size": settings.size,
        "seed": settings.seed,
        "test_fraction": settings.test_fraction,
        **asdict(difficulty),
    }


def _prepare_folder(settings: PhantomSettings, difficulty: Difficulty) -> None:
    identity, out = _identity(settings, difficulty), settings.out
    path = out / SETTINGS_FILE
    if path.is_file():
        try:
            previous = dict(json.loads(read_text(path, "the record")))
        except (ValueError, TypeError, RecursionError):
            raise InputError(f"{path} cannot be read; give another --out, or delete the folder.") from None
        differ = [
            f"{name} {previous.get(name)} -> {value}"
            for name, value in identity.items()
            if previous.get(name) != value
        ]
        if differ:
            raise InputError(
                f"{out} contains phantoms of other settings ({', '.join(differ)}); "
                "give another --out, delete the folder, or repeat its settings."
            )
        return
    remove_unfinished(out, SETTINGS_FILE)  # a run that was killed at once leaves nothing else
    if any(entry.name != LOCK_FILE for entry in out.iterdir()) if out.is_dir() else out.exists():
        raise InputError(
            f"{out} contains files that are no phantoms; give an --out that is empty or does not exist."
        )
    _write(path, json.dumps(identity, indent=2) + "\n")


def _draw(index: int, images: Path, settings: dict[str, object], difficulty: Difficulty) -> dict[str, object]:
    """Write one phantom unless its file exists; return its record."""
    path = images / file_name(index)
    try:
        with Image.open(path) as image:
            return json.loads(image.text["phantom"])
    except FileNotFoundError:
        pass
    except (OSError, KeyError, ValueError):
        raise InputError(f"{path} is damaged; delete it and run again.") from None
    phantom = render(index, int(settings["seed"]), difficulty, int(settings["size"]))
    record = {
        "name": path.name,
        "findings": _label_string(phantom.findings),
        "labels": _label_string(phantom.labels),
        "sex": phantom.patient.sex,
        "age": phantom.patient.age,
        "view": phantom.view,
        "boxes": [[finding, *box] for finding, boxes in phantom.boxes.items() for box in boxes],
    }
    text = PngImagePlugin.PngInfo()
    text.add_text("Description", "Synthetic chest radiograph: a drawing, not a patient.")
    text.add_text("phantom", json.dumps(record))
    with atomic_write(path, one_of_many=True) as aside:
        Image.fromarray(phantom.image).save(aside, format="PNG", pnginfo=text)
    return record


def _label_string(present: np.ndarray) -> str:
    """Return NIH's label string: findings joined by |."""
    return "|".join(finding for finding, there in zip(FINDINGS, present, strict=True) if there) or NO_FINDING


@contextmanager
def _results(job: partial, indices: range, workers: int) -> Iterator[Iterable[dict[str, object]]]:
    # One thread in each process: the matrices are small, and the number of threads would change the sums.
    if workers == 0:
        with threadpool_limits(1):
            yield map(job, indices)
        return
    chunk = max(1, min(32, len(indices) // (4 * workers)))
    # Ctrl-C reaches every process of a terminal. The workers ignore it from their start, and this process
    # ends them.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        started = multiprocessing.get_context("spawn").Pool(workers, _compute_with_one_thread)
    finally:
        signal.signal(signal.SIGINT, handler)
    with started as pool:
        yield pool.imap(job, indices, chunk)


def _compute_with_one_thread() -> None:
    """Limit numpy's threads in a new process, for which this module, and so numpy, has been imported."""
    threadpool_limits(1)


def _write_tables(settings: PhantomSettings, records: list[dict[str, object]]) -> None:
    out, size = settings.out, settings.size
    spacing = round(_FILM_MM / size, 3)
    entries, findings, boxes = [], [], []
    for index, record in enumerate(records):
        patient, follow_up = divmod(index, IMAGES_A_PATIENT)
        person = (follow_up, patient + 1, record["age"], record["sex"], record["view"])
        entries.append((record["name"], record["labels"], *person, size, size, spacing, spacing))
        findings.append((record["name"], record["findings"]))
        boxes += [
            (record["name"], BOX_NAMES.get(name, name), *place, "", "", "")
            for name, *place in record["boxes"]
        ]
    _write(out / "Data_Entry_2017_synthetic.csv", _table(ENTRY_HEADER, entries))
    _write(out / "true_labels.csv", _table("Image Index,Finding Labels", findings))
    _write(out / "BBox_List_2017_synthetic.csv", _table(BOX_HEADER, boxes))
    test_patients = _draw_test_patients(settings)
    lists: dict[str, list[str]] = {"train_val_list.txt": [], "test_list.txt": []}
    for index in range(settings.count):
        is_test = index // IMAGES_A_PATIENT in test_patients
        lists["test_list.txt" if is_test else "train_val_list.txt"].append(file_name(index))
    for name, names in lists.items():
        _write(out / name, "\n".join(names) + "\n")


def _draw_test_patients(settings: PhantomSettings) -> set[int]:
    patients = -(-settings.count // IMAGES_A_PATIENT)
    count = min(max(round(settings.test_fraction * patients), 1), patients - 1)
    return set(np.random.default_rng(settings.seed).permutation(patients)[:count].tolist())


def _table(header: str, rows: list[tuple]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return f"{header}\n{text.getvalue()}"


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8")


def _readme(settings: PhantomSettings, difficulty: Difficulty) -> str:
    values = "\n".join(f"  {name}: {value}" for name, value in asdict(difficulty).items())
    return f"""These {settings.count} radiographs are SYNTHETIC: drawings of a program, not of patients.
They have no clinical meaning. The whole study can be tried with them, and a score on them
says nothing about real radiographs.

command: python {shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])}
seed: {settings.seed}    size: {settings.size} x {settings.size}    difficulty: {settings.difficulty}
{values}

{IMAGES}/                           the radiographs, 8-bit gray, two of each patient
Data_Entry_2017_synthetic.csv     labels with label noise, patient, view, in NIH's columns
true_labels.csv                   the findings that were drawn, without label noise
train_val_list.txt, test_list.txt   file names; no patient is on both
BBox_List_2017_synthetic.csv      boxes around the signs, in pixels of a 1024 x 1024 image, in NIH's columns
{SETTINGS_FILE}                     settings, which a resumed run has to repeat
"""
