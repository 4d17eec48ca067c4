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
EXPORT = f"python 7-Using-EEEA-Net-C2/export-model.py --ckpt-path {KD} --results-dir results"


@pytest.fixture
def reproduce(tmp_path):
    """Return a function that runs a copy of reproduce.sh and returns the commands that it starts."""
    shutil.copy(ROOT / "reproduce.sh", tmp_path)
    (tmp_path / "setup.sh").write_text(FAKE_SETUP)
    for folder in (*zoo.NAMES, KD):
        (tmp_path / folder).mkdir()

    def run(*words, expected=0, **environment):
        started = tmp_path / "started.txt"
        started.unlink(missing_ok=True)
        ended = subprocess.run(["bash", tmp_path / "reproduce.sh", *words], env=os.environ | environment)
        assert ended.returncode == expected
        return started.read_text().splitlines()

    return run


def test_every_stage_runs_in_order(reproduce):
    started = reproduce("--batch-size", "8")
    expected = ["python ChestX-ray14/download.py", "python ChestX-ray14/prepare.py"]
    for name in zoo.NAMES:
        expected += [f"python {name}/train-model.py --resume --batch-size 8", f"python {name}/test-model.py"]
    for number in (1, 2, 3, 4, 5, "all"):
        expected.append(f"python {KD}/train-kd{number}-model.py --resume --batch-size 8")
        expected.append(f"python {KD}/test-kd{number}-model.py")
    missing = [command for command in expected if command not in started]
    assert missing == []
    assert [command for command in started if command in expected] == expected
    assert started[-2:] == ["python compare-results.py", EXPORT]


def test_stages_teachers_and_source_can_be_chosen(reproduce):
    assert reproduce(STAGES="3", TEACHERS="all", SOURCE="/data/nih") == [
        "python ChestX-ray14/prepare.py --source /data/nih",
        "python 3-CheXNet/train-model.py --resume",
        "python 3-CheXNet/test-model.py",
        f"python {KD}/train-kdall-model.py --resume",
        f"python {KD}/test-kdall-model.py",
        "python compare-results.py",
        EXPORT,
    ]
    assert EXPORT not in reproduce(STAGES="3", TEACHERS="")  # there is no student


def test_time_limit_is_handed_to_the_trainings_and_ends_the_script(reproduce):
    started = reproduce(HOURS="5", STAGES="1", TEACHERS="")
    (training,) = [command for command in started if "/train-" in command]
    assert 4.9 < float(training.rpartition(" --stop-after-hours ")[2]) <= 5
    started = reproduce(HOURS="0.0001", expected=142)
    assert started == ["python ChestX-ray14/download.py", "python ChestX-ray14/prepare.py"]


def test_retest_repeats_the_tests_and_gpus_start_torchrun(reproduce):
    started = reproduce(RETEST="1", GPUS="2")
    tests = [command for command in started if "/test-" in command]
    trainings = [command for command in started if "/train-" in command]
    assert len(tests) == len(trainings) >= 10
    assert all(command.endswith("--retest") for command in tests)
    assert all(command.startswith("torchrun --nproc_per_node=2 ") for command in trainings)


def test_further_seeds_have_checkpoints_and_results_of_their_own(reproduce):
    started = reproduce("--batch-size", "8", SEEDS="0 1")
    assert "python 3-CheXNet/train-model.py --resume --batch-size 8" in started
    named = "--ckpt-path 3-CheXNet/model3-seed1.pth"
    assert f"python 3-CheXNet/train-model.py --resume {named} --seed 1 --batch-size 8" in started
    assert f"python 3-CheXNet/test-model.py {named} --results-dir results/3-CheXNet-seed1" in started
    named = f"--ckpt-path {KD}/modeld3-seed1.pth"
    assert f"python {KD}/train-kd3-model.py --resume {named} --seed 1 --batch-size 8" in started
    assert len([command for command in started if "--seed 1" in command]) == 11
