"""The whole study by its scripts: on real radiographs, interrupted, and with several processes."""

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest

from cxr14.models import checkpoint, zoo
from cxr14.settings import ROOT
from tests.conftest import run_python
from tests.test_scripts import KD, TINY, data_flags, flags_of_test


@pytest.mark.slow
def test_the_study_on_real_radiographs(nih_mini, tmp_path):
    """From prepare.py through stages 1, 3 and kd3 to the comparison, as the README says.

    Every other script is started in its own folder, the others in the root of the repository. In
    tests/test_scripts.py all train scripts are started in their own folder.
    """
    in_own_folder = itertools.cycle([True, False])

    def run(folder, script, *words):
        ended = (
            run_python(script, *words, cwd=ROOT / folder)
            if next(in_own_folder)
            else run_python(f"{folder}/{script}", *words)
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    run("ChestX-ray14", "prepare.py", "--source", nih_mini / "images", "--out", tmp_path)
    results = tmp_path / "results"
    for folder, network, number in (("1-EEEA-Net-C2", "", 1), ("3-CheXNet", "", 3), (KD.name, "kd3-", "d3")):
        weights = tmp_path / f"model{number}.pth"
        flags = (*data_flags(tmp_path), *TINY, "--ckpt-path", weights, "--batch-size", 32)
        if network:
            flags += ("--teacher-ckpt-path", tmp_path / "model3.pth")
            flags += ("--student-ckpt-path", tmp_path / "model1.pth")
        assert "(a tiny list)" in run(folder, f"train-{network}model.py", *flags)
        place = results / folder / network
        flags = (*flags_of_test(tmp_path), "--ckpt-path", weights, "--results-dir", place)
        stdout = run(folder, f"test-{network}model.py", *flags)
        assert "The average AUROC is 0." in stdout
        assert "(over 13 of 14 findings)" in stdout
        assert "The AUROC of Pneumonia is undefined" in stdout
        assert "The Accuracy of Hernia is 0." in stdout
        assert "The average F1 is 0." in stdout
    assert "TINY" in run(".", "compare-results.py", "--results-dir", results)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_training_saves_a_snapshot_and_resumes(number, phantoms, tmp_path):
    """Ctrl-C in a terminal reaches the reader processes too."""
    place = tmp_path / "model1.pth"
    # Plain files, not the packed store, so that there are processes which read.
    flags = ["--data-dir", phantoms / "source" / "images", *data_flags(phantoms)[2:]]
    how = "--image-size 64 --num-epochs 3 --no-pretrained --device cpu --batch-size 4 --num-workers 2"
    flags += [*how.split(), "--ckpt-path", place]
    words = [str(word) for word in (sys.executable, ROOT / zoo.NAMES[0] / "train-model.py", *flags)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    assert b"radiographs to learn from" in process.stdout.readline()
    while not checkpoint.snapshot_path(place).exists():  # the first epoch's end
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, number)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 128 + number, stderr
    assert f"Stopped by {signal.Signals(number).name}" in stderr.decode()
    assert "Traceback" not in stderr.decode()
    ended = run_python(*words[1:], "--resume")
    assert ended.returncode == 0, ended.stderr
    assert "of 3: validation AUROC" in ended.stdout
    assert len(checkpoint.log_path(place).read_text().splitlines()) == 1 + 3


@pytest.mark.slow
def test_torchrun_trains_with_two_processes(phantoms, tmp_path):
    flags = [*data_flags(phantoms), *TINY, "--batch-size", 16, "--ckpt-path", tmp_path / "model1.pth"]
    script = ROOT / zoo.NAMES[0] / "train-model.py"
    ended = run_python("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", script, *flags)
    assert ended.returncode == 0, ended.stderr
    assert "2 x cpu" in ended.stdout
    assert ended.stdout.count("Best epoch 1 of 1") == 1
