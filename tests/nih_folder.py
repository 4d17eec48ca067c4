"""Small folders laid out as NIH ships its own, for tests of what reads them."""

import csv
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from cxr14.findings import FINDINGS, NO_FINDING


def names_of(patients, images_each=2):
    return [f"{patient:08d}_{i:03d}.png" for patient in range(1, patients + 1) for i in range(images_each)]


def png(seed, side=40, mode="L"):
    """The content of a PNG file of smooth noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5), np.uint8)
    image = Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def findings_of(number):
    """Labels that tell radiographs apart: finding number % 14, and the next one for every third."""
    if number % 5 == 0:
        return NO_FINDING
    return "|".join(sorted({FINDINGS[number % 14], FINDINGS[(number + (number % 3 == 0)) % 14]}))


def write_documents(folder, names, test=()):
    """Write NIH's table and lists; by default the last quarter of the names tests."""
    test = list(test) or names[-(len(names) // 4) :]
    with (folder / "Data_Entry_2017.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Image Index", "Finding Labels", "Follow-up #", "Patient ID"])
        writer.writerows([name, findings_of(i), 0, int(name[:8])] for i, name in enumerate(names))
    (folder / "train_val_list.txt").write_text("\n".join(name for name in names if name not in test))
    (folder / "test_list.txt").write_text("\n".join(test))


def write_images(folder, names, **kind):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        (folder / name).write_bytes(png(seed, **kind))


def write_zip(path, contents: dict[str, bytes]):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def write_tar(path, contents: dict[str, bytes], *special: tarfile.TarInfo):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in special:
            archive.addfile(member)


def store_bytes(out: Path):
    """What must be the same whichever way a store was made."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(
            [*(out / "images").iterdir(), *(out / "labels").iterdir(), out / "prepare-report.csv"]
        )
    }
