"""Figures come out again, or not: a real test's results, asked about once more, and spoilt in every way."""

import dataclasses
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from cxr14 import script as script_entry
from cxr14.evaluation import verify as verification
from cxr14.evaluation.predictions import Predictions
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from cxr14.runtime import devices
from cxr14.settings import ROOT, VerifySettings
from tests.conftest import run_python

PREDICTIONS, METRICS = "predictions-test.npz", "metrics.csv"


def predictions(labels, probabilities):
    """Return answers to radiographs that have no other meaning."""
    names = np.array([f"{row:08d}_000.png" for row in range(len(labels))])
    return Predictions(
        names=names,
        patients=names,
        labels=labels,
        probabilities=probabilities,
        logits=np.log(probabilities / (1 - probabilities)),
        split="test",
        network=zoo.NAMES[0],
        teacher=None,
        checkpoint_fingerprint="",
        list_fingerprint="",
    )


@pytest.fixture
def answered():
    """60 radiographs with 14 findings, Hernia never."""
    draw = np.random.default_rng(4)
    labels = (draw.random((60, len(FINDINGS))) < 0.4).astype(np.uint8)
    labels[:, -1] = 0
    return predictions(labels, draw.uniform(0.01, 0.99, labels.shape))


def moved(answered, finding):
    """Let the surest negative of a finding fall to the bottom: its AUROC rises by a known step or more."""
    probabilities = answered.probabilities.copy()
    negatives = np.flatnonzero(answered.labels[:, finding] == 0)
    surest = negatives[probabilities[negatives, finding].argmax()]
    probabilities[surest, finding] = 0.001
    return predictions(answered.labels, probabilities)


def test_what_is_the_same_comes_out(answered):
    table = verification.compare(answered, answered, 0)
    assert list(table.index) == [*FINDINGS, "mean"]
    assert table[verification.COMES_OUT].all()
    assert np.isnan(table.loc["Hernia", verification.AGAIN])


def test_one_finding_that_moved_takes_the_mean_along(answered):
    table = verification.compare(answered, moved(answered, 4), 1e-6)
    failed = table.index[~table[verification.COMES_OUT]]
    assert list(failed) == [FINDINGS[4], "mean"]
    step = table.loc[FINDINGS[4], verification.DIFFERENCE]
    assert table.loc["mean", verification.DIFFERENCE] == pytest.approx(step / (len(FINDINGS) - 1))
    assert verification.compare(answered, moved(answered, 4), step + 1e-9)[verification.COMES_OUT].all()
    assert not verification.compare(answered, moved(answered, 4), step - 1e-9)[verification.COMES_OUT].all()


def test_a_table_that_says_something_else_does_not_come_out(answered):
    told = verification.compare(answered, answered, 0)[verification.SAVED].to_numpy()[:-1]
    assert verification.compare(answered, answered, 0, told)[verification.COMES_OUT].all()
    better = told.copy()
    better[2] += 0.01
    table = verification.compare(answered, answered, 2e-3, better)
    assert list(table.index[~table[verification.COMES_OUT]]) == [FINDINGS[2]]
    defined = told.copy()
    defined[-1] = 0.9  # an AUROC where there cannot be one
    assert not verification.compare(answered, answered, 2e-3, defined).loc["Hernia", verification.COMES_OUT]


@pytest.fixture(scope="module")
def tested(phantoms, tmp_path_factory):
    """A checkpoint, untrained but with scattered answers, as test-model.py leaves it with its results."""
    folder = tmp_path_factory.mktemp("tested")
    torch.manual_seed(0)
    model = zoo.build(zoo.NAMES[0], pretrained=False, image_size=64)
    about = checkpoint.About(network=zoo.NAMES[0], image_size=64)
    checkpoint.save(folder / "stage" / "model1.pth", model.state_dict(), about)
    labels = phantoms / "labels"
    ended = run_python(
        *(ROOT / zoo.NAMES[0] / "test-model.py", "--data-dir", phantoms / "images"),
        *("--val-image-list", labels / "val_list.txt", "--test-image-list", labels / "test_list.txt"),
        *("--ckpt-path", folder / "stage" / "model1.pth", "--results-dir", folder / "results" / "one"),
        *("--crops", 10, "--device", "cpu"),
    )
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture
def spoilable(tested, tmp_path):
    """A copy of checkpoint and results that a test may change."""
    return shutil.copytree(tested, tmp_path / "tested")


