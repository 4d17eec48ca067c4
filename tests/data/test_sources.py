"""Whatever the radiographs come as, prepare.py makes the same kind of store of them, and it trains."""

import numpy as np
import pytest

from cxr14.data.image_lists import read_list
from cxr14.data.images import PackedImages, open_images
from cxr14.models import zoo
from cxr14.settings import ROOT
from tests.nih_folder import names_of, png, write_documents, write_tar, write_zip
from tests.test_scripts import TINY, data_flags, run_here

SIDE = 73
NAMES = names_of(16)


def real(folder):
    """Return a function that gives nih-mini's `folder`."""
    return lambda place, request: ("--source", request.getfixturevalue("nih_mini") / folder)


def archive(write, name):
    """Return a function that makes an archive of 32 radiographs, with NIH's documents beside it."""

    def make(place, request):
        write(place / name, {f"images/{image}": png(seed) for seed, image in enumerate(NAMES)})
        write_documents(place, NAMES)
        return ("--source", place)

    return make


def chestmnist(place, request):
    """Make a file as MedMNIST ships ChestMNIST."""
    draw, arrays = np.random.default_rng(0), {}
    for split, count in (("train", 24), ("val", 8), ("test", 8)):
        arrays[f"{split}_images"] = draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = draw.integers(0, 2, (count, 14))
    np.savez_compressed(place / "chestmnist.npz", **arrays)
    return ("--medmnist", place / "chestmnist.npz")


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        real("images"),
        real("originals"),
        lambda place, request: ("--source", request.getfixturevalue("phantoms") / "source"),
        archive(write_zip, "images.zip"),
        archive(write_tar, "images_001.tar.gz"),
        chestmnist,
    ],
    ids=["NIH 256 px", "NIH originals, two of them RGBA", "phantoms", "zip", "tar.gz", "ChestMNIST"],
)
def test_each_kind_of_source_is_packed_and_trains(make, tmp_path, request, monkeypatch, capsys):
    place, out = tmp_path / "place", tmp_path / "out"
    place.mkdir()
    flags = (*make(place, request), "--out", out, "--size", SIDE, "--workers", 1)
    assert run_here(ROOT / "ChestX-ray14" / "prepare.py", *flags, monkeypatch=monkeypatch) == 0
    images = open_images(out / "images")
    assert isinstance(images, PackedImages)
    train = read_list(out / "labels" / "train_list.txt")
    assert images.read(train.names[:2], SIDE).shape == (2, SIDE, SIDE)
    flags = (*data_flags(out), *TINY, "--batch-size", 16, "--ckpt-path", tmp_path / "model1.pth")
    assert run_here(ROOT / zoo.NAMES[0] / "train-model.py", *flags, monkeypatch=monkeypatch) == 0
    assert "Best epoch 1 of 1" in capsys.readouterr().out
    assert (tmp_path / "model1.pth").is_file()
