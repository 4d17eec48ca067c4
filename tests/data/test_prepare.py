"""prepare.py: the same store from any source, problems reported, and an interrupted run resumed."""

import csv
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import ExifTags, Image

from cxr14 import script as script_entry
from cxr14.data import image_lists, images, splits
from cxr14.data.prepare import command, packing, store
from cxr14.data.store_files import open_store
from cxr14.data_settings import PrepareSettings
from cxr14.findings import FINDINGS, NO_FINDING
from cxr14.settings import ROOT
from tests.conftest import lock_held, run_python
from tests.nih_folder import (
    findings_of,
    names_of,
    png,
    store_bytes,
    write_documents,
    write_images,
    write_tar,
    write_zip,
)

NAMES = names_of(16)
SIZE = 24
SCRIPT = ROOT / "ChestX-ray14" / "prepare.py"


def prepare(source, out, *flags):
    """Run what prepare.py runs, in this process; return its exit status."""
    script = {"__file__": str(SCRIPT), "SOURCE": str(source), "OUT": str(out), "SIZE": SIZE, "WORKERS": 1}
    try:
        with script_entry.run(PrepareSettings, script, [str(flag) for flag in flags]) as settings:
            command.prepare(settings)
    except SystemExit as end:
        return end.code
    return 0


@pytest.fixture
def source(tmp_path):
    """A folder as NIH ships it."""
    folder = tmp_path / "source"
    write_images(folder / "images", NAMES)
    write_documents(folder, NAMES)
    return folder


@pytest.fixture
def refused(capsys):
    """Run prepare.py, check that it ends with one line and exit status 2, and return the line."""

    def refused(source, out, *flags):
        capsys.readouterr()
        assert prepare(source, out, *flags) == 2
        message = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(message) == 1
        return message[0]

    return refused


def read_report(out):
    with (out / "prepare-report.csv").open() as file:
        return {(line["name"], line["what"]): line for line in csv.DictReader(file)}


def read_lists(out):
    return {side: image_lists.read_list(out / "labels" / f"{side}_list.txt") for side in splits.SIDES}


# --- what comes out ---


def test_the_store_holds_each_radiograph_in_the_order_of_the_names(source, tmp_path):
    assert prepare(source, tmp_path) == 0
    pixels = np.load(tmp_path / "images" / "store.npy", mmap_mode="r")
    assert pixels.shape == (len(NAMES), SIZE, SIZE) and pixels.dtype == np.uint8
    for row, name in enumerate(NAMES):
        expected = images.resize(images.decode(source / "images" / name), SIZE)
        np.testing.assert_array_equal(pixels[row], expected)
    opened = images.open_images(tmp_path / "images")
    np.testing.assert_array_equal(opened.read(NAMES[3:5], SIZE), pixels[3:5])
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [
        "store.csv",
        "store.npy",
        "store.txt",
    ]


def test_the_lists_hold_nihs_labels_and_split(source, tmp_path):
    assert prepare(source, tmp_path) == 0
    sides = read_lists(tmp_path)
    assert sides["test"].names == NAMES[-8:]
    assert sorted(name for side in sides.values() for name in side.names) == NAMES
    image_lists.require_disjoint(*sides.values())
    for image_list in sides.values():
        for name, labels in zip(image_list.names, image_list.labels, strict=True):
            findings = {finding for finding, label in zip(FINDINGS, labels, strict=True) if label}
            assert "|".join(sorted(findings)) == findings_of(NAMES.index(name)).replace(NO_FINDING, "")


