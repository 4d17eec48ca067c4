"""Constants and flags become settings; unknown names, wrong types and wrong ranges are rejected."""

import os
import shutil
from pathlib import Path

import pytest

from cxr14 import script as script_entry
from cxr14 import settings
from cxr14.errors import InputError
from cxr14.settings import ROOT

SCRIPT = {
    "__file__": "/somewhere/3-CheXNet/train-model.py",
    "__doc__": "What it does.",
    "DATA_DIR": "../images",
    "TRAIN_IMAGE_LIST": "train.txt",
    "VAL_IMAGE_LIST": "val.txt",
    "CKPT_PATH": "model3.pth",
    "BATCH_SIZE": 4,
    "NUM_EPOCHS": 3,
    "LEARNING_RATE": 1e-3,
}


def read(changes=None, argv=()):
    return script_entry.read_settings(settings.TrainSettings, SCRIPT | (changes or {}), list(argv))


def test_constant_path_is_relative_to_the_script_and_flag_path_to_the_working_folder():
    assert read().data_dir == Path("/somewhere/images")
    assert read(argv=["--data-dir", "mine"]).data_dir == Path("mine")


def test_home_folder_is_known_in_constants_and_flags(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    home = Path("/home/someone")
    assert read({"INIT_CHECKPOINT": "~/start.pth"}).init_checkpoint == home / "start.pth"
    assert read(argv=["--init-checkpoint=~/start.pth"]).init_checkpoint == home / "start.pth"
    assert read(argv=["--init-checkpoint=~start.pth"]).init_checkpoint == Path("~start.pth")


def test_constant_path_that_may_be_none():
    assert read({"INIT_CHECKPOINT": "../start.pth"}).init_checkpoint == Path("/somewhere/start.pth")
    assert read({"INIT_CHECKPOINT": None}).init_checkpoint is None
    assert read(argv=["--init-checkpoint", "None"]).init_checkpoint is None


def test_flag_overrides_constant_and_constant_overrides_default():
    assert read().batch_size == 4
    assert read(argv=["--batch-size", "2"]).batch_size == 2
    assert read({"SEED": 7}).seed == 7
    assert read().seed == settings.TrainSettings.__dataclass_fields__["seed"].default


def test_no_pretrained_flag():
    assert read().pretrained
    assert not read(argv=["--no-pretrained"]).pretrained


def test_integer_is_accepted_for_a_float():
    assert read({"LEARNING_RATE": 1}).learning_rate == 1.0


@pytest.mark.parametrize(
    ("constant", "value"),
    [
        ("BATCH_SIZE", "four"),
        ("BATCH_SIZE", True),
        ("BATCH_SIZE", 4.5),
        ("DATA_DIR", 3),
        ("PRETRAINED", "yes"),
    ],
)
def test_constant_of_wrong_type_raises_input_error(constant, value):
    with pytest.raises(InputError, match=constant):
        read({constant: value})


def test_unknown_constant_raises_input_error():
    with pytest.raises(InputError, match="BATCHSIZE"):
        read({"BATCHSIZE": 4})


def test_missing_constant_raises_input_error():
    script = {name: value for name, value in SCRIPT.items() if name != "CKPT_PATH"}
    with pytest.raises(InputError, match="CKPT_PATH"):
        script_entry.read_settings(settings.TrainSettings, script, [])


def test_unknown_flag_raises_input_error_that_names_a_similar_one():
    with pytest.raises(InputError, match=r"--batchsize, 3; similar is --batch-size; --help lists all\.$"):
        read(argv=["--batchsize", "3"])


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--batch-size", "0"),
        ("--num-epochs", "0"),
        ("--learning-rate", "-1"),
        ("--image-size", "16"),
        ("--smallest-crop", "0"),
        ("--accumulate", "0"),
    ],
)
def test_number_out_of_range_raises_input_error(flag, value):
    with pytest.raises(InputError, match=flag[2:].replace("-", "_").upper()):
        read(argv=[flag, value])


def test_script_of_another_clone_raises_input_error(tmp_path):
    clone = tmp_path / "clone"
    (clone / "3-CheXNet").mkdir(parents=True)
    shutil.copytree(ROOT / "cxr14", clone / "cxr14", ignore=shutil.ignore_patterns("__pycache__"))
    path = clone / "3-CheXNet" / "train-model.py"
    with pytest.raises(InputError, match=rf"belongs to the clone {clone}.*setup\.sh"):
        read({"__file__": str(path)})
    assert read({"__file__": str(ROOT / "3-CheXNet" / "train-model.py")}).folder == ROOT / "3-CheXNet"


def test_folder_of_the_script_is_no_flag(capsys):
    with pytest.raises(SystemExit):
        read(argv=["--help"])
    assert "--folder" not in capsys.readouterr().out
    assert read().folder == Path("/somewhere/3-CheXNet")


def test_as_plain_returns_numbers_and_strings():
    assert all(
        isinstance(value, str | int | float | None) for value in script_entry.as_plain(read()).values()
    )


@pytest.mark.parametrize(
    ("constant", "flag"),
    [("TRAIN_IMAGE_LIST", "--train-image-list"), ("INIT_CHECKPOINT", "--init-checkpoint")],
)
def test_output_equal_to_an_input_raises_input_error(constant, flag, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    path = tmp_path / "model.pth"
    path.write_text("content")
    with pytest.raises(InputError, match=f"CKPT_PATH and {constant} are the same file"):
        read(argv=["--ckpt-path", str(tmp_path / "link" / "model.pth"), flag, str(path)])
    assert path.read_text() == "content"


def folder_in_place_of_a_file(folder):
    (folder / "model.pth").mkdir()
    return folder / "model.pth"


def file_in_place_of_a_folder(folder):
    (folder / "file").write_text("")
    return folder / "file" / "deep" / "model.pth"


def name_too_long(folder):
    return folder / f"{'x' * 250}.pth"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (folder_in_place_of_a_file, "is a folder"),
        (file_in_place_of_a_folder, "is a file"),
        (name_too_long, "too long"),
    ],
)
def test_output_that_cannot_be_written_raises_input_error(make, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read(argv=["--ckpt-path", str(make(tmp_path))])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_without_permission_raises_input_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="no permission"):
        read(argv=["--ckpt-path", str(tmp_path / "model.pth")])


def test_file_in_place_of_a_results_folder_raises_input_error(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(InputError, match=r"RESULTS_DIR = .* is a file"):
        script_entry.read_settings(
            settings.CompareSettings, {"__file__": __file__, "RESULTS_DIR": str(tmp_path / "results")}, []
        )
