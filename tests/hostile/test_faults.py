"""Real faults: disks that fill, read-only mounts, kills at random moments, two processes at once, bombs."""

import contextlib
import ctypes
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cxr14.console import robust_console
from cxr14.data import images
from cxr14.data.fetch import RemoteFile, fetch
from cxr14.data.prepare import contents
from cxr14.data.prepare.contents import ZipMember
from cxr14.data.prepare.sources import find_sources
from cxr14.deployment.prediction.radiographs import find_radiographs
from cxr14.errors import InputError
from cxr14.evaluation import predictions
from cxr14.evaluation.predictions import Predictions
from cxr14.evaluation.results import Results
from cxr14.files import atomic_write
from cxr14.models import checkpoint
from cxr14.training import snapshot
from tests.conftest import lock_held, run_here
from tests.data.test_download import CONTENT, Server
from tests.hostile import weights
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
from tests.hostile.processes import fork, fork_script, kill_after, peak_memory, wait
from tests.hostile.tables import flags
from tests.hostile.test_results import npz_bomb
from tests.nih_folder import png
from tests.simulated_runs import save_run
from tests.toy import toy_settings, toy_training

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


# --- kills ---


def run_flags(script, place, **changes):
    return flags_of(Row(script, "", flags(**changes), ""), place)


def leftovers(place):
    return [path.name for path in place.rglob("*") if path.name.endswith((".part", ".lock"))]


def run_timed(script, words, place, output):
    """Run a script that has to end well; return how many seconds it took."""
    started = time.monotonic()
    assert wait(fork_script(SCRIPTS[script], words, output, place)) == 0, output.read_text()
    return time.monotonic() - started


def kill_at_random(script, words, place, output, seconds, times):
    """Kill a script at random moments until that has happened some times, and at most five times as often."""
    count = 0
    for _ in range(5 * times):
        child = fork_script(SCRIPTS[script], words, output, place)
        count += kill_after(child, CHANCE.random() * seconds) == -signal.SIGKILL
        if count == times:
            return
    pytest.fail(f"{script} was killed {count} times only")


@pytest.mark.slow
@pytest.mark.parametrize("script", ["train", "distil"])
def test_a_training_killed_at_random_moments_ends_with_the_same_weights(script, world, tmp_path):
    place = copy_world(world, tmp_path / "w")
    common = {"num_epochs": 2, "save_minutes": 0}
    seconds = run_timed(script, run_flags(script, place, **common), place, tmp_path / "said")
    clean = checkpoint.read(place / "out" / "model.pth").weights_hash
    shutil.rmtree(place / "out")
    words = [*run_flags(script, place, **common), "--resume"]
    kill_at_random(script, words, place, tmp_path / "said", seconds / 2, 2)
    assert wait(fork_script(SCRIPTS[script], words, tmp_path / "said", place)) == 0
    assert checkpoint.read(place / "out" / "model.pth").weights_hash == clean
    assert leftovers(place) == []
    assert "Traceback" not in (tmp_path / "said").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "result"),
    [
        ("test", "out/results/metrics.csv"),
        ("compare", "results/comparison.csv"),
        ("make-phantoms", "out/Data_Entry_2017_synthetic.csv"),
    ],
)
def test_a_script_killed_at_random_moments_gives_the_same_result(script, result, world, tmp_path):
    place = copy_world(world, tmp_path / "w")
    words = run_flags(script, place)
    seconds = run_timed(script, words, place, tmp_path / "said")
    clean = (place / result).read_bytes()
    shutil.rmtree(place)
    copy_world(world, place)
    before = files_in(place)
    kill_at_random(script, words, place, tmp_path / "said", seconds / 2, 1 if script == "compare" else 2)
    assert wait(fork_script(SCRIPTS[script], words, tmp_path / "said", place)) == 0
    assert (place / result).read_bytes() == clean
    assert leftovers(place) == []
    assert before.items() <= files_in(place).items()