def test_every_kind_of_source_gives_the_same_bytes(tmp_path):
    contents = {name: png(i) for i, name in enumerate(NAMES)}
    sources = {kind: tmp_path / kind for kind in ("flat", "nih", "kaggle", "zips", "tars", "mixed")}
    for folder in sources.values():
        folder.mkdir()
        write_documents(folder, NAMES)
    write_images(sources["flat"], NAMES)
    write_images(sources["nih"] / "images", NAMES)
    for part in range(2):
        half = dict(list(contents.items())[part::2])
        folder = sources["kaggle"] / f"images_{part:03d}" / "images"
        folder.mkdir(parents=True)
        for name, content in half.items():
            (folder / name).write_bytes(content)
        write_zip(sources["zips"] / f"{part}.zip", {f"images_{part}/images/{n}": c for n, c in half.items()})
        backwards = {f"images/{n}": c for n, c in reversed(half.items())}
        write_tar(sources["tars"] / f"{part}{('.tar.gz', '.tar')[part]}", backwards)
        if part:
            write_zip(sources["mixed"] / "x.zip", half)
        else:
            for name, content in half.items():
                (sources["mixed"] / name).write_bytes(content)
    made = {}
    for kind, folder in sources.items():
        assert prepare(folder, tmp_path / f"out-{kind}", "--workers", 2 if kind == "flat" else 1) == 0
        made[kind] = store_bytes(tmp_path / f"out-{kind}")
    assert all(made[kind] == made["flat"] for kind in sources)


def test_one_archive_is_a_source_and_its_folder_has_the_table(source, tmp_path):
    write_zip(source / "part.zip", {name: (source / "images" / name).read_bytes() for name in NAMES})
    shutil.rmtree(source / "images")
    assert prepare(source / "part.zip", tmp_path) == 0
    assert len(images.open_images(tmp_path / "images").names) == len(NAMES)