def verify(folder, phantoms, *words, monkeypatch):
    """Run what verify-results.py runs, in this process; return its exit status."""
    flags = ["--results-dir", folder / "results", "--ckpt-path", folder, "--data-dir", phantoms / "images"]
    flags += ["--test-image-list", phantoms / "labels" / "test_list.txt", "--device", "cpu", *words]
    monkeypatch.setattr(sys, "argv", ["verify-results.py", *map(str, flags)])
    script = {"__file__": str(ROOT / "verify-results.py")}
    script |= dict.fromkeys(("RESULTS_DIR", "CKPT_PATH", "DATA_DIR", "TEST_IMAGE_LIST"), ".")
    with pytest.raises(SystemExit) as ended, script_entry.run(VerifySettings, script) as settings:
        verification.verify(settings)
    return ended.value.code


@pytest.mark.slow
def test_the_script_finds_its_figures_again(tested, phantoms):
    before = {path: path.read_bytes() for path in tested.rglob("*") if path.is_file()}
    ended = run_python(
        *("verify-results.py", "--results-dir", tested / "results", "--ckpt-path", tested / "stage"),
        *("--data-dir", phantoms / "images", "--test-image-list", phantoms / "labels" / "test_list.txt"),
        *("--device", "cpu", "--batch-size", 7),
        OMP_NUM_THREADS="1",
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    here = devices.describe(torch.device("cpu"))
    assert f"10 crops; measured on {here}, again on {here}: AUROC may differ by 1e-06" in ended.stdout
    assert ended.stdout.endswith("1 of 1 results come out again.\n")
    assert {path: path.read_bytes() for path in tested.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_changed_predictions_do_not_come_out(spoilable, phantoms, monkeypatch, capsys):
    path = spoilable / "results" / "one" / PREDICTIONS
    saved = Predictions.load(path)
    dataclasses.replace(saved, probabilities=saved.probabilities[::-1], logits=saved.logits[::-1]).save(path)
    assert verify(spoilable, phantoms, monkeypatch=monkeypatch) == 1
    assert "0 of 1 results come out again" in capsys.readouterr().out


@pytest.mark.slow
def test_a_changed_table_does_not_come_out(spoilable, phantoms, monkeypatch, capsys):
    path = spoilable / "results" / "one" / METRICS
    table = pd.read_csv(path, index_col="finding")
    table.loc["Effusion", "AUROC"] += 0.004
    table.to_csv(path)
    assert verify(spoilable, phantoms, monkeypatch=monkeypatch) == 1
    assert "Does NOT come out again: Effusion, mean." in capsys.readouterr().out


@pytest.mark.slow
def test_another_device_is_allowed_more(spoilable, phantoms, monkeypatch, capsys):
    path = spoilable / "results" / "one" / PREDICTIONS
    saved = Predictions.load(path)
    dataclasses.replace(saved, about=saved.about | {"device": "Abacus"}).save(path)
    assert verify(spoilable, phantoms, monkeypatch=monkeypatch) == 0
    here = devices.describe(torch.device("cpu"))
    assert f"measured on Abacus, again on {here}: AUROC may differ by 0.002" in capsys.readouterr().out


def retrain(folder, phantoms):
    """Put other weights in the checkpoint's place."""
    path = folder / "stage" / "model1.pth"
    held = checkpoint.read(path)
    checkpoint.save(path, {name: value * 0 for name, value in held.weights.items()}, held.about)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (retrain, "the checkpoint behind"),
        (lambda folder, phantoms: (folder / "stage" / "model1.pth").unlink(), "the checkpoint behind"),
        (
            lambda folder, phantoms: (folder / "results" / "one" / PREDICTIONS).unlink(),
            "no predictions below",
        ),
        (
            lambda folder, phantoms: (folder / "results" / "one" / PREDICTIONS).write_bytes(b"PK"),
            "not a readable file",
        ),
        (lambda folder, phantoms: (folder / "results" / "one" / METRICS).write_text("a,b\n1,2\n"), METRICS),
    ],
    ids=["trained again", "no checkpoint", "no predictions", "damaged predictions", "another table"],
)
def test_what_is_not_the_same_is_a_sentence(spoil, words, spoilable, phantoms, monkeypatch, capsys):
    spoil(spoilable, phantoms)
    assert verify(spoilable, phantoms, monkeypatch=monkeypatch) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert told.err.count("\n") == 1
    assert not told.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--test-image-list", "labels/val_list.txt", "another image list"),
        ("--ckpt-path", "nowhere", "no checkpoint and no folder"),
        ("--data-dir", "nowhere", "there is no folder"),
    ],
)
def test_a_wrong_path_is_a_sentence(flag, value, words, tested, phantoms, monkeypatch, capsys):
    assert verify(tested, phantoms, flag, phantoms / value, monkeypatch=monkeypatch) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
