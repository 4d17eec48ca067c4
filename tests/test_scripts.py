"""The scripts as people run them, with correct and with wrong input."""

import io
import shutil
from contextlib import redirect_stdout

import pytest
import torch

from cxr14.evaluation.operating_points import OperatingPoints
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from cxr14.runtime import devices
from cxr14.settings import ROOT
from tests.conftest import run_here, run_python

KD = ROOT / "6-Distilling-to-EEEA-Net-C2"
TINY = ("--image-size", 64, "--num-epochs", 1, "--no-pretrained", "--device", "cpu")


def data_flags(folder):
    """Return the flags that point a script at a prepared folder."""
    return (
        *("--data-dir", folder / "images"),
        *("--train-image-list", folder / "labels" / "train_list.txt"),
        *("--val-image-list", folder / "labels" / "val_list.txt"),
    )


def flags_of_test(folder):
    """Return the flags that point a test script at a prepared folder."""
    labels = folder / "labels"
    lists = ("--val-image-list", labels / "val_list.txt", "--test-image-list", labels / "test_list.txt")
    return ("--data-dir", folder / "images", *lists, "--device", "cpu")


def run_from_its_folder(script, *words, own_process):
    """Run a script that has to succeed, in a process of its own or in this one; return what it prints."""
    if own_process:
        ended = run_python(script.name, *words, cwd=script.parent)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout
    with pytest.MonkeyPatch.context() as monkeypatch, redirect_stdout(io.StringIO()) as stdout:
        monkeypatch.chdir(script.parent)
        assert run_here(script, *words, monkeypatch=monkeypatch) == 0
    return stdout.getvalue()


@pytest.fixture(scope="session")
def trained(phantoms, tmp_path_factory):
    """One tiny epoch of all five networks, each by its own script: the folder of their checkpoints."""
    folder = tmp_path_factory.mktemp("trained")
    for number, name in enumerate(zoo.NAMES, start=1):
        flags = (*data_flags(phantoms), *TINY, "--batch-size", 16)
        flags += ("--ckpt-path", folder / f"model{number}.pth")
        script = ROOT / name / "train-model.py"
        # One as people run it; the others without another import of torch.
        stdout = run_from_its_folder(script, *flags, own_process=number == 1)
        assert "Best epoch 1 of 1" in stdout
    return folder


@pytest.mark.slow
def test_every_network_trains_one_epoch(trained):
    for number in range(1, len(zoo.NAMES) + 1):
        assert (trained / f"model{number}.pth").is_file()
        assert (trained / f"model{number}.log.csv").read_text().startswith("epoch,train_loss")
        about = checkpoint.read(trained / f"model{number}.pth").about
        assert about.device == devices.describe(torch.device("cpu"))
        assert about.versions.keys() == {"python", "torch", "timm", "cxr14", "revision"}
        assert about.splits.keys() == {"train", "val"}
        assert about.settings["image_size"] == 64


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 6))
def test_every_teacher_is_distilled_for_one_epoch(number, trained, phantoms, tmp_path):
    flags = (*data_flags(phantoms), *TINY, "--batch-size", 16, "--ckpt-path", tmp_path / "taught.pth")
    flags += (
        "--teacher-ckpt-path",
        trained / f"model{number}.pth",
        "--student-ckpt-path",
        trained / "model1.pth",
    )
    loss = ("--distill-loss", "study" if number % 2 else "bernoulli")
    own_process = number == 1
    run_from_its_folder(KD / f"train-kd{number}-model.py", *flags, *loss, own_process=own_process)
    results = tmp_path / "results"
    flags = (*flags_of_test(phantoms), "--ckpt-path", tmp_path / "taught.pth", "--results-dir", results)
    rule = ("--threshold-rule", "sensitivity", "--target-sensitivity", 0.8) if number == 2 else ()
    flags += ("--crops", 1, *rule)
    stdout = run_from_its_folder(KD / f"test-kd{number}-model.py", *flags, own_process=own_process)
    points = OperatingPoints.load(results / "operating-points.json")
    assert points.threshold_rule == ("sensitivity" if rule else "youden")
    assert points.findings == FINDINGS
    assert points.weights_hash == checkpoint.read(tmp_path / "taught.pth").weights_hash
    assert "synthetic radiographs" in stdout


@pytest.mark.slow
def test_student_of_several_teachers_is_tested_by_its_own_script_alone(
    phantoms, tmp_path, monkeypatch, capsys
):
    model = zoo.build(zoo.NAMES[0], pretrained=False, image_size=64)
    about = checkpoint.About(network=zoo.NAMES[0], image_size=64, teacher="2-OFA-595+3-CheXNet")
    checkpoint.save(tmp_path / "taught.pth", model.state_dict(), about)
    results = tmp_path / "results" / "6-Distilling-to-EEEA-Net-C2" / "kdall"
    flags = (*flags_of_test(phantoms), "--ckpt-path", tmp_path / "taught.pth", "--results-dir", results)
    flags = (*flags, "--crops", 1, "--num-workers", 0)
    assert run_here(KD / "test-kd3-model.py", *flags, monkeypatch=monkeypatch) == 2
    assert (
        "taught by 2-OFA-595+3-CheXNet, but this script tests one taught by 3-CheXNet"
        in capsys.readouterr().err
    )
    assert run_here(KD / "test-kdall-model.py", *flags, monkeypatch=monkeypatch) == 0
    assert OperatingPoints.load(results / "operating-points.json").teacher == "2-OFA-595+3-CheXNet"


