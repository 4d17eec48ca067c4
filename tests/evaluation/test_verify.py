"""Verification accepts what a test script saved, wherever the checkpoint lies, and no change of it."""

import dataclasses
import shutil
import sys

import numpy as np
import pytest
import torch
from torch import nn

from cxr14 import script as script_entry
from cxr14.evaluation import verify as verification
from cxr14.evaluation.operating_points import OPERATING_POINTS_FILE
from cxr14.evaluation.results import METRICS_FILE, Results, choose_operating_points
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from cxr14.runtime import devices
from cxr14.settings import ROOT, VerifySettings
from tests.conftest import run_python
from tests.evaluation.edited_results import CHANGES, TEST_FILE, VAL_FILE
from tests.in_process import run_script


def save_untrained(path, seed=0):
    """Save EEEA-Net-C2 with weights that make its predictions differ between radiographs."""
    torch.manual_seed(seed)
    model = zoo.build(zoo.NAMES[0], pretrained=False, image_size=64)
    with torch.no_grad():
        # Logits of an untrained network lie near 0.001, those of a trained one near 1.
        model.classifier.weight *= 1000
    about = checkpoint.About(network=zoo.NAMES[0], image_size=64)
    checkpoint.save(path, model.state_dict(), about)


def run_test(phantoms, ckpt_path, results_dir, *words):
    """Run test-model.py of stage 1."""
    labels = phantoms / "labels"
    ended = run_script(
        *(ROOT / zoo.NAMES[0] / "test-model.py", "--data-dir", phantoms / "images"),
        *("--val-image-list", labels / "val_list.txt", "--test-image-list", labels / "test_list.txt"),
        *("--ckpt-path", ckpt_path, "--results-dir", results_dir, "--device", "cpu", *words),
    )
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def tested(phantoms, tmp_path_factory):
    """A checkpoint with the results of a test with ten crops, and then of one with one crop."""
    folder = tmp_path_factory.mktemp("tested")
    save_untrained(folder / "stage" / "model1.pth")
    (folder / "stage" / "notes.pth").write_text("a file of another kind")
    before = (folder / "stage" / "model1.pth").read_bytes()
    run_test(phantoms, folder / "stage" / "model1.pth", folder / "results" / "ten", "--crops", 10)
    run_test(phantoms, folder / "stage" / "model1.pth", folder / "one", "--crops", 1)
    assert (folder / "stage" / "model1.pth").read_bytes() == before
    return folder


@pytest.fixture
def copied(tested, tmp_path):
    """A copy of checkpoint and results that a test may change."""
    return shutil.copytree(tested, tmp_path / "tested")


def verify(folder, phantoms, *words, monkeypatch):
    """Run verify-results.py's entry in this process; return its exit status."""
    labels = phantoms / "labels"
    flags = ["--results-dir", folder / "results", "--ckpt-path", folder, "--data-dir", phantoms / "images"]
    flags += ["--test-image-list", labels / "test_list.txt", "--val-image-list", labels / "val_list.txt"]
    flags += ["--device", "cpu", "--num-workers", 0, *words]
    monkeypatch.setattr(sys, "argv", ["verify-results.py", *map(str, flags)])
    names = ("RESULTS_DIR", "CKPT_PATH", "DATA_DIR", "TEST_IMAGE_LIST", "VAL_IMAGE_LIST")
    script = {"__file__": str(ROOT / "verify-results.py"), **dict.fromkeys(names, ".")}
    with pytest.raises(SystemExit) as ended, script_entry.run(VerifySettings, script) as settings:
        verification.verify(settings)
    return ended.value.code


