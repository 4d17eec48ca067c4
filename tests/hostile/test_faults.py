"""Real faults: disks that fill, read-only mounts, files and folders without permission."""

import contextlib
import ctypes
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cxr14.console import robust_console
from cxr14.deployment.prediction.radiographs import find_radiographs
from cxr14.errors import InputError
from cxr14.files import atomic_write
from cxr14.models import checkpoint
from cxr14.training import snapshot
from tests.conftest import run_here
from tests.hostile.harness import (
    SCRIPTS,
    Row,
    check_files,
    check_message,
    check_row,
    copy_world,
    files_in,
    flags_of,
)
from tests.hostile.processes import fork, fork_script, wait
from tests.hostile.tables import flags
from tests.simulated_runs import save_run
from tests.toy import toy_settings, toy_training

pytestmark = pytest.mark.forks

PACKED = flags(
    data_dir="packed/images",
    train_image_list="packed/labels/train_list.txt",
    val_image_list="packed/labels/val_list.txt",
)
CHANCE = random.Random(0)
"""The moments of the kills differ from run to run of the machine, the seed is the same."""


# --- disks ---


def mount_tmpfs(folder, options):
    """Mount a file system in memory, or skip the test."""
    command = ["mount", "-t", "tmpfs", "-o", options, "none", folder]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting takes root")


@pytest.fixture
def mounted(tmp_path):
    """A function that mounts a file system of some bytes; and unmounts it after the test."""
    folders = []

    def mount(size):
        folder = tmp_path / f"disk{len(folders)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True
        )
        if done.returncode:
            pytest.skip("mounting a small tmpfs, to fill it, takes root")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", folder], check=True)


def fill(folder, left):
    """Fill a disk up to a number of bytes."""
    free = shutil.disk_usage(folder).free
    with contextlib.suppress(OSError), (folder / "filler").open("ab") as file:
        file.write(bytes(max(free - left, 0)))


def _save_tensors(path):
    with atomic_write(path) as aside, aside.open("wb") as file:
        torch.save({"weight": torch.ones(60_000)}, file)


WRITERS = {
    "checkpoint.pth": lambda path: checkpoint.save(
        path, {"weight": torch.ones(60_000)}, checkpoint.About(network="x", image_size=64, versions={})
    ),
    "model.last.pth": lambda path: snapshot.save(
        path.with_name("model.pth"), {"train_step": {"weight": torch.ones(60_000)}}
    ),
    "predictions-test.npz": lambda path: save_run(path.parent, radiographs=900, with_val=False),
    "picture.png": lambda path: _save_picture(path),
}


def _save_picture(path):
    noise = np.random.default_rng(0).integers(0, 256, (500, 500), np.uint8)
    with atomic_write(path) as aside:
        Image.fromarray(noise).save(aside, format="PNG")


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_is_full_at_any_byte_is_a_sentence_and_loses_nothing(name, mounted):
    disk = mounted(2_000_000)
    path = disk / name
    WRITERS[name](path)
    before = path.read_bytes()
    for left in (0, 4096, *(CHANCE.randrange(len(before)) for _ in range(5))):
        fill(disk, left)
        with pytest.raises(InputError, match="No space left"):
            WRITERS[name](path)
        assert path.read_bytes() == before
        assert {entry.name for entry in disk.iterdir()} <= {name, "filler", "model.last.before.pth"}
        (disk / "filler").unlink()
    WRITERS[name](path)


def test_a_training_whose_disk_fills_resumes_bitwise(mounted, tmp_path):
    disk = mounted(2_000_000)
    whole = toy_training(toy_settings(tmp_path, ckpt_path=tmp_path / "toy.pth"))
    whole.run()
    stopped = toy_training(toy_settings(tmp_path, ckpt_path=disk / "toy.pth", save_minutes=0))
    save, saved = stopped._save, []

    def save_until_full():
        save()
        saved.append(1)
        if len(saved) == 7:
            fill(disk, 8192)

    stopped._save = save_until_full
    with pytest.raises(InputError, match="No space left"):
        stopped.run()
    (disk / "filler").unlink()
    resumed = toy_training(toy_settings(tmp_path, ckpt_path=disk / "toy.pth"))
    resumed.resume()
    resumed.run()
    first, second = (checkpoint.read(folder / "toy.pth") for folder in (tmp_path, disk))
    assert first.weights_hash == second.weights_hash