def test_all_real_radiographs_are_packed(nih_mini, tmp_path):
    ran = run_python(SCRIPT, "--source", nih_mini, "--out", tmp_path, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    sides = read_lists(tmp_path)
    assert len(sides["test"]) == 99 and len(sides["train"]) + len(sides["val"]) == 581
    everything = np.concatenate([side.labels for side in sides.values()]).sum(axis=0)
    # the counts that the README beside them gives
    reported = {"Pneumonia": 337, "Infiltration": 137, "Edema": 66, "Effusion": 65, "Nodule": 16, "Hernia": 3}
    assert {finding: everything[FINDINGS.index(finding)] for finding in reported} == reported
    # the radiographs that are there twice, as originals and reduced, are taken where there is least to decode
    index = open_store(tmp_path / "images")[1]
    assert {(entry.width, entry.height) for entry in index} == {(256, 256)}


def test_real_originals_are_reduced_and_two_are_reported_as_colour(nih_mini, tmp_path):
    assert prepare(nih_mini / "originals", tmp_path, "--size", 256) == 0
    formats = [what for what in read_report(tmp_path).values() if what["what"] == "format"]
    assert len(formats) == 2
    assert all("RGBA" in line["detail"] and line["left_out"] == "no" for line in formats)
    assert len(images.open_images(tmp_path / "images").names) == 24


def test_chestmnist_goes_into_the_same_store(tmp_path, capsys):
    random_numbers = np.random.default_rng(0)
    sides = {"train": 20, "val": 5, "test": 7}
    arrays = {
        f"{side}_images": random_numbers.integers(0, 256, (n, 28, 28), np.uint8) for side, n in sides.items()
    }
    arrays |= {f"{side}_labels": random_numbers.integers(0, 2, (n, 14)) for side, n in sides.items()}
    arrays["train_images"][3] = arrays["test_images"][0]  # whose copy it is nobody knows, so both stay
    np.savez_compressed(tmp_path / "chestmnist.npz", **arrays)
    assert prepare("nowhere", tmp_path, "--medmnist", tmp_path / "chestmnist.npz", "--size", 28) == 0
    assert "do not identify patients" in capsys.readouterr().err
    opened = images.open_images(tmp_path / "images")
    for side, image_list in read_lists(tmp_path).items():
        np.testing.assert_array_equal(image_list.labels, arrays[f"{side}_labels"])
        np.testing.assert_array_equal(opened.read(image_list.names, 28), arrays[f"{side}_images"])


# --- splits ---


def test_a_split_by_patient_is_70_10_20_seeded_and_disjoint():
    names = names_of(1000, images_each=3)
    first, same, other = (splits.by_patient(names, 0.2, 0.125, seed) for seed in (0, 0, 1))
    assert first == same != other
    patients = {side: {image_lists.patient_of(name) for name in members} for side, members in first.items()}
    assert {side: len(drawn) for side, drawn in patients.items()} == {"test": 200, "val": 100, "train": 700}
    assert len(set.union(*patients.values())) == 1000
    assert sorted(name for members in first.values() for name in members) == names


def test_validation_does_not_depend_on_which_archives_are_there(source, tmp_path):
    assert prepare(source, tmp_path / "all") == 0
    for name in NAMES[::2]:
        (source / "images" / name).unlink()
    assert prepare(source, tmp_path / "half") == 0
    for side, image_list in read_lists(tmp_path / "half").items():
        assert set(image_list.names) <= set(read_lists(tmp_path / "all")[side].names)


def test_own_lists_are_kept_and_the_store_stays(source, tmp_path):
    assert prepare(source, tmp_path) == 0
    packed = (tmp_path / "images" / "store.npy").stat()
    own = tmp_path / "own"
    for side, names in {"train": NAMES[:10], "val": NAMES[10:14], "test": NAMES[14:20]}.items():
        image_lists.write_list(own / f"{side}_list.txt", names, np.ones((len(names), 14), np.uint8))
    assert prepare(source, tmp_path, "--split", "lists", "--lists", own) == 0
    made = read_lists(tmp_path)
    assert made["val"].names == NAMES[10:14] and made["val"].labels.all()
    assert (tmp_path / "images" / "store.npy").stat().st_mtime_ns == packed.st_mtime_ns
    assert {name for name, what in read_report(tmp_path) if what == "in no list"} == set(NAMES[20:])


def test_own_lists_with_contradicting_labels_are_refused(source, tmp_path, refused):
    for side, names in {"train": NAMES[:10], "val": NAMES[10:14], "test": NAMES[14:20]}.items():
        image_lists.write_list(tmp_path / f"{side}_list.txt", names, np.ones((len(names), 14), np.uint8))
    with (tmp_path / "train_list.txt").open("a") as file:
        file.write(f"{NAMES[3]} {' '.join('0' * 14)}\n")
    message = refused(source, tmp_path / "out", "--split", "lists", "--lists", tmp_path)
    assert NAMES[3] in message and "other labels" in message


def test_own_lists_with_a_patient_on_two_sides_are_refused(source, tmp_path, refused):
    for side, names in {"train": NAMES[:11], "val": NAMES[11:14], "test": NAMES[14:20]}.items():
        image_lists.write_list(tmp_path / f"{side}_list.txt", names, np.ones((len(names), 14), np.uint8))
    assert "00000006" in refused(source, tmp_path / "out", "--split", "lists", "--lists", tmp_path)
    assert not (tmp_path / "out" / "images").exists()


@pytest.mark.parametrize("name", ["labels/train_list.txt", "labels/test_list.txt", "prepare-report.csv"])
def test_edited_list_or_report_is_not_replaced(source, tmp_path, refused, name):
    out = tmp_path / "out"
    assert prepare(source, out) == 0
    file = out / name
    file.write_text(file.read_text() + "mine\n")
    edited = store_bytes(out)
    (source / "images" / NAMES[0]).unlink()
    message = refused(source, out)
    assert str(file) in message and "not as prepare.py wrote it" in message
    assert store_bytes(out) == edited
    file.unlink()
    assert prepare(source, out) == 0


def test_hidden_files_of_others_are_kept(source, tmp_path):
    (tmp_path / "labels").mkdir()
    leftover = tmp_path / "labels" / ".train_list.txt.123.part"
    others = [tmp_path / ".film.part", tmp_path / "labels" / ".mine.1.part"]
    for path in (leftover, *others):
        path.touch()
    assert prepare(source, tmp_path) == 0
    assert not leftover.exists() and all(path.exists() for path in others)


# --- problems of single files ---


def test_unusable_files_are_reported_and_left_out_of_the_lists(source, tmp_path, capsys):
    folder = source / "images"
    content = {name: (folder / name).read_bytes() for name in NAMES}
    missing, cut, black, colour, unknown = NAMES[0], NAMES[2], NAMES[4], NAMES[6], "00000099_000.png"
    (folder / missing).unlink()
    (folder / cut).write_bytes(content[cut][:200])
    (folder / black).write_bytes(_constant(0))
    (folder / colour).write_bytes(png(6, mode="RGBA"))
    (folder / unknown).write_bytes(png(99))
    same, other = NAMES[9], NAMES[-1]
    (folder / same).write_bytes(content[NAMES[8]])
    (folder / other).write_bytes(content[NAMES[11]])
    assert prepare(source, tmp_path) == 0
    reported = {key: line["left_out"] for key, line in read_report(tmp_path).items()}
    assert reported == {
        (missing, "missing"): "yes",
        (cut, "unreadable"): "yes",
        (black, "constant"): "yes",
        (colour, "format"): "no",
        (unknown, "unlabelled"): "yes",
        (same, "copy"): "no",
        (other, "copy"): "yes",  # one picture cannot be of two patients
    }
    listed = {name for side in read_lists(tmp_path).values() for name in side.names}
    assert listed == set(NAMES) - {missing, cut, black, other}
    assert listed <= set(images.open_images(tmp_path / "images").names)
    assert "1 unreadable (left out)" in capsys.readouterr().out


def test_a_radiograph_that_is_stored_turned_is_reported_and_packed_as_stored(source, tmp_path):
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    path = source / "images" / NAMES[0]
    stored = np.asarray(Image.open(path))
    Image.fromarray(stored).save(path, exif=turned)
    assert prepare(source, tmp_path) == 0
    report = (tmp_path / "prepare-report.csv").read_text()
    assert f'{NAMES[0]},format,"L, turned by its EXIF data, read as stored",no' in report
    pixels, row = open_store(tmp_path / "images")[0], 0
    np.testing.assert_array_equal(pixels[row], images.resize(stored, pixels.shape[1]))


def test_dicom_files_are_packed_like_png_files_of_the_same_grays(source, tmp_path):
    pytest.importorskip("pydicom")
    from tests.data.dicom_files import ENCODINGS, NAME, dataset, saved

    as_dicom = tmp_path / "dicom"
    (as_dicom / "images").mkdir(parents=True)
    encodings = [encode for name, encode in ENCODINGS.items() if not name.startswith("JPEG")]
    for number, name in enumerate(NAMES):
        gray = np.asarray(Image.open(source / "images" / name))
        made = encodings[number % len(encodings)](gray, tmp_path)
        if number == 3:
            made.ViewPosition = "LL"
        if number == 5:
            made = dataset(gray, 8, NumberOfFrames="2")
        saved(made, as_dicom / "images", name.replace(".png", ".dcm"))
    write_documents(as_dicom, [name.replace(".png", ".dcm") for name in NAMES])
    assert prepare(source, tmp_path / "a") == prepare(as_dicom, tmp_path / "b") == 0
    pixels, packed = (open_store(tmp_path / part / "images") for part in ("a", "b"))
    refused = np.arange(len(NAMES)) == 5
    np.testing.assert_array_equal(pixels[0][~refused], packed[0][~refused])
    report = (tmp_path / "b" / "prepare-report.csv").read_text()
    assert f'{NAMES[3][:-4]}.dcm,format,"DICOM, lateral view, not 8-bit gray; converted",no' in report
    assert f"{NAMES[5][:-4]}.dcm,unreadable,holds 2 pictures; a radiograph is one,yes" in report
    assert NAME not in report
    archive = tmp_path / "archive"
    archive.mkdir()
    write_documents(archive, [name.replace(".png", ".dcm") for name in NAMES])
    contents = {path.name: path.read_bytes() for path in sorted((as_dicom / "images").iterdir())}
    write_zip(archive / "images.zip", contents)
    assert prepare(archive, tmp_path / "c") == 0
    assert store_bytes(tmp_path / "b") == store_bytes(tmp_path / "c")


def _constant(value):
    Image.new("L", (40, 40), value).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


# --- bad input ---


def test_missing_or_empty_source_raises_input_error(tmp_path, source, refused):
    assert "download.py" in refused(tmp_path / "nowhere", tmp_path / "out")
    shutil.rmtree(source / "images")
    assert "no radiograph in" in refused(source, tmp_path / "out")
    (source / "test_list.txt").unlink()
    assert "--split patient" in refused(source, tmp_path / "out")
    (source / "Data_Entry_2017.csv").unlink()
    assert "Data_Entry_2017.csv" in refused(source, tmp_path / "out")


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("Finding Labels", "Labels", "no column 'Finding Labels'"),
        ("Image Index", "Index", "no column 'Image Index'"),
        ("Mass", "Masses", "'Masses'"),
        (NAMES[3], NAMES[2], f"{NAMES[2]} a second time"),
    ],
)
def test_wrong_table_raises_input_error(source, tmp_path, refused, old, new, words):
    table = source / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    message = refused(source, tmp_path / "out")
    assert words in message and str(table) in message
    assert not (tmp_path / "out" / "images").exists()


