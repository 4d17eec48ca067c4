"""Constants and flags become settings, and slips are named."""

from pathlib import Path

import pytest

from cxr14 import script as script_entry
from cxr14 import settings
from cxr14.errors import InputError

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


def test_a_path_of_the_script_is_relative_to_its_folder_and_a_flag_to_where_the_person_stands():
    assert read().data_dir == Path("/somewhere/images")
    assert read(argv=["--data-dir", "mine"]).data_dir == Path("mine")


def test_a_flag_beats_a_constant_and_a_constant_beats_the_default():
    assert read().batch_size == 4
    assert read(argv=["--batch-size", "2"]).batch_size == 2
    assert read({"SEED": 7}).seed == 7
    assert read().seed == settings.TrainSettings.__dataclass_fields__["seed"].default


def test_pretrained_can_be_denied():
    assert read().pretrained
    assert not read(argv=["--no-pretrained"]).pretrained


def test_a_whole_number_serves_as_a_learning_rate():
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
def test_a_constant_of_the_wrong_type_is_named(constant, value):
    with pytest.raises(InputError, match=constant):
        read({constant: value})


def test_an_unknown_constant_is_named():
    with pytest.raises(InputError, match="BATCHSIZE"):
        read({"BATCHSIZE": 4})


def test_a_missing_constant_is_named():
    script = {name: value for name, value in SCRIPT.items() if name != "CKPT_PATH"}
    with pytest.raises(InputError, match="CKPT_PATH"):
        script_entry.read_settings(settings.TrainSettings, script, [])


def test_an_unknown_flag_ends_with_status_2(capsys):
    with pytest.raises(SystemExit) as ended:
        read(argv=["--batchsize", "3"])
    assert ended.value.code == 2
    assert "batchsize" in capsys.readouterr().err


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
def test_a_number_out_of_range_is_refused(flag, value):
    with pytest.raises(InputError, match=flag[2:].replace("-", "_").upper()):
        read(argv=[flag, value])


def test_plain_settings_hold_no_objects():
    assert all(
        isinstance(value, str | int | float | None) for value in script_entry.as_plain(read()).values()
    )
