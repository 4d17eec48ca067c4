"""Radiographs of 512 px and networks that see 448: prepared, trained and tested."""

import pandas as pd
import pytest

from cxr14.data.geometry import image_size_for, read_side
from cxr14.models import checkpoint
from tests.conftest import run_python
from tests.own_training import write_script
from tests.test_scripts import data_flags, flags_of_test, run_here


@pytest.mark.parametrize(("side", "image_size"), [(256, 224), (512, 448), (73, 64)])
def test_sizes_of_store_and_network_belong_together(side, image_size):
    assert image_size_for(side) == image_size
    assert read_side(image_size) == side


@pytest.mark.slow
def test_study_at_448_px_from_a_store_of_512(phantoms, tmp_path, monkeypatch, capsys):
    place = tmp_path / "own.pth"
    made = run_python(
        "ChestX-ray14/prepare.py", "--source", phantoms / "source", "--out", tmp_path, "--size", 512
    )
    assert made.returncode == 0, made.stderr
    # The size is said before the work: 64 radiographs of 512 * 512 bytes.
    first = made.stdout.index("Packing 64 radiographs of 512 x 512 pixels: 0.02 GB")
    assert first < made.stdout.index("images: 64 radiographs")
    assert "448 px" in made.stdout
    train, test = (write_script(tmp_path / "8-Own", name=f"{what}-model.py") for what in ("train", "test"))
    how = [
        "--image-size",
        "448",
        "--num-epochs",
        "1",
        "--batch-size",
        "16",
        "--no-pretrained",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    flags = (*data_flags(tmp_path), *how, "--ckpt-path", place, "--preload", tmp_path / "near")
    assert run_here(train, *flags, monkeypatch=monkeypatch) == 0
    assert list((tmp_path / "near").glob("*/store.npy"))
    flags = (*flags_of_test(tmp_path), "--ckpt-path", place, "--results-dir", tmp_path / "results")
    assert run_here(test, *flags, "--crops", 10, "--preload", "memory", monkeypatch=monkeypatch) == 0
    assert checkpoint.read(place).about.image_size == 448
    assert len(pd.read_csv(checkpoint.log_path(place))) == 1