def test_two_tables_side_by_side_are_refused(source, tmp_path, refused):
    shutil.copy(source / "Data_Entry_2017.csv", source / "Data_Entry_2017_v2020.csv")
    assert "keep only one of them there" in refused(source, tmp_path / "out")


def test_two_files_of_one_name_raise_input_error(source, tmp_path, refused):
    more = source / "more"
    more.mkdir()
    (more / NAMES[5]).write_bytes(png(5))
    message = refused(source, tmp_path / "out")
    assert f"two files {NAMES[5]}" in message and str(more) in message
    (more / NAMES[5]).unlink()
    write_zip(source / "part.zip", {NAMES[7]: png(7)})
    assert f"two files {NAMES[7]}" in refused(source, tmp_path / "out")
    write_zip(source / "part.zip", {"a/new.png": png(7), "b/new.png": png(8)})
    assert "two files new.png" in refused(source, tmp_path / "out")


def test_reduced_copy_beside_its_original_is_accepted(source, tmp_path):
    write_images(source / "original", NAMES[:6], side=200)
    write_images(source / "tiny", NAMES[:6], side=SIZE - 1)
    assert prepare(source, tmp_path) == 0
    index = open_store(tmp_path / "images")[1]
    assert {entry.width for entry in index} == {40}


def _link(name, to):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, to
    return member


