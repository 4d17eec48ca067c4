"""A run of predict.py that was interrupted is resumed by the same command."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cxr14.deployment.prediction.answers import Answer, from_line, tasks_of, to_line
from cxr14.deployment.prediction.journal import open_journal
from cxr14.errors import InputError
from cxr14.findings import FINDINGS
from cxr14.settings import ROOT
from tests.conftest import run_python

SCRIPT = ROOT / "7-Using-EEEA-Net-C2" / "predict.py"
RUN = {"model": "a", "maps": None}


def answer(name):
    return Answer(name, tuple(1 / (number + 1) for number in range(len(FINDINGS))), ('a "warning"\n',))


@pytest.mark.slow
def test_interrupted_run_is_resumed_and_gives_the_same_table(exported, radiographs, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    files = sorted((radiographs / "images").iterdir())
    for number in range(80):
        shutil.copy(files[number % len(files)], folder / f"{number:03d}.png")
    words = [SCRIPT, folder, "--model-path", exported / "eeea-net-c2.onnx"]
    whole = run_python(*words, "--csv", tmp_path / "whole.csv", "--json", tmp_path / "whole.json")
    assert whole.returncode == 0, whole.stderr
    table, journal = tmp_path / "t.csv", tmp_path / "t.csv.unfinished"
    words += ["--csv", table, "--json", tmp_path / "t.json"]
    for end, status in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        begun = journal.read_bytes().count(b"\n") if journal.exists() else 1
        run = subprocess.Popen(
            [sys.executable, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not journal.exists() or journal.read_bytes().count(b"\n") < begun + 5:
            assert run.poll() is None
            time.sleep(0.005)
        run.send_signal(end)
        _, said = run.communicate()
        assert run.returncode == status
        assert not table.exists() and "Traceback" not in said
        if end == signal.SIGINT:
            assert "the same command resumes" in said
    with journal.open("ab") as file:  # a line that a power failure cut
        file.write(to_line(answer("cut")).encode()[:-9])
    (folder / "000.png").write_text("answered before, and not read again")
    done = run_python(*words)
    assert done.returncode == 0 and not journal.exists(), done.stderr
    assert table.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "t.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert done.stdout == whole.stdout


def test_journal_of_another_run_is_refused(tmp_path):
    table = tmp_path / "t.csv"
    with pytest.raises(KeyboardInterrupt), open_journal(table, RUN) as journal:
        journal.add(answer("a.png"))
        raise KeyboardInterrupt
    with pytest.raises(InputError, match="another model"), open_journal(table, RUN | {"model": "b"}):
        pass
    with open_journal(table, RUN) as journal:
        assert "a.png" in journal and journal.answer("a.png") == answer("a.png")
        journal.add(answer("b.png"))
        journal.add(Answer("b.png", (0.5,), ()))  # a second answer is ignored
        assert (len(journal), journal.answer("b.png")) == (2, answer("b.png"))
    assert list(tmp_path.iterdir()) == []


def test_journal_in_use_is_refused(tmp_path):
    pytest.importorskip("fcntl", reason="this system cannot lock the journal")
    with open_journal(tmp_path / "t.csv", RUN) as journal:
        journal.add(answer("a.png"))
        with pytest.raises(InputError, match=r"another predict\.py"), open_journal(tmp_path / "t.csv", RUN):
            pass
        assert "a.png" in journal


@pytest.mark.parametrize("damage", [b"[1, 2]\n", b"\xff\xfe\n", b"{}\n", b'["x", ["a"], []]\n'])
def test_damaged_lines_are_cut_off(damage, tmp_path):
    path = tmp_path / "t.csv.unfinished"
    head = json.dumps(RUN, sort_keys=True).encode() + b"\n"
    path.write_bytes(
        head + to_line(answer("a")).encode() + b"\n" + damage + to_line(answer("b")).encode() + b"\n"
    )
    with open_journal(tmp_path / "t.csv", RUN) as journal:
        assert "a" in journal and "b" not in journal
        journal.add(answer("c"))
        assert path.read_bytes() == head + b"".join(to_line(answer(name)).encode() + b"\n" for name in "ac")


def test_answers_survive_their_line():
    assert from_line(to_line(answer("胸片 \\udcff.png"))) == answer("胸片 \\udcff.png")
    assert "\n" not in to_line(answer("a"))


def test_drawings_of_files_with_one_name_have_names_of_their_own(tmp_path):
    paths = [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png", tmp_path / ("胸" * 80 + ".png")]
    names = [task.drawing for task in tasks_of(paths)]
    assert names[:2] == ["1", "1-2"]
    assert names[2].startswith("胸胸") and len(names[2].encode()) <= 150
    paths = [Path(name) for name in ("a/1-2.png", "a/1.png", "b/1.png", "c/1.png", "c/1-2.png", "d/1-3.png")]
    for order in (paths, paths[::-1], paths[1:] + paths[:1]):
        names = [task.drawing for task in tasks_of(order)]
        assert len(set(names)) == len(order), names
