"""A folder laid out as NIH ships its own, of any length, out of a few files."""

from pathlib import Path

from cxr14.labels import NO_FINDING

PATIENT_IMAGES = 4  # NIH has 3.6 radiographs a patient


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
