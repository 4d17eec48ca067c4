"""docs/kaggle.ipynb on a folder of Kaggle's layout, read only, and without a network."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from cxr14.models import checkpoint
from cxr14.settings import ROOT
from cxr14.training.loop import TrainingLoop
from tests.test_scripts import data_flags, run_here

NOTEBOOK = ROOT / "docs" / "kaggle.ipynb"
HOW = "--image-size 64 --num-epochs 2 --no-pretrained --device cpu --batch-size 16 --threads 1"
UNREACHABLE = "http://127.0.0.1:9"
FOLDERS = 12  # images_001 to images_012

pytestmark = pytest.mark.slow


def copy_repository(folder):
    """Copy what git has or would take, without what runs have left."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def make_read_only(folder):
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


@pytest.fixture
def kaggle(phantoms, tmp_path):
    """The inputs of a session: NIH's set as Kaggle has it, and this repository."""
    inputs = tmp_path / "input"
    source, nih = phantoms / "source", inputs / "data"
    nih.mkdir(parents=True)
    for number, path in enumerate(sorted((source / "images").iterdir())):
        folder = nih / f"images_{number % FOLDERS + 1:03d}" / "images"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    for name in ("Data_Entry_2017.csv", "BBox_List_2017.csv", "train_val_list.txt", "test_list.txt"):
        (found,) = source.glob(name.replace(".", "*."))
        shutil.copy(found, nih / name)
    copy_repository(inputs / "cxr14")
    make_read_only(inputs)
    yield inputs
    for path in [inputs, *inputs.rglob("*")]:
        path.chmod(0o755)


@pytest.fixture
def scratch(tmp_path):
    """A folder with an environment, which setup.sh then does not install."""
    environment = tmp_path / "scratch" / "venv"
    (environment / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "requirements.txt", environment / "installed.txt")
    (environment / "bin" / "activate").write_text(
        f'export PATH="{Path(sys.executable).parent}:$PATH" PYTHONPATH="$PWD"\n'
    )
    return environment.parent


def run_notebook(**constants):
    """Run all cells, with other constants in the first one, and return the outputs of each as text."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = [cell for cell in notebook.cells if cell.id == "constants"]
    for name, value in constants.items():
        cell.source, count = re.subn(rf"^{name} = .*", f"{name} = {value!r}", cell.source, flags=re.MULTILINE)
        assert count == 1, name
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return {
        cell.id: "".join(output.get("text", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


@pytest.fixture
def offline(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, UNREACHABLE)
    for name in ("PIP_NO_INDEX", "HF_HUB_OFFLINE", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def test_study_goes_on_from_session_to_session(
    kaggle, scratch, offline, phantoms, tmp_path, monkeypatch, capsys
):
    constants = {"INPUT": str(kaggle), "SCRATCH": str(scratch), "GPUS": 1, "STAGES": "1", "TEACHERS": ""}
    constants["SETTINGS"] = HOW

    # The first session has time to prepare the radiographs, and no more.
    first = tmp_path / "first"
    outputs = run_notebook(**constants, WORKING=str(first), HOURS=0.0001)
    study = first / "study"
    assert "HOURS = 0.0001 are over" in outputs["study"]
    assert "No network has been compared yet" in outputs["report"]
    assert (study / "ChestX-ray14" / "images" / "store.npy").is_file()
    assert not list(study.glob("*/*.pth"))

    # Its output, with a training that the time limit has stopped after one of two epochs.
    finish_epoch = TrainingLoop._finish_epoch

    def finish_then_let_time_run_out(loop, *words):
        finish_epoch(loop, *words)
        os.kill(os.getpid(), signal.SIGALRM)

    monkeypatch.setattr(TrainingLoop, "_finish_epoch", finish_then_let_time_run_out)
    place = study / "1-EEEA-Net-C2" / "model1.pth"
    flags = (*data_flags(study / "ChestX-ray14"), *HOW.split(), "--ckpt-path", place, "--seed", 0)
    stopped = run_here(ROOT / "1-EEEA-Net-C2" / "train-model.py", *flags, monkeypatch=monkeypatch)
    assert stopped == 128 + signal.SIGALRM
    assert "Stopped by the limit STOP_AFTER_HOURS" in capsys.readouterr().err
    (kaggle).chmod(0o755)
    shutil.copytree(study, kaggle / "earlier" / "study")
    make_read_only(kaggle)

    # The second session begins where the first one ended.
    second = tmp_path / "second"
    outputs = run_notebook(**constants, WORKING=str(second), HOURS=11.0)
    study = second / "study"
    assert "The radiographs are prepared" in outputs["study"]
    assert "Best epoch" in outputs["study"]
    assert "the training begins" not in outputs["study"]
    assert list(pd.read_csv(checkpoint.log_path(study / "1-EEEA-Net-C2" / "model1.pth"))["epoch"]) == [1, 2]
    assert "1-EEEA-Net-C2" in outputs["report"] or "EEEA-Net-C2" in outputs["report"]
    assert (study / "results" / "report.html").is_file()
    assert sorted(path.name for path in second.iterdir()) == ["study"]


def test_cells_are_short_and_hold_no_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    assert len([cell for cell in notebook.cells if cell.cell_type == "code"]) <= 6
