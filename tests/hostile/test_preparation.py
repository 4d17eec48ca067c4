"""Careless and hostile inputs of prepare and make-phantoms."""

import io
import shutil
import tarfile
import zipfile

import numpy as np
import pytest

from tests.hostile import weights
from tests.hostile.harness import Row, check_row
from tests.hostile.tables import both, edit, flags, folder_instead, pipe_instead, recode, truncate, write
from tests.nih_folder import png, write_tar, write_zip

TABLE, LIST = "source/Data_Entry_2017.csv", "source/test_list.txt"
LEFT = ("out/images/*", "out/labels/*", "out/prepare-report.csv", "out/.prepare.sha256")


def archive(name, contents, *special, writer=write_zip):
    """Return a change that adds an archive to the source."""

    def change(place):
        writer(place / "source" / name, contents() if callable(contents) else contents, *special)

    return change


def cut_archive(place):
    """Add an archive that lost its end."""
    archive("a.zip", {"b.png": png(1)})(place)
    truncate("source/a.zip", 0.6)(place)


def altered_zip(offset, change):
    """Return a change that packs the images into a zip archive and alters the headers of its members.

    `offset` is that of a byte of a member's own header; the archive's directory has it two bytes later.
    """

    def damage(place):
        images = place / "source" / "images"
        write_zip(place / "source" / "a.zip", {path.name: path.read_bytes() for path in images.iterdir()})
        shutil.rmtree(images)
        content = bytearray((place / "source" / "a.zip").read_bytes())
        for mark, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
            at = content.find(mark)
            while at >= 0:
                content[at + offset + shift] = change(content[at + offset + shift])
                at = content.find(mark, at + 1)
        (place / "source" / "a.zip").write_bytes(content)

    return damage


def name_of_no_utf8(place):
    """Add a zip archive with a name that says to be UTF-8, and is not."""
    archive("a.zip", {"胸.png": png(1)})(place)
    path = place / "source" / "a.zip"
    path.write_bytes(path.read_bytes().replace("胸".encode(), b"\xff\xfe\xfd"))