def test_a_disk_of_tensorboard_that_fills_costs_its_files_alone(mounted, tmp_path):
    disk = mounted(200_000)
    settings = toy_settings(tmp_path, log_dir=disk / "board", num_epochs=9)

    def train():
        with robust_console():
            training = toy_training(settings)
            finish = training._finish_epoch

            def fill_and_finish(*arguments):
                fill(disk, 0)
                finish(*arguments)

            training._finish_epoch = fill_and_finish
            return 0 if training.run().epoch == 9 else 1

    assert wait(fork(train, tmp_path / "said")) == 0, (tmp_path / "said").read_text()
    said = (tmp_path / "said").read_text()
    assert "Traceback" not in said
    assert said.count("warning: TensorBoard's files cannot be written") == 1
    checkpoint.read(settings.ckpt_path)


def test_too_little_space_is_said_before_the_training(mounted, world, tmp_path, monkeypatch, capsys):
    disk = mounted(1_000_000)
    row = Row("train", "a small disk", flags(ckpt_path=str(disk / "model.pth")), "the training needs")
    check_row(row, world, tmp_path, monkeypatch, capsys)
    assert not list(disk.iterdir())


READ_ONLY = [
    Row(
        script, f"{name} is read-only", lambda place, name=name, file=file: {name: f"{place}/ro/{file}"}, "ro"
    )
    for script, name, file in (
        ("train", "ckpt-path", "m.pth"),
        ("train", "log-dir", "board"),
        ("distil", "ckpt-path", "m.pth"),
        ("distil", "teacher-cache", "cache"),
        ("test", "results-dir", "results"),
        ("explain", "out-dir", "maps"),
        ("export", "out-dir", "export"),
        ("predict", "csv", "table.csv"),
        ("prepare", "out", "out"),
        ("download", "out", "out"),
        ("make-phantoms", "out", "out"),
        ("compare", "results-dir", ""),
    )
]


@pytest.mark.parametrize("row", READ_ONLY, ids=str)
def test_a_read_only_disk_is_a_sentence_before_the_work(row, world, tmp_path, monkeypatch, capsys):
    place = copy_world(world, tmp_path / "w")
    (place / "ro").mkdir()
    words = flags_of(row, place)
    before = files_in(place)
    mount_tmpfs(place / "ro", "ro")
    try:
        child = fork_script(SCRIPTS[row.script], words, tmp_path / "said", place)
        check_message(row, wait(child), (tmp_path / "said").read_text())
    finally:
        subprocess.run(["umount", place / "ro"], check=True)
    check_files(row, before, files_in(place))


# --- permissions ---


def without_capabilities():
    """Take from this process what lets root read any file, or skip the test."""
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # linux/capability.h
    if ctypes.CDLL(None).capset(header, nothing):
        raise OSError("capset")


LOCKED = [
    ("compare", "results/locked", flags(), "locked cannot be read"),
    ("verify", "results/locked", flags(), "locked cannot be read"),
    ("prepare", "source/locked", flags(), "locked cannot be read"),
    ("train", "packed/images/store.npy", PACKED, "store.npy cannot be read (Permission denied)."),
]


@pytest.mark.skipif(sys.platform != "linux", reason="permissions of root are taken away by capset")
@pytest.mark.parametrize(("script", "locked", "change", "words"), LOCKED)
def test_what_may_not_be_read_is_named(script, locked, change, words, world, tmp_path):
    place = copy_world(world, tmp_path / "w")
    path = place / locked
    if not path.exists():
        path.mkdir()
    words_of_script = flags_of(Row(script, "", change, ""), place)
    path.chmod(0)

    def run():
        without_capabilities()
        os.chdir(place)
        return run_here(SCRIPTS[script], *words_of_script, monkeypatch=pytest.MonkeyPatch())

    child = fork(run, tmp_path / "said")
    try:
        ended = wait(child)
        said = (tmp_path / "said").read_text()
        assert (ended, said.count("error: ")) == (2, 1), said
        assert words in said
        assert "Traceback" not in said
    finally:
        path.chmod(0o700)


@pytest.mark.skipif(sys.platform != "linux", reason="permissions of root are taken away by capset")
def test_predict_names_a_folder_that_may_not_be_read_and_reads_the_others(tmp_path):
    for name in ("a/1.png", "locked/2.png", "z/3.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        (tmp_path / "in" / name).touch()
    locked = tmp_path / "in" / "locked"
    locked.chmod(0)

    def run():
        without_capabilities()
        for found in find_radiographs([tmp_path / "in", locked]):
            print(found if isinstance(found, Path) else f"{found.path}: {found.reason} {found.is_error}")

    child = fork(run, tmp_path / "said")
    try:
        assert not wait(child)
        said = (tmp_path / "said").read_text().splitlines()
    finally:
        locked.chmod(0o700)
    reason = f"{locked}: the folder cannot be read (Permission denied) True"
    assert sorted(said) == sorted(
        [str(tmp_path / "in/a/1.png"), str(tmp_path / "in/z/3.png"), reason, reason]
    )