@pytest.fixture
def copied(phantoms, tmp_path):
    """A copy of the prepared phantoms that a test may damage: plain files instead of the packed store."""
    shutil.copytree(phantoms / "source" / "images", tmp_path / "set" / "images")
    shutil.copytree(phantoms / "labels", tmp_path / "set" / "labels")
    return tmp_path / "set"


def train_on(folder, tmp_path, monkeypatch, *words):
    """Train stage 1 on a damaged set; return the exit status and whether it left any file."""
    place = tmp_path / "left"
    flags = (*data_flags(folder), *TINY, "--ckpt-path", place / "model1.pth", *words)
    status = run_here(ROOT / zoo.NAMES[0] / "train-model.py", *flags, monkeypatch=monkeypatch)
    return status, place.exists() and any(place.iterdir())


def rewrite_list(folder, change):
    """Rewrite each line of the training list."""
    path = folder / "labels" / "train_list.txt"
    path.write_text("".join(change(line) + "\n" for line in path.read_text().splitlines()))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: [path.unlink() for path in (folder / "images").iterdir()], "make-phantoms.py"),
        (lambda folder: rewrite_list(folder, lambda line: line.split()[0]), "prepare.py"),
        (lambda folder: rewrite_list(folder, lambda line: line[:-2]), "has 13 labels"),
        (lambda folder: rewrite_list(folder, lambda line: line + " 0"), "has 15 labels"),
        (lambda folder: rewrite_list(folder, lambda line: "no_" + line), "radiographs in"),
        (lambda folder: (folder / "labels" / "val_list.txt").unlink(), "does not exist"),
        (
            lambda folder: shutil.copy(folder / "labels/train_list.txt", folder / "labels/val_list.txt"),
            "patients are in both",
        ),
    ],
    ids=[
        "no images",
        "names only",
        "13 columns",
        "15 columns",
        "missing images",
        "no list",
        "patient in two lists",
    ],
)
def test_damaged_set_raises_input_error(damage, message, copied, tmp_path, monkeypatch, capsys):
    damage(copied)
    status, left = train_on(copied, tmp_path, monkeypatch)
    stderr = capsys.readouterr().err
    assert status == 2
    assert message in stderr
    assert stderr.count("\n") == 1
    assert not left


def test_truncated_image_read_by_another_process_is_named(copied, tmp_path, monkeypatch, capsys):
    name = (copied / "labels" / "train_list.txt").read_text().split()[0]
    path = copied / "images" / name
    path.write_bytes(path.read_bytes()[:300])
    status, left = train_on(copied, tmp_path, monkeypatch, "--num-workers", 1, "--batch-size", 8)
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert status == 2
    assert last_line.startswith("error: ")
    assert name in last_line
    assert not left


def test_missing_or_corrupt_checkpoint_is_not_scored(phantoms, tmp_path, monkeypatch, capsys):
    corrupt = tmp_path / "corrupt.pth"
    corrupt.write_bytes(b"not a checkpoint")
    for path, words in ((tmp_path / "none.pth", "there is no checkpoint"), (corrupt, "corrupt.pth")):
        flags = (*flags_of_test(phantoms), "--ckpt-path", path, "--results-dir", tmp_path / "results")
        status = run_here(ROOT / zoo.NAMES[0] / "test-model.py", *flags, monkeypatch=monkeypatch)
        assert status == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_threshold_rule_without_target_raises_input_error_first(tmp_path, monkeypatch, capsys):
    script = ROOT / zoo.NAMES[0] / "test-model.py"
    flags = ("--ckpt-path", tmp_path / "none.pth", "--threshold-rule", "sensitivity")
    assert run_here(script, *flags, monkeypatch=monkeypatch) == 2
    assert "the rule sensitivity needs a target" in capsys.readouterr().err


@pytest.mark.slow
def test_checkpoint_of_another_network_raises_input_error(trained, phantoms, tmp_path, monkeypatch, capsys):
    flags = (*flags_of_test(phantoms), "--results-dir", tmp_path / "results", "--ckpt-path")
    status = run_here(
        ROOT / zoo.NAMES[0] / "test-model.py", *flags, trained / "model3.pth", monkeypatch=monkeypatch
    )
    assert status == 2
    assert "holds 3-CheXNet, but this stage is 1-EEEA-Net-C2" in capsys.readouterr().err
    status = run_here(KD / "test-kd3-model.py", *flags, trained / "model1.pth", monkeypatch=monkeypatch)
    assert status == 2
    assert "taught by labels alone" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_unknown_flag_exits_with_status_2(tmp_path, monkeypatch, capsys):
    status = run_here(ROOT / zoo.NAMES[0] / "train-model.py", "--batchsize", 4, monkeypatch=monkeypatch)
    assert status == 2
    assert "batchsize" in capsys.readouterr().err
