"""Real faults: kills at random moments, two processes at once, servers that cut and lie."""

import hashlib
import os
import random
import shutil
import signal
import sys
import threading
import time

import pytest

from cxr14.data.fetch import RemoteFile, fetch
from cxr14.errors import InputError
from cxr14.evaluation.results import Results
from cxr14.files import atomic_write
from cxr14.models import checkpoint
from tests.conftest import lock_held, run_here
from tests.data.test_download import CONTENT, Server
from tests.hostile.harness import (
    SCRIPTS,
    Row,
    copy_world,
    files_in,
    flags_of,
)
from tests.hostile.processes import fork, fork_script, kill_after, wait
from tests.hostile.tables import flags

pytestmark = pytest.mark.forks

CHANCE = random.Random(0)
"""The moments of the kills differ from run to run of the machine, the seed is the same."""


# --- kills ---


def run_flags(script, place, **changes):
    return flags_of(Row(script, "", flags(**changes), ""), place)


def leftovers(place):
    return [path.name for path in place.rglob("*") if path.name.endswith((".part", ".lock"))]


def run_timed(script, words, place, output):
    """Run a script that must not fail; return how many seconds it took."""
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
    run_timed(script, words, place, tmp_path / "said")
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
    run_timed(script, words, place, tmp_path / "said")
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
@pytest.mark.parametrize(
    ("script", "read"),
    [
        ("train", lambda out: checkpoint.read(out / "model.pth")),
        ("test", lambda out: Results.load(out / "results")),
    ],
    ids=["train", "test"],
)
def test_of_two_runs_at_once_one_is_refused_and_what_the_other_writes_is_whole(script, read, world, tmp_path):
    place = copy_world(world, tmp_path / "w")
    words = run_flags(script, place)
    children = [fork_script(SCRIPTS[script], words, tmp_path / f"said{n}", place) for n in range(2)]
    assert sorted(map(wait, children)) == [0, 2]
    assert leftovers(place) == []
    read(place / "out")


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
