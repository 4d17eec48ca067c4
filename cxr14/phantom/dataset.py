"""A folder of phantoms as NIH ships its radiographs: PNG files, tables and lists.

Each PNG carries the record of what was drawn in its own text, so that a run that was interrupted goes on from
the files alone, and a file that strays from its folder still says that it is synthetic.
"""

import csv
import io
import json
import multiprocessing
import shlex
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
from cxr14.errors import InputError
from cxr14.files import atomic_write
from cxr14.findings import FINDINGS, NO_FINDING
from cxr14.phantom.difficulty import Difficulty, difficulty_of
from cxr14.phantom.radiograph import IMAGES_A_PATIENT, render
from cxr14.settings import PhantomSettings

GENERATOR = 2  # raise it when the same seed comes to mean other pixels, so that no folder mixes the two
SETTINGS_FILE = "settings.json"
IMAGES = "images"

# NIH's headers to the letter, stray brackets, missing names and all.
ENTRY_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"

_FILM_MM = 366.0  # side of the field of view: 2544 pixels of 0.139 mm at NIH, and as wide


def file_name(index: int) -> str:
    """Return the name of a phantom's file: synthetic_<patient>_<follow-up>.png."""
    patient, follow_up = divmod(index, IMAGES_A_PATIENT)
    return f"synthetic_{patient + 1:08d}_{follow_up:03d}.png"


def write_set(settings: PhantomSettings) -> None:
    """Write a set of phantoms in NIH's layout, or go on with one that was interrupted.

    Args:
        settings: all of them; `sheet` is not used.

    Raises:
        InputError: the folder holds a set of other settings or files that are no phantoms.
    """
    difficulty = difficulty_of(settings)
    _claim(settings, difficulty)
    images = settings.out / IMAGES
    # A file that a killed run was about to write is of no use to anyone.
    for part in images.glob(".*.part"):
        part.unlink(missing_ok=True)
    job = partial(_draw, images=images, settings=_identity(settings, difficulty), difficulty=difficulty)
    with _results(job, range(settings.count), settings.num_workers) as results:
        records = list(tqdm(results, total=settings.count, desc="synthetic radiographs", unit="image"))
    _write_tables(settings, records)
    _write(settings.out / "README.txt", _readme(settings, difficulty))


def _identity(settings: PhantomSettings, difficulty: Difficulty) -> dict[str, object]:
    """What makes two sets the same; where they lie and how many processes drew them does not."""
    return {
        "generator": GENERATOR,
        "count": settings.count,
        "size": settings.size,
        "seed": settings.seed,
        "test_fraction": settings.test_fraction,
        **asdict(difficulty),
    }


def _claim(settings: PhantomSettings, difficulty: Difficulty) -> None:
    ours, out = _identity(settings, difficulty), settings.out
    kept = out / SETTINGS_FILE
    if kept.is_file():
        try:
            theirs = json.loads(kept.read_text())
        except ValueError:
            raise InputError(f"{kept} cannot be read; give another --out, or delete the folder.") from None
        differ = [
            f"{name} {theirs.get(name)} -> {value}"
            for name, value in ours.items()
            if theirs.get(name) != value
        ]
        if differ:
            raise InputError(
                f"{out} holds phantoms of other settings ({', '.join(differ)}); "
                "give another --out, delete the folder, or repeat its settings."
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"{out} holds files that are no phantoms; give an --out that is empty or does not exist."
        )
    _write(kept, json.dumps(ours, indent=2) + "\n")


def _draw(index: int, images: Path, settings: dict[str, object], difficulty: Difficulty) -> dict[str, object]:
    """Write one phantom unless it is there; return its record either way."""
    path = images / file_name(index)
    try:
        with Image.open(path) as image:
            return json.loads(image.text["phantom"])
    except FileNotFoundError:
        pass
    except (OSError, KeyError, ValueError):
        raise InputError(f"{path} is no whole phantom; delete it and run again.") from None
    phantom = render(index, int(settings["seed"]), difficulty, int(settings["size"]))
    record = {
        "name": path.name,
        "findings": _joined(phantom.findings),
        "labels": _joined(phantom.labels),
        "sex": phantom.patient.sex,
        "age": phantom.patient.age,
        "view": phantom.view,
        "boxes": [[finding, *box] for finding, boxes in phantom.boxes.items() for box in boxes],
    }
    text = PngImagePlugin.PngInfo()
    text.add_text("Description", "Synthetic chest radiograph: a drawing, not a patient.")
    text.add_text("phantom", json.dumps(record))
    with atomic_write(path) as aside:
        Image.fromarray(phantom.image).save(aside, format="PNG", pnginfo=text)
    return record


