"""Test scripts: what they refuse, save and leave unchanged, and when they skip a finished test."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from cxr14.data import provenance
from cxr14.data.image_lists import read_list
from cxr14.data.provenance import MAY_HAVE_SEEN_TEST_PATIENTS, Provenance
from cxr14.errors import InputError
from cxr14.evaluation import calibration, command, inference
from cxr14.evaluation.operating_points import OPERATING_POINTS_FILE, OperatingPoints
from cxr14.evaluation.predictions import Predictions
from cxr14.evaluation.results import METRICS_FILE
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint
from cxr14.settings import TestSettings
from tests.conftest import run_python
from tests.toy import toy_network

NETWORK, SIZE = "toy", 32


class Toy(nn.Module):
    """The toy network, with the method of timm's networks that loading needs."""

    def __init__(self):
        super().__init__()
        self.layers = toy_network()

    def forward(self, images):
        return self.layers(images)

    def get_classifier(self):
        return self.layers[-1]


def build_toy(**_how):
    return Toy()


def save_checkpoint(path, origin=None, *, epoch=1, seed=1, **about):
    """Save a toy network whose weights depend on the seed."""
    toy = Toy()
    torch.manual_seed(seed)
    for parameter in toy.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape)
    about = checkpoint.About(network=NETWORK, image_size=SIZE, epoch=epoch, **about)
    checkpoint.save(path, toy.state_dict(), about, origin)


@pytest.fixture
def settings_of(phantoms, tmp_path):
    """Settings of a test of tmp_path/toy.pth on the phantoms."""

    def make(**changes):
        values = {
            "data_dir": phantoms / "images",
            "val_image_list": phantoms / "labels" / "val_list.txt",
            "test_image_list": phantoms / "labels" / "test_list.txt",
            "ckpt_path": tmp_path / "toy.pth",
            "results_dir": tmp_path / "results",
            "batch_size": 16,
            "num_workers": 0,
            "crops": 1,
            "device": "cpu",
        }
        settings = TestSettings(**(values | changes))
        settings.folder = tmp_path / NETWORK
        return settings

    return make


@pytest.fixture
def lists(phantoms):
    return {name: read_list(phantoms / "labels" / f"{name}_list.txt") for name in ("train", "val", "test")}


def files_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_results_hold_predictions_operating_points_and_metrics(settings_of, lists, capsys):
    settings = settings_of(threshold_rule="sensitivity", target_sensitivity=0.8)
    save_checkpoint(settings.ckpt_path, provenance.of_lists(lists["train"], lists["val"]))
    before = settings.ckpt_path.read_bytes()
    command.score(build_toy, settings)
    assert settings.ckpt_path.read_bytes() == before
    weights_hash = checkpoint.read(settings.ckpt_path).weights_hash
    points = OperatingPoints.load(settings.results_dir / OPERATING_POINTS_FILE)
    assert points.weights_hash == weights_hash
    assert points.val_list_fingerprint == lists["val"].fingerprint
    assert (points.crops, points.threshold_rule, points.target_sensitivity) == (1, "sensitivity", 0.8)
    val = Predictions.load(settings.results_dir / "predictions-val.npz")
    assert val.weights_hash == weights_hash
    np.testing.assert_array_equal(points.thresholds, calibration.choose_thresholds(val, "sensitivity", 0.8))
    table = pd.read_csv(settings.results_dir / METRICS_FILE, index_col="finding")
    assert list(table.index) == list(FINDINGS)
    assert "warning" not in table
    stdout = capsys.readouterr().out
    assert "The average AUROC is 0." in stdout
    assert MAY_HAVE_SEEN_TEST_PATIENTS not in stdout


def test_newer_epoch_saved_during_the_test_is_kept(settings_of):
    settings = settings_of()
    save_checkpoint(settings.ckpt_path, epoch=3)
    tested = checkpoint.read(settings.ckpt_path).weights_hash

    def build_while_training_goes_on(**how):
        save_checkpoint(settings.ckpt_path, epoch=4, seed=2)  # after the checkpoint has been read
        return build_toy(**how)

    command.score(build_while_training_goes_on, settings)
    assert checkpoint.read(settings.ckpt_path).about.epoch == 4
    predictions = Predictions.load(settings.results_dir / "predictions-test.npz")
    assert predictions.about["epoch"] == 3
    assert predictions.weights_hash == tested


@pytest.mark.parametrize("missing", ["nothing", "training list"])
def test_patients_of_the_training_are_not_tested(missing, phantoms, settings_of, tmp_path):
    """Lists that are made again with another seed put patients of the training list into the test list."""
    again = tmp_path / "again"
    words = ("--source", phantoms / "source", "--out", again, "--size", 73, "--split", "patient", "--seed", 5)
    made = run_python("ChestX-ray14/prepare.py", *words)
    assert made.returncode == 0, made.stderr
    first = tmp_path / "labels"
    shutil.copytree(phantoms / "labels", first)
    settings = settings_of(
        test_image_list=again / "labels" / "test_list.txt", val_image_list=again / "labels" / "val_list.txt"
    )
    train, val = read_list(first / "train_list.txt"), read_list(first / "val_list.txt")
    about = {
        "settings": {"train_image_list": str(first / "train_list.txt")},
        "splits": {"train": train.fingerprint},
    }
    save_checkpoint(settings.ckpt_path, provenance.of_lists(train, val), **about)
    if missing == "training list":
        (first / "train_list.txt").unlink()
    shared = set(read_list(settings.test_image_list).patients) & {*train.patients, *val.patients}
    with pytest.raises(InputError, match=rf"^{len(shared)} of the .* were used to train or select"):
        command.score(build_toy, settings)
    assert shared
    assert not settings.results_dir.exists()


