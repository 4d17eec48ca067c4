"""reproduce.sh runs every stage, and resumes where an earlier run was stopped."""

import os
import shutil
import subprocess

import pytest

from cxr14.models import zoo
from cxr14.settings import ROOT

# Instead of running programs, write down how they are started.
FAKE_SETUP = """
cd "$(dirname "${BASH_SOURCE[0]}")"
python() { echo "python $*" >> started.txt; }
torchrun() { echo "torchrun $*" >> started.txt; }
"""
KD = "6-Distilling-to-EEEA-Net-C2"


@pytest.fixture
def reproduce(tmp_path):
    """Return a function that runs a copy of reproduce.sh and returns the commands that it starts."""
    shutil.copy(ROOT / "reproduce.sh", tmp_path)
    (tmp_path / "setup.sh").write_text(FAKE_SETUP)
    for folder in (*zoo.NAMES, KD):
        (tmp_path / folder).mkdir()

    def run(*words, **environment):
        subprocess.run(["bash", tmp_path / "reproduce.sh", *words], env=os.environ | environment, check=True)
        return (tmp_path / "started.txt").read_text().splitlines()

    return run


def test_every_stage_runs_in_order(reproduce):
    started = reproduce("--batch-size", "8")
    expected = ["python ChestX-ray14/download.py", "python ChestX-ray14/prepare.py"]
    for name in zoo.NAMES:
        expected += [f"python {name}/train-model.py --batch-size 8", f"python {name}/test-model.py"]
    for number in (1, 2, 3, 4, 5, "all"):
        expected.append(f"python {KD}/train-kd{number}-model.py --batch-size 8")
        expected.append(f"python {KD}/test-kd{number}-model.py")
    missing = [command for command in expected if command not in started]
    assert missing == []
    assert [command for command in started if command in expected] == expected
    assert started[-1] == "python compare-results.py"


def test_trainings_with_a_snapshot_are_resumed_and_no_others(reproduce, tmp_path):
    (tmp_path / "3-CheXNet" / "model3.last.pth").touch()
    (tmp_path / KD / "modeld2.last.pth").touch()
    resumed = [command for command in reproduce() if "--resume" in command]
    assert resumed == [
        "python 3-CheXNet/train-model.py --resume",
        f"python {KD}/train-kd2-model.py --resume",
    ]


def test_retest_repeats_the_tests_and_gpus_start_torchrun(reproduce):
    started = reproduce(RETEST="1", GPUS="2")
    tests = [command for command in started if "/test-" in command]
    trainings = [command for command in started if "/train-" in command]
    assert len(tests) == len(trainings) >= 10
    assert all(command.endswith("--retest") for command in tests)
    assert all(command.startswith("torchrun --nproc_per_node=2 ") for command in trainings)


def test_further_seeds_have_checkpoints_and_results_of_their_own(reproduce, tmp_path):
    (tmp_path / KD / "modeld3-seed1.last.pth").touch()
    started = reproduce("--batch-size", "8", SEEDS="0 1")
    assert "python 3-CheXNet/train-model.py --batch-size 8" in started
    named = "--ckpt-path 3-CheXNet/model3-seed1.pth"
    assert f"python 3-CheXNet/train-model.py {named} --seed 1 --batch-size 8" in started
    assert f"python 3-CheXNet/test-model.py {named} --results-dir results/3-CheXNet-seed1" in started
    named = f"--ckpt-path {KD}/modeld3-seed1.pth"
    assert f"python {KD}/train-kd3-model.py --resume {named} --seed 1 --batch-size 8" in started
    assert len([command for command in started if "--seed 1" in command]) == 11
