"""Radiographs to work on: drawn ones, and a folder of any length as NIH ships its own, out of a few files."""

from pathlib import Path

from PIL import Image

from cxr14.findings import NO_FINDING
from cxr14.phantom.difficulty import DIFFICULTIES
from cxr14.phantom.radiograph import render

DRAWN_SIDE = 256
PATIENT_IMAGES = 4  # NIH has 3.6 radiographs a patient


def draw_radiographs(folder: Path, count: int, side: int) -> list[Path]:
    """Draw synthetic radiographs as PNG files; resized from 256 px, for only their decoding matters."""
    folder.mkdir(parents=True)
    for index in range(count):
        film = Image.fromarray(render(index, 0, DIFFICULTIES["standard"], DRAWN_SIDE).image)
        if side != DRAWN_SIDE:
            film = film.resize((side, side), Image.Resampling.BICUBIC)
        film.save(folder / f"synthetic_{index:08d}_000.png")
    return sorted(folder.glob("*.png"))


def repeat_as_nih(folder: Path, files: list[Path], count: int) -> Path:
    """Lay out `count` radiographs, the files over and over, with NIH's table and lists.

    Args:
        folder: is made; receives links to the files.
        files: image files.
        count: radiographs; every fifth patient tests.

    Returns:
        `folder`.
    """
    (folder / "images").mkdir(parents=True)
    names = [f"{row // PATIENT_IMAGES:08d}_{row % PATIENT_IMAGES:03d}.png" for row in range(count)]
    for row, name in enumerate(names):
        (folder / "images" / name).symlink_to(files[row % len(files)].resolve())
    table = [f"{name},{NO_FINDING}\n" for name in names]
    (folder / "Data_Entry_2017.csv").write_text("Image Index,Finding Labels\n" + "".join(table))
    for path, tests in (("train_val_list.txt", False), ("test_list.txt", True)):
        side = [name for row, name in enumerate(names) if (row // PATIENT_IMAGES % 5 == 0) == tests]
        (folder / path).write_text("\n".join(side))
    return folder