@pytest.mark.slow
def test_script_reproduces_results_and_changes_no_file(tested, phantoms):
    """After a second test with other crops, both results are accepted."""
    before = {path: path.read_bytes() for path in tested.rglob("*") if path.is_file()}
    labels = phantoms / "labels"
    ended = run_python(
        *("verify-results.py", "--results-dir", tested, "--ckpt-path", tested),
        *("--data-dir", phantoms / "images", "--test-image-list", labels / "test_list.txt"),
        *("--val-image-list", labels / "val_list.txt", "--device", "cpu", "--batch-size", 7),
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    here = devices.describe(torch.device("cpu"))
    assert f"10 crops; first tested on {here}, again on {here}" in ended.stdout
    assert ended.stdout.endswith("2 of 2 results are reproduced.\n")
    assert {path: path.read_bytes() for path in tested.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_checkpoint_is_found_under_another_name(copied, phantoms, monkeypatch):
    (copied / "elsewhere").mkdir()
    (copied / "stage" / "model1.pth").rename(copied / "elsewhere" / "kept.pth")
    save_untrained(copied / "stage" / "model1.pth", seed=1)
    assert verify(copied, phantoms, monkeypatch=monkeypatch) == 0


@pytest.mark.slow
def test_checkpoint_saved_again_with_the_same_weights_is_found(copied, phantoms, monkeypatch):
    path = copied / "stage" / "model1.pth"
    before, saved = path.read_bytes(), checkpoint.read(path)
    checkpoint.save(path, saved.weights, dataclasses.replace(saved.about, device="another CPU"))
    assert path.read_bytes() != before
    assert verify(copied, phantoms, monkeypatch=monkeypatch) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_changed_results_are_not_reproduced(name, copied, phantoms, monkeypatch, capsys):
    change, message = CHANGES[name]
    change(copied)
    assert verify(copied, phantoms, monkeypatch=monkeypatch) == 1
    stdout = capsys.readouterr().out
    verdict = next(line for line in stdout.splitlines() if line.startswith("NOT reproduced"))
    assert message in verdict
    assert stdout.endswith("0 of 1 results are reproduced.\n")


@pytest.mark.slow
@pytest.mark.parametrize("split", ["val", "test"])
def test_consistently_changed_results_are_not_reproduced(split, copied, phantoms, monkeypatch, capsys):
    """Files that agree with one another, but not with the checkpoint."""
    folder = copied / "results" / "ten"
    saved = Results.load(folder)
    changed = {part.split: part for part in (saved.val, saved.test)}
    logits = changed[split].logits + 0.05
    changed[split] = dataclasses.replace(
        changed[split], logits=logits, probabilities=1 / (1 + np.exp(-logits))
    )
    points = choose_operating_points(changed["val"], "youden", None, 10)
    Results(changed["val"], changed["test"], points).save(folder)
    assert verify(copied, phantoms, monkeypatch=monkeypatch) == 1
    assert f"NOT reproduced: Atelectasis ({split} list)" in capsys.readouterr().out


@pytest.mark.slow
def test_results_without_a_defined_auroc_are_not_reproduced(phantoms, tmp_path, monkeypatch, capsys):
    """A test list without any positive leaves nothing to compare."""
    lists = tmp_path / "set" / "labels"
    lists.mkdir(parents=True)
    shutil.copy(phantoms / "labels" / "val_list.txt", lists)
    lines = (phantoms / "labels" / "test_list.txt").read_text().splitlines()
    negatives = [f"{line.split()[0]}{' 0' * len(FINDINGS)}\n" for line in lines]
    (lists / "test_list.txt").write_text("".join(negatives))
    (tmp_path / "set" / "images").symlink_to(phantoms / "images")
    save_untrained(tmp_path / "model1.pth")
    run_test(tmp_path / "set", tmp_path / "model1.pth", tmp_path / "results", "--crops", 1)
    assert verify(tmp_path, tmp_path / "set", monkeypatch=monkeypatch) == 1
    assert "there is nothing to compare" in capsys.readouterr().out


@pytest.mark.slow
def test_tensorfloat32_is_not_reproduced(copied, phantoms, monkeypatch, capsys):
    """Convolutions whose inputs are rounded to the 10 bits of TF32 differ by more than either tolerance."""
    forward = nn.Conv2d.forward

    def forward_rounded(self, images):
        weight = self.weight
        self.weight = nn.Parameter(to_tf32(weight.detach()), requires_grad=False)
        try:
            return forward(self, to_tf32(images))
        finally:
            self.weight = weight

    monkeypatch.setattr(nn.Conv2d, "forward", forward_rounded)
    monkeypatch.setattr(verification, "CPU_TOLERANCE", verification.GPU_TOLERANCE)
    assert verify(copied, phantoms, monkeypatch=monkeypatch) == 1
    assert "NOT reproduced: " in capsys.readouterr().out


def to_tf32(values):
    """Round float32 to the 10 explicit bits of TF32's significand, ties away from zero."""
    return ((values.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: save_untrained(folder / "stage" / "model1.pth", seed=1), "has the weights behind"),
        (lambda folder: (folder / "stage" / "model1.pth").unlink(), "has the weights behind"),
        (lambda folder: (folder / "results" / "ten" / TEST_FILE).unlink(), "no predictions below"),
        (lambda folder: (folder / "results" / "ten" / VAL_FILE).unlink(), "there are no predictions at"),
        (lambda folder: (folder / "results" / "ten" / TEST_FILE).write_bytes(b"PK"), "not a readable file"),
        (lambda folder: (folder / "results" / "ten" / METRICS_FILE).unlink(), "no table of metrics"),
        (lambda folder: (folder / "results" / "ten" / METRICS_FILE).write_text("a,b\n1,2\n"), METRICS_FILE),
        (
            lambda folder: (folder / "results" / "ten" / OPERATING_POINTS_FILE).write_text("{"),
            "not a readable file of operating points",
        ),
    ],
    ids=[
        "trained again",
        "no checkpoint",
        "no test predictions",
        "no validation predictions",
        "damaged predictions",
        "no metrics",
        "another table",
        "damaged operating points",
    ],
)
def test_missing_or_damaged_file_raises_input_error(change, message, copied, phantoms, monkeypatch, capsys):
    change(copied)
    assert verify(copied, phantoms, monkeypatch=monkeypatch) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.count("\n") == 1
    assert not output.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--test-image-list", "labels/val_list.txt", "another test list"),
        ("--val-image-list", "labels/test_list.txt", "another val list"),
        ("--ckpt-path", "nowhere", "no checkpoint and no folder"),
        ("--data-dir", "nowhere", "there is no folder"),
    ],
)
def test_wrong_path_raises_input_error(flag, value, message, tested, phantoms, monkeypatch, capsys):
    assert verify(tested, phantoms, flag, phantoms / value, monkeypatch=monkeypatch) == 2
    stderr = capsys.readouterr().err
    assert message in stderr
    assert stderr.count("\n") == 1