def member(name, kind, target=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def own_lists(change):
    """Return a change of lists of one's own, which prepare reads."""

    def damage(place):
        change(place)
        return {"split": "lists", "lists": "packed/labels"}

    return damage


def medmnist(**changes):
    """Return a change that writes ChestMNIST's file with other arrays."""

    def damage(place):
        arrays = {f"{side}_images": np.zeros((4, 28, 28), np.uint8) for side in ("train", "val", "test")}
        arrays |= {f"{side}_labels": np.zeros((4, 14), int) for side in ("train", "val", "test")}
        arrays |= changes
        np.savez(place / "m.npz", **{name: value for name, value in arrays.items() if value is not None})
        return {"medmnist": "m.npz", "size": 28}

    return damage


def promised_images(place):
    """Write a ChestMNIST file whose header promises radiographs of 10,000,000 x 10,000,000 pixels."""
    damage = medmnist()(place)
    with zipfile.ZipFile(place / "m.npz") as old:
        contents = {name: old.read(name) for name in old.namelist()}
    header = io.BytesIO()
    shape = (4, 10_000_000, 10_000_000)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    contents["train_images.npy"] = header.getvalue() + bytes(1000)
    write_zip(place / "m.npz", contents)
    return damage


PREPARE = [
    Row("prepare", "table in Latin-1", recode(TABLE, "latin-1"), "not text in UTF-8"),
    Row("prepare", "table in UTF-16", recode(TABLE, "utf-16"), "names the finding ''"),
    Row("prepare", "binary table", write(TABLE, b"\x89PNG\r\n\x1a\n\0\xff"), "not text in UTF-8"),
    Row("prepare", "empty table", write(TABLE, ""), "no column"),
    Row("prepare", "a table of other columns", write(TABLE, "a,b\n1,2\n"), "no column"),
    *(
        Row(
            "prepare",
            f"a table with {name}",
            edit(TABLE, lambda text, separator=separator: text.replace(",", separator)),
            "save it with commas",
        )
        for name, separator in (("semicolons", ";"), ("tabs", "\t"))
    ),
    Row(
        "prepare",
        "a table with a field of a megabyte",
        edit(TABLE, lambda text: text + '"' + "x" * 1_000_000),
        "cannot be read",
    ),
    Row("prepare", "a table with null bytes", edit(TABLE, lambda text: text + "\0,\0"), "not text in UTF-8"),
    Row("prepare", "an unknown finding", edit(TABLE, lambda text: text.replace("Mass", "Hope")), "'Hope'"),
    Row(
        "prepare",
        "a radiograph twice in the table",
        edit(TABLE, lambda text: text + text.splitlines()[1] + "\n"),
        "a second time",
    ),
    Row("prepare", "a folder as table", folder_instead(TABLE), "Data_Entry_2017.csv"),
    Row("prepare", "a pipe as table", pipe_instead(TABLE), "Data_Entry_2017.csv"),
    Row("prepare", "a binary list", write(LIST, b"\xff\x00\x80"), "not text in UTF-8"),
    Row("prepare", "an empty list", write(LIST, ""), "no usable radiograph"),
    Row("prepare", "a pipe as list", pipe_instead(LIST), "test_list.txt"),
    Row("prepare", "no source", flags(source="nowhere"), "there is no folder or archive"),
    Row("prepare", "a text as source", flags(source="labels/test_list.txt"), "error"),
    Row(
        "prepare",
        "lists that are written",
        both(lambda place: (place / "packed").rename(place / "out"), split="lists", lists="out/labels"),
        "would be read and replaced",
    ),
    Row("prepare", "lists without --split", flags(lists="labels"), "go together"),
    Row("prepare", "--split without lists", flags(split="lists"), "go together"),
    Row(
        "prepare",
        "own list in Latin-1",
        own_lists(recode("packed/labels/val_list.txt", "latin-1")),
        "not text in UTF-8",
    ),
    Row(
        "prepare",
        "own list that is a pipe",
        own_lists(pipe_instead("packed/labels/val_list.txt")),
        "named pipe",
    ),
    Row(
        "prepare",
        "own lists with one patient twice",
        own_lists(edit("packed/labels/val_list.txt", lambda text: text + "00000008_001.png" + " 0" * 14)),
        "00000008",
    ),
    *(
        Row("prepare", f"a zip archive with {name}", archive("a.zip", {name: b"x"}), words)
        for name, words in (
            ("../x.png", "outside"),
            ("/etc/x.png", "outside"),
            ("a/../../x.png", "outside"),
            ("..\\x.png", "outside"),
        )
    ),
    *(
        Row("prepare", f"a tar archive with {what}", archive("a.tar", {}, entry, writer=write_tar), words)
        for what, entry, words in (
            ("a link outside", member("x.png", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
            ("a hard link", member("x.png", tarfile.LNKTYPE, "../x"), "is a link"),
            ("a device", member("x.png", tarfile.CHRTYPE), "is a link or a device"),
            ("a pipe", member("x.png", tarfile.FIFOTYPE), "is a link or a device"),
            ("an absolute name", member("/etc/x.png", tarfile.REGTYPE), "outside"),
        )
    ),
    Row("prepare", "an archive that is no archive", write("source/a.zip", "text"), "is damaged"),
    *(
        Row(
            "prepare",
            f"a zip archive {what}",
            altered_zip(offset, change),
            "unpack it with another program",
            leaves=("out/images/store.unfinished/*",),
        )
        for what, offset, change in (
            ("with a password", 6, lambda flag: flag | 1),
            ("of an unknown compression", 8, lambda _: 9),
            ("of a version to come", 4, lambda _: 99),
        )
    ),
    Row("prepare", "a zip archive with a name that is no UTF-8", name_of_no_utf8, "is damaged"),
    Row("prepare", "an empty archive", write("source/a.tar.gz", b""), "is damaged"),
    Row("prepare", "an archive cut short", cut_archive, "is damaged"),
    Row("prepare", "one name twice", archive("a.zip", {"00000001_000.png": png(1)}), "two files"),
    Row(
        "prepare",
        "an array that is no store in OUT",
        write("out/images/store.npy", b"mine"),
        "would be replaced",
    ),
    Row(
        "prepare", "a list of one's own in OUT", write("out/labels/val_list.txt", "mine"), "would be replaced"
    ),
    Row("prepare", "a folder as store", folder_instead("out/images/store.npy"), "store.npy"),
    Row("prepare", "a file as images", write("out/images", "x"), "out/images"),
    Row(
        "prepare", "a ChestMNIST file that is text", both(write("m.npz", "x"), medmnist="m.npz"), "ChestMNIST"
    ),
    Row(
        "prepare",
        "a ChestMNIST file with code",
        both(write("m.npz", weights.pickled(weights.Code())), medmnist="m.npz"),
        "ChestMNIST",
    ),
    Row(
        "prepare",
        "a ChestMNIST file of objects",
        medmnist(train_labels=np.array([[weights.Code()] * 14] * 4, dtype=object)),
        "ChestMNIST",
    ),
    Row("prepare", "a ChestMNIST file without labels", medmnist(val_labels=None), "ChestMNIST"),
    Row(
        "prepare",
        "a ChestMNIST file in colour",
        medmnist(test_images=np.zeros((4, 28, 28, 3), np.uint8)),
        "ChestMNIST",
    ),
    Row("prepare", "a ChestMNIST file of floats", medmnist(val_images=np.zeros((4, 28, 28))), "ChestMNIST"),
    Row("prepare", "a ChestMNIST file that promises petabytes", promised_images, "ChestMNIST"),
    Row(
        "prepare",
        "a ChestMNIST file with labels of 7",
        medmnist(test_labels=np.full((4, 14), 7)),
        "ChestMNIST",
    ),
]

PHANTOMS = [
    Row("make-phantoms", "a folder of other files", write("out/notes.txt", "mine"), "no phantoms"),
    *(
        Row(
            "make-phantoms", f"settings that are {what}", write("out/settings.json", content), "settings.json"
        )
        for what, content in (
            ("empty", ""),
            ("a list", "[1]"),
            ("nested", "[" * 100_000),
            ("binary", b"\xff\0"),
        )
    ),
    Row("make-phantoms", "settings of another set", write("out/settings.json", "{}"), "other settings"),
    Row("make-phantoms", "settings that are a pipe", pipe_instead("out/settings.json"), "error"),
]


@pytest.mark.parametrize("row", [*PREPARE, *PHANTOMS], ids=str)
def test_preparation(row, world, tmp_path, monkeypatch, capsys):
    check_row(row, world, tmp_path, monkeypatch, capsys)
