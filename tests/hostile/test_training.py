"""Careless and hostile inputs of a training: lists, radiographs, stores, weights, outputs."""

import pytest

from tests.hostile import weights
from tests.hostile.harness import Row, check_row
from tests.hostile.tables import (
    both,
    dangling_link_instead,
    edit,
    flags,
    folder_instead,
    pipe_instead,
    recode,
    remove,
    truncate,
    write,
)
from tests.nih_folder import png

TRAIN, VAL = "labels/train_list.txt", "labels/val_list.txt"
FIRST = "images/00000001_000.png"
LABELS = " 0" * 14


def replace(name, old, new, count=1):
    return edit(name, lambda text: text.replace(old, new, count))


def huge_png(place):
    """Write a PNG file whose header promises 100,000 x 100,000 pixels."""
    content = bytearray(png(1))
    content[16:24] = (100_000).to_bytes(4, "big") * 2
    (place / FIRST).write_bytes(content)


def store_of(change):
    """Return a change of the packed store, which the training then reads."""

    def damage(place):
        change(place / "packed" / "images")
        return {
            "data-dir": "packed/images",
            "train-image-list": "packed/labels/train_list.txt",
            "val-image-list": "packed/labels/val_list.txt",
        }

    return damage


LISTS = [
    Row(
        "train",
        "list of NIH without labels",
        edit(TRAIN, lambda text: "\n".join(line.split()[0] for line in text.splitlines())),
        "without labels",
    ),
    *(
        Row(
            "train",
            f"list with columns between {mark}",
            edit(TRAIN, lambda text, mark=mark: text.replace(" ", mark)),
            f"separates its columns by '{mark}'",
        )
        for mark in ";,"
    ),
    Row("train", "13 labels", edit(TRAIN, lambda text: text.replace(" 0\n", "\n", 1)), "13 labels"),
    Row("train", "a label of 2", edit(TRAIN, lambda text: text.replace(" 1 ", " 2 ", 1)), "label '2'"),
    Row("train", "a label that is no number", edit(TRAIN, lambda t: t.replace(" 1 ", " yes ", 1)), "'yes'"),
    Row("train", "empty list", write(TRAIN, ""), "is empty"),
    Row("train", "list of blanks", write(TRAIN, " \n\t\n"), "is empty"),
    Row("train", "missing list", remove(TRAIN), "does not exist"),
    Row("train", "UTF-16 list with a remark", recode(TRAIN, "utf-16"), "labels after the name"),
    Row("train", "Latin-1 list", recode(TRAIN, "latin-1"), "not text in UTF-8"),
    Row("train", "UTF-32 list", recode(TRAIN, "utf-32"), "not text in UTF-8"),
    Row("train", "picture as list", lambda place: {"train-image-list": FIRST}, "not text in UTF-8"),
    Row("train", "folder as list", folder_instead(TRAIN), "cannot be read"),
    Row("train", "link to nothing as list", dangling_link_instead(TRAIN), "does not exist"),
    Row("train", "null bytes in a list", edit(TRAIN, lambda text: text + "\0"), "not text in UTF-8"),
    Row("train", "a line of a megabyte", write(VAL, "x" * 1_000_000), "without labels"),
    Row("train", "terminal codes in a name", edit(TRAIN, lambda t: t + "\x1b[2J.png" + LABELS), r"\x1b[2J"),
    Row(
        "train", "a name outside the folder", edit(TRAIN, lambda t: t + "../model1.pth" + LABELS), "../model1"
    ),
    Row("train", "an absolute name", edit(TRAIN, lambda text: text + "/etc/passwd" + LABELS), "/etc/passwd"),
    Row(
        "train",
        "contradicting labels",
        edit(TRAIN, lambda t: t + t.splitlines()[0].split()[0] + LABELS),
        "again with other labels",
    ),
    Row("train", "one list twice", flags(val_image_list=TRAIN), "patients are in both"),
    Row("train", "a patient in both", edit(VAL, lambda t: t + "00000001_001.png" + LABELS), "00000001"),
    Row(
        "train",
        "a flipped copy of a patient in both",
        edit(VAL, lambda t: t + "00000001_001_flip.png" + LABELS),
        "00000001",
    ),
    Row(
        "train",
        "validation without positives",
        edit(VAL, lambda text: text.replace(" 1", " 0")),
        "no finding has both",
    ),
    Row(
        "train",
        "one radiograph to validate on",
        edit(VAL, lambda text: text.splitlines()[0]),
        "no finding has both",
    ),
]

RADIOGRAPHS = [
    Row("train", "no folder", flags(data_dir="nowhere"), "there is no folder"),
    Row("train", "empty folder", both(folder_instead("e"), data_dir="e"), "there is no radiograph"),
    Row("train", "file as folder", flags(data_dir=TRAIN), "there is no folder"),
    Row("train", "a radiograph is missing", remove(FIRST), "00000001_000.png"),
    Row("train", "a radiograph is cut short", truncate(FIRST, 0.5), "00000001_000.png"),
    Row("train", "a radiograph is empty", write(FIRST, ""), "00000001_000.png"),
    Row("train", "a radiograph is text", write(FIRST, "no picture"), "00000001_000.png"),
    Row("train", "a radiograph is a GIF", write(FIRST, b"GIF89a" + bytes(100)), "00000001_000.png"),
    Row("train", "a radiograph of 10 gigapixels", huge_png, "00000001_000.png"),
    Row("train", "a radiograph is a folder", folder_instead(FIRST), "00000001_000.png"),
    Row("train", "a radiograph is a pipe", pipe_instead(FIRST), "00000001_000.png"),
    Row("train", "a radiograph is a dangling link", dangling_link_instead(FIRST), "00000001_000.png"),
]

