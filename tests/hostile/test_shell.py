"""Careless starts of the shell scripts: a sentence before anything is installed, downloaded or submitted."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cxr14.settings import ROOT

# Instead of an installation, and in the place of what takes hours.
FAKE_SETUP = f"""
cd "$(dirname "${{BASH_SOURCE[0]}}")"
touch began
python() {{
  if [ "$1" = - ]; then {sys.executable} "$@"; else echo "python $*" >>began; fi
}}
"""


@pytest.fixture
def copy(tmp_path):
    """A copy of the shell scripts, in a folder with a space, beside links to the rest of the repository."""
    folder = tmp_path / "my study"
    folder.mkdir()
    for path in ROOT.iterdir():
        if path.suffix == ".sh":
            shutil.copy(path, folder)
        elif path.name == "slurm":
            shutil.copytree(path, folder / "slurm")
        elif path.is_dir() and path.name[0].isdigit():
            (folder / path.name).symlink_to(path)
    (folder / "setup.sh").write_text(FAKE_SETUP)
    return folder


def start(script, *words, cwd, **environment):
    """Run a shell script; return its status and the lines of its stderr."""
    environment = os.environ | environment
    done = subprocess.run(
        ["bash", script, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stderr.splitlines(), done.stdout


@pytest.mark.parametrize(
    ("script", "words", "environment", "sentence"),
    [
        ("demo.sh", ["--help"], {}, "demo.sh takes no arguments"),
        ("reproduce.sh", [], {"GPUS": "two"}, "GPUS = two"),
        ("reproduce.sh", [], {"GPUS": "0"}, "GPUS = 0"),
        ("reproduce.sh", [], {"SEEDS": "0,1"}, "SEEDS = 0,1"),
        ("reproduce.sh", [], {"STAGES": "1 7"}, "STAGES = 7"),
        ("reproduce.sh", [], {"STAGES": "all"}, "STAGES = all"),
        ("reproduce.sh", [], {"TEACHERS": "3-CheXNet"}, "TEACHERS = 3-CheXNet"),
        ("reproduce.sh", [], {"HOURS": "1,5"}, "HOURS = 1,5"),
        ("reproduce.sh", [], {"HOURS": "11h"}, "HOURS = 11h"),
        ("slurm/study.sbatch", [], {"NETWORKS": "1 9"}, "NETWORKS = 9"),
        ("slurm/study.sbatch", [], {"NETWORKS": "1,2"}, "NETWORKS = 1,2"),
        ("slurm/study.sbatch", [], {"SEEDS": "1 2"}, "SEEDS = 1 2"),
        ("slurm/train.sbatch", [], {"SLURM_SUBMIT_DIR": "."}, "no train script ''"),
        ("slurm/train.sbatch", ["x.py"], {"SLURM_SUBMIT_DIR": "."}, "no train script 'x.py'"),
        ("slurm/train.sbatch", ["3-CheXNet/train-model.py"], {"SLURM_SUBMIT_DIR": "/"}, "no train script"),
    ],
)
def test_a_wrong_start_is_refused_at_once(copy, script, words, environment, sentence):
    status, said, _ = start(copy / script, *words, cwd=copy, **environment)
    assert (status, len(said)) == (2, 1), said
    assert said[0].startswith("error: ") and sentence in said[0]
    assert not (copy / "began").exists()


def test_a_machine_without_slurm_is_said(copy, tmp_path):
    for name in ("dirname", "bash"):
        (tmp_path / name).symlink_to(shutil.which(name))
    status, said, _ = start(copy / "slurm/study.sbatch", cwd=copy, PATH=str(tmp_path))
    assert (status, len(said)) == (2, 1) and "there is no sbatch here" in said[0], said


def test_a_wrong_setting_is_refused_before_the_download(copy):
    status, said, _ = start(copy / "reproduce.sh", "--batchsize", "8", cwd=copy)
    assert (status, len(said)) == (2, 1), said
    assert said[0].startswith("error: ") and "--batchsize" in said[0]
    assert (copy / "began").read_text() == ""


def test_help_of_reproduce_is_its_head_and_starts_nothing(copy):
    status, said, shown = start(copy / "reproduce.sh", "--help", cwd=copy)
    assert (status, said) == (0, [])
    assert "STAGES=" in shown and "pipefail" not in shown
    assert not (copy / "began").exists()


def test_a_source_is_relative_to_the_folder_where_reproduce_is_started(copy, tmp_path):
    start(copy / "reproduce.sh", cwd=tmp_path, SOURCE="nih", STAGES=" ", TEACHERS="")
    began = (copy / "began").read_text().splitlines()
    assert began[0] == f"python ChestX-ray14/prepare.py --source {tmp_path}/nih"


def test_the_demonstration_runs_in_a_folder_with_a_space(copy):
    status, said, _ = start(copy / "demo.sh", cwd=copy.parent)
    assert status == 0, said
    commands = (copy / "began").read_text().splitlines()
    assert len(commands) > 9 and not [command for command in commands if "my study" in command]


@pytest.mark.parametrize("place", ["a file", "no permission"])
def test_an_installation_that_fails_is_a_sentence_and_leaves_the_terminal_open(copy, tmp_path, place):
    shutil.copy(ROOT / "setup.sh", copy)
    shutil.copy(ROOT / "requirements.txt", copy)
    (tmp_path / "file").touch()
    folder = tmp_path / "file" if place == "a file" else Path("/proc/venv")
    status, said, _ = start(copy / "setup.sh", cwd=copy, VENV=str(folder))
    assert status == 2
    assert said[-1].startswith("error: the packages are not installed in"), said
    terminal = tmp_path / "terminal.sh"
    terminal.write_text(f"source {str(copy / 'setup.sh')!r}\necho still here\n")
    status, said, shown = start(terminal, cwd=copy, VENV=str(folder))
    assert status == 0 and "still here" in shown