def _joined(present: np.ndarray) -> str:
    """NIH's label string: findings joined by |."""
    return "|".join(finding for finding, there in zip(FINDINGS, present, strict=True) if there) or NO_FINDING


@contextmanager
def _results(job: partial, indices: range, workers: int) -> Iterator[Iterable[dict[str, object]]]:
    # One thread a process: the matrices are small, and sums must not depend on how a library splits them.
    if workers == 0:
        with threadpool_limits(1):
            yield map(job, indices)
        return
    chunk = max(1, min(32, len(indices) // (4 * workers)))
    with multiprocessing.get_context("spawn").Pool(workers, threadpool_limits, (1,)) as pool:
        yield pool.imap(job, indices, chunk)


def _write_tables(settings: PhantomSettings, records: list[dict[str, object]]) -> None:
    out, size = settings.out, settings.size
    spacing = round(_FILM_MM / size, 3)
    entries, truths, boxes = [], [], []
    for index, record in enumerate(records):
        patient, follow_up = divmod(index, IMAGES_A_PATIENT)
        person = (follow_up, patient + 1, record["age"], record["sex"], record["view"])
        entries.append((record["name"], record["labels"], *person, size, size, spacing, spacing))
        truths.append((record["name"], record["findings"]))
        boxes += [
            (record["name"], BOX_NAMES.get(name, name), *place, "", "", "")
            for name, *place in record["boxes"]
        ]
    _write(out / "Data_Entry_2017_synthetic.csv", _table(ENTRY_HEADER, entries))
    _write(out / "true_labels.csv", _table("Image Index,Finding Labels", truths))
    _write(out / "BBox_List_2017_synthetic.csv", _table(BOX_HEADER, boxes))
    tested = _test_patients(settings)
    test = [index // IMAGES_A_PATIENT in tested for index in range(settings.count)]
    for name, wanted in (("train_val_list.txt", False), ("test_list.txt", True)):
        names = [file_name(index) for index, in_test in enumerate(test) if in_test == wanted]
        _write(out / name, "\n".join(names) + "\n")


def _test_patients(settings: PhantomSettings) -> set[int]:
    patients = -(-settings.count // IMAGES_A_PATIENT)
    tested = min(max(round(settings.test_fraction * patients), 1), patients - 1)
    return set(np.random.default_rng(settings.seed).permutation(patients)[:tested].tolist())


def _table(header: str, rows: list[tuple]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return f"{header}\n{text.getvalue()}"


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8")


def _readme(settings: PhantomSettings, difficulty: Difficulty) -> str:
    values = "\n".join(f"  {name}: {value}" for name, value in asdict(difficulty).items())
    return f"""These {settings.count} radiographs are SYNTHETIC: drawn by a program, of nobody.
They have no clinical meaning. They serve to try a whole study out without patients,
and a score on them says nothing about real radiographs.

command: python {shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])}
seed: {settings.seed}    size: {settings.size} x {settings.size}    difficulty: {settings.difficulty}
{values}

{IMAGES}/                           the radiographs, 8-bit gray; two of each patient
Data_Entry_2017_synthetic.csv     labels as a fallible reader gives them, patient, view: NIH's columns
true_labels.csv                   what was drawn, before the reader's errors
train_val_list.txt, test_list.txt   names; no patient stands on both
BBox_List_2017_synthetic.csv      where the signs were drawn, in pixels of a 1024 x 1024 image: NIH's columns
{SETTINGS_FILE}                     what a second run compares itself with
"""