STORES = [
    Row("train", "pixels cut short", store_of(lambda images: truncate("store.npy", 0.9)(images)), "delete"),
    Row(
        "train",
        "pixels are garbage",
        store_of(lambda images: write("store.npy", b"x" * 999)(images)),
        "delete",
    ),
    Row("train", "pixels are missing", store_of(lambda images: remove("store.npy")(images)), "is missing"),
    Row(
        "train",
        "pixels are a pickle",
        store_of(lambda images: write("store.npy", weights.object_array())(images)),
        "delete",
    ),
    Row("train", "index is missing", store_of(lambda images: remove("store.csv")(images)), "not complete"),
    Row("train", "index of another layout", store_of(replace("store.csv", "layout", "lay-out")), "layout"),
    Row(
        "train",
        "index of other rows",
        store_of(edit("store.csv", lambda t: t[: t.rstrip().rfind("\n")])),
        "rows",
    ),
    Row("train", "index with a column too few", store_of(replace("store.csv", ",ok,", ",")), "is damaged"),
    Row(
        "train",
        "index with a name twice",
        store_of(replace("store.csv", "00000001_001.png", "00000001_000.png")),
        "rows",
    ),
    Row(
        "train",
        "index is binary",
        store_of(lambda images: write("store.csv", b"\xff\xfe\0")(images)),
        "delete",
    ),
]

WEIGHTS = [
    *(
        Row(script, f"{what} as {name}", both(make, **{flag: "x.pth"}), words)
        for script, flag, name in (
            ("train", "init-checkpoint", "start"),
            ("distil", "teacher-ckpt-path", "teacher"),
        )
        for what, make, words in weights.WRONG_FILES
    ),
    *(
        Row("distil", what, weights.altered("x.pth", change, "teacher-ckpt-path"), words)
        for what, change, words in weights.WRONG_METADATA
    ),
    Row(
        "distil",
        "a teacher of another network",
        weights.altered(
            "x.pth", lambda content: content["about"].update(network="3-CheXNet"), "teacher-ckpt-path"
        ),
        "3-CheXNet",
    ),
    Row(
        "distil",
        "a teacher of another image size",
        weights.altered("x.pth", lambda content: content["about"].update(image_size=96), "teacher-ckpt-path"),
        "IMAGE_SIZE",
    ),
    Row(
        "distil",
        "a teacher that was trained on the validation list",
        flags(train_image_list="labels/test_list.txt", val_image_list=TRAIN),
        "were used to train",
    ),
    Row(
        "train",
        "a start that was trained on the validation list",
        flags(train_image_list="labels/test_list.txt", val_image_list=TRAIN, init_checkpoint="model1.pth"),
        "were used to train",
    ),
    *(
        Row(
            "train",
            f"{what} as snapshot",
            both(weights.renamed(make, "out/model.last.pth"), resume=None),
            words,
            leaves=("out/*",),
        )
        for what, make, words in weights.WRONG_SNAPSHOTS
    ),
]

OUTPUTS = [
    *(
        Row(
            "train",
            f"CKPT_PATH is {flag}",
            lambda place, flag=flag, name=name: {"ckpt-path": name, flag: name},
            "are the same file",
        )
        for flag, name in (
            ("train-image-list", TRAIN),
            ("val-image-list", VAL),
            ("init-checkpoint", "model1.pth"),
        )
    ),
    *(
        Row(
            "distil",
            f"CKPT_PATH is {flag}",
            lambda place, flag=flag: {"ckpt-path": "model1.pth", flag: "model1.pth"},
            "are the same file",
        )
        for flag in ("teacher-ckpt-path", "student-ckpt-path")
    ),
    Row(
        "train",
        "CKPT_PATH is a link to a list",
        both(lambda place: (place / "x.pth").symlink_to(place / TRAIN), ckpt_path="x.pth"),
        "are the same file",
    ),
    Row(
        "train",
        "the log would replace a list",
        both(
            lambda place: (place / TRAIN).rename(place / "labels" / "model.log.csv"),
            train_image_list="labels/model.log.csv",
            ckpt_path="labels/model.pth",
        ),
        "are the same file",
    ),
    Row(
        "distil",
        "the snapshot would replace the teacher",
        both(
            lambda place: (place / "model1.pth").rename(place / "out.last.pth"),
            teacher_ckpt_path="out.last.pth",
            ckpt_path="out.pth",
        ),
        "are the same file",
    ),
    Row("train", "LOG_DIR is a file", both(write("x", "x"), log_dir="x"), "is a file"),
    Row(
        "train",
        "a batch size of 2 ** 31 - 1 radiographs",
        flags(batch_size=2**31 - 1),
        "",
        status=0,
        leaves=("out/*",),
    ),
]


@pytest.mark.parametrize("row", [*LISTS, *RADIOGRAPHS, *STORES, *WEIGHTS, *OUTPUTS], ids=str)
def test_training(row, world, tmp_path, monkeypatch, capsys):
    check_row(row, world, tmp_path, monkeypatch, capsys)
