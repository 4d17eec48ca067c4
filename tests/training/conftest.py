"""The constants of a train script, on phantoms."""

import shutil

import pytest

from cxr14.settings import ROOT, STUDENT


@pytest.fixture
def constants(phantoms, tmp_path):
    """The constants of a train script, for a copy of the phantoms' lists that a test may change."""
    shutil.copytree(phantoms / "labels", tmp_path / "labels")
    return {
        "__file__": str(ROOT / STUDENT / "train-model.py"),
        "DATA_DIR": str(phantoms / "images"),
        "TRAIN_IMAGE_LIST": str(tmp_path / "labels" / "train_list.txt"),
        "VAL_IMAGE_LIST": str(tmp_path / "labels" / "val_list.txt"),
        "CKPT_PATH": str(tmp_path / "model.pth"),
        "BATCH_SIZE": 8,
        "NUM_EPOCHS": 1,
        "LEARNING_RATE": 1e-3,
        "IMAGE_SIZE": 64,
        "PRETRAINED": False,
        "NUM_WORKERS": 0,
        "DEVICE": "cpu",
    }
