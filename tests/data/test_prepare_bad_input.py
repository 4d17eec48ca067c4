"""prepare.py refuses what is damaged, unsafe or contradictory, in one sentence."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest

from cxr14.data.store_files import open_store
from tests.data.preparation import NAMES, SCRIPT, SIZE, prepare, read_report
from tests.nih_folder import (
    png,
    store_bytes,
    write_images,
    write_tar,
    write_zip,
)


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
    # No flipped bit in a tar without compression: it has no checksum of its files.
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
