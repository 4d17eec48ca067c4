"""The Slurm scripts, on a real Slurm of one node on loopback."""

import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from cxr14.models import checkpoint
from cxr14.settings import ROOT
from cxr14.training import snapshot
from tests.own_training import write_script
from tests.slurm_cluster import missing_programs, started_cluster
from tests.test_scripts import data_flags

NO_GPU = ("--gres=none", "--cpus-per-task=1")
TWO_TASKS = (*NO_GPU, "--ntasks-per-node=2")
EPOCHS = 6

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"),
]


@pytest.fixture(scope="module")
def cluster():
    with started_cluster() as running:
        yield running


@pytest.fixture
def repository(tmp_path):
    """A folder with slurm/, the train scripts, and a setup.sh that installs nothing."""
    folder = tmp_path / "repository"
    shutil.copytree(ROOT / "slurm", folder / "slurm")
    for script in ROOT.glob("[1-6]-*/train-*.py"):
        (folder / script.parent.name).mkdir(exist_ok=True)
        shutil.copy(script, folder / script.parent.name)
    (folder / "bin").mkdir()
    (folder / "setup.sh").write_text(f'export PATH="{folder}/bin:{Path(sys.executable).parent}:$PATH"\n')
    return folder


def submit(cluster, repository, *words, **environment):
    return cluster.run("sbatch", "--parsable", *words, cwd=repository, **environment)


def wait_until(condition, what):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.1)


def test_training_saves_at_the_signal_of_the_time_limit_and_goes_on_by_itself(
    cluster, repository, phantoms, tmp_path
):
    """Two processes of srun; the signal is sent by scancel, a minute earlier than Slurm's clock could."""
    script, place = write_script(repository / "8-Own"), tmp_path / "own.pth"
    how = f"--image-size 64 --num-epochs {EPOCHS} --batch-size 16 --no-pretrained --device cpu".split()
    flags = (*data_flags(phantoms), *how, "--ckpt-path", place)
    words = (*TWO_TASKS, "slurm/train.sbatch", script.relative_to(repository), *flags)
    job = submit(cluster, repository, *words, OMP_NUM_THREADS="1", STEP_SECONDS="0.2")
    output, log = repository / f"train-{job}.out", checkpoint.log_path(place)
    wait_until(log.exists, lambda: output.read_text() if output.exists() else cluster.logs())
    cluster.run("scancel", "--signal=USR1", job)
    wait_until(lambda: int(cluster.state(job)["Restarts"]) == 1, output.read_text)
    before = len(log.read_text().splitlines()) - 1
    assert 1 <= before < EPOCHS
    found = cluster.wait(job, "COMPLETED", "FAILED", "CANCELLED")
    text = output.read_text()
    assert found["JobState"] == "COMPLETED", text
    assert "Stopped by SIGUSR1; the state is in" in text
    assert f"job {job} queues itself again" in text
    assert "2 x cpu" in text
    assert re.search(f"Best epoch . of {EPOCHS}", text)
    assert list(pd.read_csv(log)["epoch"]) == list(range(1, EPOCHS + 1))


def test_failed_training_is_not_queued_again(cluster, repository):
    (repository / "wrong.py").write_text('print("error: no such list."); raise SystemExit(2)')
    job = submit(cluster, repository, *NO_GPU, "slurm/train.sbatch", "wrong.py")
    found = cluster.wait(job, "COMPLETED", "FAILED", "CANCELLED")
    assert (found["JobState"], found["ExitCode"], found["Restarts"]) == ("FAILED", "2:0", "0")


def test_study_runs_each_student_after_its_teacher_and_the_report_last(cluster, repository):
    """Python is replaced by a program that writes down how it is called."""
    python = repository / "bin" / "python"
    python.write_text(f'#!/usr/bin/env bash\nsleep 0.1\necho "$*" >> {repository}/started.txt\n')
    python.chmod(0o755)
    environment = {"SEEDS": "0 1", "NETWORKS": "1 3", "OPTIONS": " ".join(NO_GPU)}
    printed = cluster.run("bash", "slurm/study.sbatch", "--batch-size", 8, cwd=repository, **environment)
    report = re.search(r"report (\d+)", printed)[1]
    found = cluster.wait(report, "COMPLETED", "FAILED", "CANCELLED")
    outputs = "\n".join(path.read_text() for path in repository.glob("*.out"))
    assert found["JobState"] == "COMPLETED", outputs
    started = (repository / "started.txt").read_text().replace(f"{repository}/", "").splitlines()
    assert started[0] == "ChestX-ray14/prepare.py"
    assert started[-1] == "compare-results.py"
    assert len(started) == len(set(started)) == 1 + 2 * 2 * 2 * 2 + 1
    kd = "6-Distilling-to-EEEA-Net-C2"
    for number, folder in ((1, "1-EEEA-Net-C2"), (3, "3-CheXNet")):
        for seed, suffix in ((0, ""), (1, "-seed1")):
            teacher, taught = f"{folder}/model{number}{suffix}.pth", f"{kd}/modeld{number}{suffix}.pth"
            lines = (
                f"{folder}/train-model.py --resume --seed {seed} --ckpt-path {teacher} --batch-size 8",
                f"{folder}/test-model.py --ckpt-path {teacher} --results-dir results/{folder}{suffix}",
                f"{kd}/train-kd{number}-model.py --resume --seed {seed} --ckpt-path {taught} --batch-size 8",
                f"{kd}/test-kd{number}-model.py --ckpt-path {taught} "
                f"--results-dir results/{kd}/kd{number}{suffix}",
            )
            trained, tested, taught, last = map(started.index, lines)
            assert trained < tested
            assert taught < last
            assert (
                started.index(
                    f"{folder}/test-model.py --ckpt-path {folder}/model{number}.pth "
                    f"--results-dir results/{folder}"
                )
                < taught
            )


def test_study_of_a_failed_teacher_trains_no_student(cluster, repository):
    python = repository / "bin" / "python"
    python.write_text(
        f'#!/usr/bin/env bash\necho "$*" >> {repository}/started.txt\n[[ "$1" != *train-model.py ]]\n'
    )
    python.chmod(0o755)
    environment = {"NETWORKS": "1", "OPTIONS": " ".join(NO_GPU)}
    printed = cluster.run("bash", "slurm/study.sbatch", cwd=repository, **environment)
    report = re.search(r"report (\d+)", printed)[1]
    cluster.wait(report, "CANCELLED")
    assert len((repository / "started.txt").read_text().splitlines()) == 2  # prepare.py and the teacher


def test_signal_of_the_scripts_is_the_one_that_trainings_handle():
    text = (ROOT / "slurm" / "train.sbatch").read_text()
    name = re.search(r"^#SBATCH --signal=(\w+)@", text, re.MULTILINE)[1]
    assert getattr(signal, f"SIG{name}") in snapshot.StopSignal.NUMBERS