def test_patients_inherited_from_a_teacher_are_not_tested(settings_of, lists):
    settings = settings_of()
    own = provenance.of_lists(lists["train"], lists["val"])
    save_checkpoint(settings.ckpt_path, own.merged(provenance.of_lists(lists["test"], lists["val"])))
    with pytest.raises(InputError, match="were used to train or select"):
        command.score(build_toy, settings)


def test_test_list_that_selected_the_epoch_is_refused(settings_of, lists):
    settings = settings_of()
    save_checkpoint(settings.ckpt_path, provenance.of_lists(lists["train"], lists["test"]))
    with pytest.raises(InputError, match="were used to train or select"):
        command.score(build_toy, settings)


def test_validation_list_with_training_patients_is_refused(settings_of, lists):
    settings = settings_of()
    save_checkpoint(settings.ckpt_path, provenance.of_lists(lists["val"], lists["train"]))
    with pytest.raises(InputError, match=r"val_list\.txt were used to train"):
        command.score(build_toy, settings)


def assert_marked(settings, name, capsys):
    """Check that table, predictions and output say that the weights may have seen test patients."""
    assert f"{name} {MAY_HAVE_SEEN_TEST_PATIENTS}" in capsys.readouterr().out
    table = pd.read_csv(settings.results_dir / METRICS_FILE, index_col="finding")
    assert set(table["warning"]) == {MAY_HAVE_SEEN_TEST_PATIENTS}
    for split in ("val", "test"):
        saved = Predictions.load(settings.results_dir / f"predictions-{split}.npz")
        assert saved.about["unknown_origin"] == [name]
    assert OperatingPoints.load(settings.results_dir / OPERATING_POINTS_FILE).unknown_origin == (name,)


def test_published_weights_need_permission_and_are_marked(settings_of, tmp_path, capsys):
    path = tmp_path / "published.pth.tar"
    torch.save({"state_dict": Toy().state_dict()}, path)
    with pytest.raises(InputError, match=r"patients .* not known.*--allow-unknown-origin"):
        command.score(build_toy, settings_of(ckpt_path=path))
    assert not settings_of().results_dir.exists()
    command.score(build_toy, settings_of(ckpt_path=path, allow_unknown_origin=True))
    assert_marked(settings_of(), "published.pth.tar", capsys)


def test_checkpoint_with_unknown_ancestors_is_tested_and_marked(settings_of, lists, capsys):
    settings = settings_of()
    origin = provenance.of_lists(lists["train"], lists["val"])
    save_checkpoint(settings.ckpt_path, origin.merged(Provenance(unknown=("model.pth.tar",))))
    command.score(build_toy, settings)
    assert_marked(settings, "model.pth.tar", capsys)


@pytest.fixture
def never_predict(monkeypatch):
    """Let any prediction fail the test from now on."""

    def forbid():
        def predict(*_, **__):
            raise AssertionError("a finished test was repeated")

        monkeypatch.setattr(inference, "predict", predict)

    return forbid


def test_finished_test_is_not_repeated(settings_of, never_predict, capsys):
    settings = settings_of()
    save_checkpoint(settings.ckpt_path)
    command.score(build_toy, settings)
    before, first = files_in(settings.results_dir), capsys.readouterr().out
    never_predict()
    command.score(build_toy, settings)
    notice, _, again = capsys.readouterr().out.partition("\n")
    assert "already holds the results" in notice
    assert "--retest" in notice
    assert again == first
    assert files_in(settings.results_dir) == before


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_metrics(settings):
    path = settings.results_dir / METRICS_FILE
    path.write_text(path.read_text().replace("Hernia", "Hernias"))


@pytest.mark.parametrize(
    "change",
    [
        lambda settings: {"retest": True},
        lambda settings: {"crops": 10},
        lambda settings: {"threshold_rule": "f1"},
        lambda settings: save_checkpoint(settings.ckpt_path, seed=2),
        lambda settings: save_checkpoint(settings.ckpt_path, Provenance(unknown=("model.pth.tar",))),
        lambda settings: (settings.results_dir / "predictions-val.npz").unlink(),
        lambda settings: (settings.results_dir / "predictions-test.npz").write_bytes(b"PK"),
        lambda settings: edit_json(settings.results_dir / OPERATING_POINTS_FILE, crops=3),
        edit_metrics,
    ],
    ids=[
        "retest",
        "other crops",
        "other rule",
        "other weights",
        "origin now unknown",
        "missing file",
        "damaged predictions",
        "damaged operating points",
        "other metrics",
    ],
)
def test_changed_test_is_repeated(change, settings_of, capsys):
    settings = settings_of()
    save_checkpoint(settings.ckpt_path)
    command.score(build_toy, settings)
    changes = change(settings)
    capsys.readouterr()
    changes = changes if isinstance(changes, dict) else {}
    command.score(build_toy, settings_of(**changes))
    assert "already holds" not in capsys.readouterr().out
    command.score(build_toy, settings_of(**(changes | {"retest": False})))
    assert "already holds" in capsys.readouterr().out


def test_other_list_repeats_the_test(settings_of, tmp_path, capsys):
    settings = settings_of()
    save_checkpoint(settings.ckpt_path)
    command.score(build_toy, settings)
    capsys.readouterr()
    shorter = tmp_path / "test_list.txt"
    shorter.write_text("".join(settings.test_image_list.read_text().splitlines(keepends=True)[:-1]))
    command.score(build_toy, settings_of(test_image_list=shorter))
    assert "already holds" not in capsys.readouterr().out