@pytest.mark.slow
def test_ctrl_c_at_random_moments_of_a_training_saves_it(world, tmp_path):
    place = copy_world(world, tmp_path / "w")
    words = [*run_flags("train", place, num_epochs=3, save_minutes=99), "--resume"]
    for _ in range(4):
        child = fork_script(SCRIPTS["train"], words, tmp_path / "said", place)
        lock = place / "out" / ".model.pth.lock"
        deadline = time.monotonic() + 60
        while not lock.exists() and time.monotonic() < deadline:  # from then on Ctrl-C is handled
            time.sleep(0.005)
        status = kill_after(child, 1.5 * CHANCE.random(), number=signal.SIGINT)
        said = (tmp_path / "said").read_text()
        assert status in (130, 0), said
        assert "Traceback" not in said
        assert status == 0 or said.rstrip().endswith(("stopped.", "continue with --resume."))
        assert leftovers(place) == []


def test_what_a_killed_run_left_is_removed_and_what_a_living_one_writes_is_kept(tmp_path):
    path = tmp_path / "model.pth"

    def write_without_end():
        with atomic_write(path) as aside:
            aside.write_bytes(b"half")
            (tmp_path / "begun").touch()
            threading.Event().wait(60)

    def wait_until_begun():
        while not (tmp_path / "begun").exists():
            pass
        (tmp_path / "begun").unlink()

    child = fork(write_without_end, tmp_path / "said")
    wait_until_begun()
    with atomic_write(path) as aside:
        aside.write_bytes(b"whole")
    assert len(list(tmp_path.glob(".model.pth.*.part"))) == 1  # the other process is alive
    kill_after(child, 0)
    assert len(list(tmp_path.glob(".model.pth.*.part"))) == 1
    with atomic_write(path) as aside:
        aside.write_bytes(b"again")
    assert not list(tmp_path.glob(".model.pth.*.part"))
    assert path.read_bytes() == b"again"


# --- two processes ---


@pytest.mark.parametrize(
    ("script", "lock", "words"),
    [
        ("train", "out/.model.pth.lock", "another run writes CKPT_PATH"),
        ("train", "out/.model.last.pth.lock", "another run writes CKPT_PATH"),
        ("distil", "out/.model.pth.lock", "another run writes CKPT_PATH"),
        ("test", "out/results/.test.lock", "another run writes RESULTS_DIR"),
        ("prepare", "out/.prepare.lock", "another prepare.py"),
        ("download", "out/.download.lock", "another download.py"),
        ("make-phantoms", "out/.make-phantoms.lock", "another run writes phantoms"),
    ],
)
def test_a_second_run_stops_and_names_the_first(script, lock, words, world, tmp_path):
    place = copy_world(world, tmp_path / "w")
    with lock_held(place / lock) as holder:
        child = fork_script(SCRIPTS[script], run_flags(script, place), tmp_path / "said", place)
        said = (tmp_path / "said").read_text() if wait(child) == 2 else ""
        assert words in said
        assert f"process {holder.pid} on " in said
        assert said.count("error: ") == 1
        assert [path for path in place.rglob("*") if path.suffix == ".lock"] == [place / lock]
    assert leftovers(place) == []


@pytest.mark.slow
def test_of_two_trainings_at_once_one_ends_well_and_one_is_refused(world, tmp_path):
    place = copy_world(world, tmp_path / "w")
    words = run_flags("train", place)
    children = [fork_script(SCRIPTS["train"], words, tmp_path / f"said{n}", place) for n in range(2)]
    assert sorted(map(wait, children)) == [0, 2]
    checkpoint.read(place / "out" / "model.pth")
    assert leftovers(place) == []


@pytest.mark.slow
def test_of_two_tests_at_once_one_is_refused_and_the_result_is_whole(world, tmp_path):
    place = copy_world(world, tmp_path / "w")
    words = run_flags("test", place)
    children = [fork_script(SCRIPTS["test"], words, tmp_path / f"said{n}", place) for n in range(2)]
    assert sorted(map(wait, children)) == [0, 2]
    assert leftovers(place) == []
    Results.load(place / "out" / "results")


