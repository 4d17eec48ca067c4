"""prepare.py a second time: nothing twice, what is new is added, and an interrupted run is resumed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cxr14.data import images, splits
from cxr14.data.prepare import packing, store
from tests.conftest import lock_held, run_python
from tests.data.preparation import NAMES, SCRIPT, SIZE, prepare, read_lists
from tests.nih_folder import (
    names_of,
    png,
    store_bytes,
    write_documents,
    write_tar,
    write_zip,
)


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