def test_unsafe_archive_raises_input_error(source, tmp_path, refused):
    inside = {NAMES[0]: png(0)}
    shutil.rmtree(source / "images")
    for escape in ("../../evil.png", "/evil.png", "images/../../evil.png"):
        write_tar(source / "a.tar.gz", inside | {escape: png(1)})
        assert "points outside" in refused(source, tmp_path / "out")
    write_tar(source / "a.tar.gz", inside, _link("images/link.png", "/etc/passwd"))
    assert "is a link" in refused(source, tmp_path / "out")
    (source / "a.tar.gz").unlink()
    write_zip(source / "a.zip", inside | {"../evil.png": png(1)})
    assert "points outside" in refused(source, tmp_path / "out")
    with zipfile.ZipFile(source / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert "is a link" in refused(source, tmp_path / "out")
    assert not (tmp_path / "out" / "images").exists()


# a tar without compression has no checksum of its files, so a flipped bit in it cannot be seen
def test_named_pipes_and_dangling_links_are_no_radiographs(source, tmp_path):
    os.mkfifo(source / "images" / "pipe.png")
    os.mkfifo(source / "more.zip")
    (source / "images" / NAMES[0]).unlink()
    (source / "images" / NAMES[0]).symlink_to(tmp_path / "nowhere.png")
    words = (SCRIPT, "--source", source, "--out", tmp_path / "out", "--size", SIZE, "--workers", 1)
    ended = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert list(read_report(tmp_path / "out")) == [(NAMES[0], "missing")]


@pytest.mark.parametrize(
    "kind, damage",
    [
        ("a.tar.gz", "cut"),
        ("a.tar.gz", "checksum"),
        ("a.tar.gz", "flip"),
        ("a.tar", "cut"),
        ("a.zip", "cut"),
        ("a.zip", "flip"),
    ],
)
def test_damaged_archive_raises_input_error(source, tmp_path, refused, kind, damage):
    contents = {name: png(i) for i, name in enumerate(NAMES)}
    shutil.rmtree(source / "images")
    (write_zip if kind == "a.zip" else write_tar)(source / kind, contents)
    whole = bytearray((source / kind).read_bytes())
    if damage == "cut":
        whole = whole[: len(whole) * 2 // 3]
    elif damage == "checksum":
        whole = whole[:-4]
    else:
        whole[len(whole) // 2] ^= 0xFF
    (source / kind).write_bytes(whole)
    message = refused(source, tmp_path / "out")
    assert kind in message and "damaged" in message
    assert not (tmp_path / "out" / "images" / "store.csv").exists()


def test_another_size_layout_or_unfinished_store_is_refused_and_kept(source, tmp_path, refused):
    assert prepare(source, tmp_path) == 0
    before = store_bytes(tmp_path)
    assert f"--size {SIZE}" in refused(source, tmp_path, "--size", SIZE + 8)
    assert store_bytes(tmp_path) == before
    index = tmp_path / "images" / "store.csv"
    index.write_text(index.read_text().replace("layout 2", "layout 0"))
    assert "another layout" in refused(source, tmp_path)


def test_flags_that_contradict_each_other_are_refused(source, tmp_path, refused):
    assert "go together" in refused(source, tmp_path / "out", "--split", "lists")
    assert "go together" in refused(source, tmp_path / "out", "--lists", tmp_path)
    assert "its own split" in refused(source, tmp_path, "--split", "patient", "--medmnist", "x.npz")
    assert "x.npz" in refused(source, tmp_path, "--medmnist", "x.npz")
    assert "WORKERS" in refused(source, tmp_path, "--workers", -1)


def test_other_medmnist_file_raises_input_error(tmp_path, refused):
    pictures = np.zeros((3, 28, 28, 3), np.uint8)
    np.savez(tmp_path / "path.npz", train_images=pictures, train_labels=np.zeros((3, 1)))
    assert "not (N, H, W) uint8" in refused("", tmp_path / "out", "--medmnist", tmp_path / "path.npz")


# --- stopped and resumed ---


def test_a_second_run_finds_everything_done(source, tmp_path):
    assert prepare(source, tmp_path) == 0
    before, stat = store_bytes(tmp_path), (tmp_path / "images" / "store.npy").stat()
    assert prepare(source, tmp_path) == 0
    assert store_bytes(tmp_path) == before
    assert (tmp_path / "images" / "store.npy").stat().st_mtime_ns == stat.st_mtime_ns


def test_radiographs_that_come_later_are_added_without_decoding_the_others_again(
    source, tmp_path, monkeypatch
):
    later = tmp_path / "later"
    later.mkdir()
    for name in NAMES[::3]:
        (source / "images" / name).rename(later / name)
    assert prepare(source, tmp_path / "out") == 0
    for file in later.iterdir():
        file.rename(source / "images" / file.name)
    decoded = []
    find_tasks = packing._tasks

    def record(*arguments):
        for task in find_tasks(*arguments):
            decoded.append(task.name)
            yield task

    monkeypatch.setattr(packing, "_tasks", record)
    assert prepare(source, tmp_path / "out") == 0
    assert sorted(decoded) == NAMES[::3]
    monkeypatch.undo()
    assert prepare(source, tmp_path / "clean") == 0
    assert store_bytes(tmp_path / "out") == store_bytes(tmp_path / "clean")


@pytest.mark.parametrize("pack_source", [None, "zip", "tar.gz"])
def test_swapped_files_of_one_size_are_decoded_again(pack_source, source, tmp_path):
    """Their names, sizes and times are those of the first run; only the contents are exchanged."""
    first, second = (source / "images" / name for name in NAMES[:2])
    size = max(first.stat().st_size, second.stat().st_size)
    contents = [file.read_bytes().ljust(size, b"\0") for file in (first, second)]
    for file, content in zip((first, second), contents, strict=True):
        file.write_bytes(content)
        os.utime(file, (1, 1))
    kept = tmp_path / "kept"
    assert prepare(source, kept) == 0
    for file, content in zip((second, first), contents, strict=True):
        file.write_bytes(content)
        os.utime(file, (1, 1))
    if pack_source:
        everything = {path.name: path.read_bytes() for path in (source / "images").iterdir()}
        shutil.rmtree(source / "images")
        (write_zip if pack_source == "zip" else write_tar)(source / f"images.{pack_source}", everything)
    assert prepare(source, kept) == 0
    assert prepare(source, tmp_path / "clean") == 0
    assert store_bytes(kept) == store_bytes(tmp_path / "clean")


def test_second_chestmnist_file_replaces_the_pixels_of_the_first(tmp_path):
    for seed in range(2):
        draw = np.random.default_rng(seed)
        arrays = {f"{side}_images": draw.integers(0, 256, (6, 28, 28), np.uint8) for side in splits.SIDES}
        arrays |= {f"{side}_labels": np.ones((6, 14), int) for side in splits.SIDES}
        np.savez_compressed(tmp_path / "chestmnist.npz", **arrays)
        assert prepare("nowhere", tmp_path, "--medmnist", tmp_path / "chestmnist.npz", "--size", 28) == 0
        stored = images.open_images(tmp_path / "images")
        for side, image_list in read_lists(tmp_path).items():
            np.testing.assert_array_equal(stored.read(image_list.names, 28), arrays[f"{side}_images"])


def test_store_of_the_first_layout_is_read_and_replaced_by_the_next_preparation(source, tmp_path):
    assert prepare(source, tmp_path) == 0
    now = store_bytes(tmp_path)
    index = tmp_path / "images" / "store.csv"
    lines = [line.rpartition(",")[0] for line in index.read_text().splitlines()[1:]]
    index.write_text("\n".join(["# packed store of radiographs, layout 1", *lines]) + "\n")
    assert len(images.open_images(tmp_path / "images").names) > 1
    assert prepare(source, tmp_path) == 0
    assert store_bytes(tmp_path) == now


def test_replaced_file_is_decoded_again(source, tmp_path):
    file = source / "images" / NAMES[0]
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    assert prepare(source, tmp_path) == 0
    assert NAMES[0] not in images.open_images(tmp_path / "images").names
    file.write_bytes(whole)
    assert prepare(source, tmp_path) == 0
    assert NAMES[0] in images.open_images(tmp_path / "images").names


def test_a_second_prepare_on_the_same_folder_stops(source, tmp_path, refused):
    with lock_held(tmp_path / "out" / ".prepare.lock"):
        assert "another prepare.py" in refused(source, tmp_path / "out")
    assert prepare(source, tmp_path / "out") == 0


@pytest.fixture(scope="module")
def long_source(tmp_path_factory):
    """Enough work for a run of seconds, in two archives and a folder; and what a clean run makes of it."""
    folder = tmp_path_factory.mktemp("long")
    names = names_of(92)
    write_documents(folder, names)
    contents = {name: png(i, side=700) for i, name in enumerate(names)}
    write_tar(folder / "a.tar.gz", dict(list(contents.items())[::3]))
    write_zip(folder / "b.zip", dict(list(contents.items())[1::3]))
    for name in names[2::3]:
        (folder / name).write_bytes(contents[name])
    clean = tmp_path_factory.mktemp("clean")
    assert prepare(folder, clean) == 0
    return folder, store_bytes(clean)


def start(source, out):
    command = [
        sys.executable,
        SCRIPT,
        "--source",
        source,
        "--out",
        out,
        "--size",
        str(SIZE),
        "--workers",
        "2",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, text=True, start_new_session=True)


def rows_done(out):
    journal = out / "images" / "store.unfinished" / "journal.csv"
    return len(journal.read_text().splitlines()) - 2 if journal.exists() else 0


def test_ctrl_c_prints_one_line_and_ends_all_processes(long_source, tmp_path):
    run = start(long_source[0], tmp_path)
    _wait_for_processes_of(run, 2)
    os.killpg(run.pid, signal.SIGINT)  # a terminal sends it to all
    _, message = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "stopped; the same command resumes" in message and "Traceback" not in message


def test_no_process_outlives_one_that_was_killed(long_source, tmp_path):
    run = start(long_source[0], tmp_path)
    helpers = _wait_for_processes_of(run, 2)
    run.kill()
    run.wait()
    deadline = time.monotonic() + 10
    while any(helper.exists() for helper in helpers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [helper for helper in helpers if helper.exists()]


def _wait_for_processes_of(run, count):
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    if not children.exists():
        pytest.skip("the kernel does not list the children of a process")
    helpers = []
    while len(helpers) <= count:  # multiprocessing's resource tracker is one more
        assert run.poll() is None, run.communicate()[1]
        helpers = [Path("/proc") / child for child in children.read_text().split()]
        time.sleep(0.01)
    time.sleep(0.3)
    return helpers


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 40 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "none", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs, to fill it, takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_raises_input_error_and_loses_nothing(source, tmp_path, small_disk, refused, monkeypatch):
    assert "packing needs" in refused(source, small_disk / "out", "--size", 600)
    monkeypatch.setattr(store, "_SPARE_BYTES", 0)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(37 << 20))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1 << 40))
    assert "No space left" in refused(source, small_disk / "out", "--size", 512)
    filler.unlink()
    assert not (small_disk / "out" / "images" / "store.csv").exists()
    assert prepare(source, small_disk / "out", "--size", 512) == 0
    assert prepare(source, tmp_path / "clean", "--size", 512) == 0
    assert store_bytes(small_disk / "out") == store_bytes(tmp_path / "clean")


@pytest.mark.slow
def test_killed_at_twenty_random_moments_it_ends_in_the_same_bytes(long_source, tmp_path, monkeypatch):
    source, clean = long_source
    chance = random.Random(0)
    killed, resumed = 0, 0
    while killed < 20:  # a run that ended before it was killed does not count
        if (tmp_path / "images" / "store.csv").exists():
            shutil.rmtree(tmp_path / "images")
        before = rows_done(tmp_path)
        run = start(source, tmp_path)
        wait_for_work = chance.random() < 0.8
        deadline = time.monotonic() + 20
        while wait_for_work and run.poll() is None and time.monotonic() < deadline:
            if rows_done(tmp_path) > before or (tmp_path / "images" / "store.npy").exists():
                break
            time.sleep(0.005)
        time.sleep(chance.random() * 0.2)
        run.send_signal(signal.SIGKILL)
        killed += run.wait() == -signal.SIGKILL
        resumed += before > 0
        if (tmp_path / "images" / "store.npy").exists() and not (tmp_path / "images" / "store.csv").exists():
            with pytest.raises(Exception, match="not complete"):
                images.open_images(tmp_path / "images")
    finished = run_python(SCRIPT, "--source", source, "--out", tmp_path, "--size", SIZE)
    assert finished.returncode == 0, finished.stderr
    assert store_bytes(tmp_path) == clean