def test_a_training_goes_on_when_its_reader_leaves(world, tmp_path):
    place = copy_world(world, tmp_path / "w")
    words = run_flags("train", place)
    reader, writer = os.pipe()

    def train_into_the_pipe():
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        os.close(writer)
        os.close(reader)
        os.chdir(place)
        return run_here(SCRIPTS["train"], *words, monkeypatch=pytest.MonkeyPatch())

    child = fork(train_into_the_pipe, tmp_path / "said")
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    assert wait(child) == 0
    checkpoint.read(place / "out" / "model.pth")
    assert leftovers(place) == []


# --- download ---


@pytest.mark.parametrize("seed", range(4))
def test_a_server_that_cuts_and_lies_never_leaves_a_wrong_file(seed, tmp_path):
    chance = random.Random(seed)
    file = RemoteFile("archive.tar.gz", "", len(CONTENT), hashlib.md5(CONTENT).hexdigest())
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        server.ranges = chance.random() < 0.5
        server.wrong = chance.randrange(3)
        server.break_after = [chance.randrange(1, len(CONTENT)) for _ in range(chance.randrange(5))]
        remote = file._replace(url=f"{server.url}/archive")
        child = fork(lambda: fetch(remote, tmp_path, pause=0.01) and 0, tmp_path / "said")
        kill_after(child, chance.random() * 0.05)
        server.status = 503 if chance.random() < 0.3 else None
        try:
            path = fetch(remote, tmp_path, pause=0.001)
            assert path.read_bytes() == CONTENT
        except InputError:
            assert not (tmp_path / file.name).exists()
        server.status, server.wrong, server.break_after = None, 0, []
        assert fetch(remote, tmp_path, pause=0.001).read_bytes() == CONTENT
    finally:
        server.shutdown()
        server.server_close()


# --- memory ---

UNPACKED = 70
"""Megabytes of a bomb when it is unpacked."""

MOST_GROWTH = 45
"""Megabytes that reading it may take; the limits of the readers are lowered to 20."""


def zip_bomb(place):
    with (
        zipfile.ZipFile(place / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("00000001_000.png", "w") as file,
    ):
        for _ in range(UNPACKED):
            file.write(bytes(1_000_000))
    return lambda: contents.content_of(ZipMember(place / "a.zip", "00000001_000.png"))


def tar_bomb(place):
    member = tarfile.TarInfo("00000001_000.png")
    member.size = UNPACKED * 1_000_000
    with (
        tarfile.open(place / "a.tar.gz", "w:gz", compresslevel=1) as archive,
        Path("/dev/zero").open("rb") as zeros,
    ):
        archive.addfile(member, zeros)
    return lambda: [list(source.payloads(source.sizes)) for source in find_sources(place / "a.tar.gz", 256)]


def png_bomb(place):
    content = bytearray(png(1))
    content[16:24] = (30_000).to_bytes(4, "big") * 2
    (place / "x.png").write_bytes(content)
    return lambda: images.decode(place / "x.png")


def sparse_file(place):
    (place / "x.png").touch()
    os.truncate(place / "x.png", 1 << 40)
    return lambda: contents.content_of(place / "x.png")


def checkpoint_bomb(place):
    (place / "x.pth").write_bytes(weights.zip_bomb(UNPACKED))
    return lambda: checkpoint.read(place / "x.pth")


def predictions_bomb(place):
    path = place / "results" / "1-EEEA-Net-C2" / "predictions-test.npz"
    path.parent.mkdir(parents=True)
    path.touch()
    npz_bomb(UNPACKED)(place)
    return lambda: Predictions.load(path)


@pytest.mark.parametrize(
    "make", [zip_bomb, tar_bomb, png_bomb, sparse_file, checkpoint_bomb, predictions_bomb]
)
def test_a_bomb_takes_little_memory(make, tmp_path, monkeypatch):
    read = make(tmp_path)
    for module in (contents, predictions):
        monkeypatch.setattr(module, "MOST_BYTES", 20_000_000)

    def refuse():
        with contextlib.suppress(InputError):
            read()

    assert peak_memory(refuse, tmp_path / "said") < MOST_GROWTH
