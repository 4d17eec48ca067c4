"""Files that would fill the memory."""

import contextlib
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from cxr14.data import images
from cxr14.data.prepare import contents
from cxr14.data.prepare.contents import ZipMember
from cxr14.data.prepare.sources import find_sources
from cxr14.errors import InputError
from cxr14.evaluation import predictions
from cxr14.evaluation.predictions import Predictions
from cxr14.models import checkpoint
from tests.hostile import weights
from tests.hostile.damaged_predictions import npz_bomb
from tests.hostile.processes import peak_memory
from tests.nih_folder import png

pytestmark = pytest.mark.forks

UNPACKED = 70
"""Megabytes of a bomb when it is unpacked."""

MOST_GROWTH = 45
"""Megabytes that reading it may take; the limits of the readers are lowered to 20."""


def zip_bomb(place):
    with (
        zipfile.ZipFile(place / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("00000001_000.png", "w") as file,
    ):
        for _ in range(UNPACKED):
            file.write(bytes(1_000_000))
    return lambda: contents.content_of(ZipMember(place / "a.zip", "00000001_000.png"))


def tar_bomb(place):
    member = tarfile.TarInfo("00000001_000.png")
    member.size = UNPACKED * 1_000_000
    with (
        tarfile.open(place / "a.tar.gz", "w:gz", compresslevel=1) as archive,
        Path("/dev/zero").open("rb") as zeros,
    ):
        archive.addfile(member, zeros)
    return lambda: [list(source.payloads(source.sizes)) for source in find_sources(place / "a.tar.gz", 256)]


def png_bomb(place):
    content = bytearray(png(1))
    content[16:24] = (30_000).to_bytes(4, "big") * 2
    (place / "x.png").write_bytes(content)
    return lambda: images.decode(place / "x.png")


def sparse_file(place):
    (place / "x.png").touch()
    os.truncate(place / "x.png", 1 << 40)
    return lambda: contents.content_of(place / "x.png")


def checkpoint_bomb(place):
    (place / "x.pth").write_bytes(weights.zip_bomb(UNPACKED))
    return lambda: checkpoint.read(place / "x.pth")


def predictions_bomb(place):
    path = place / "results" / "1-EEEA-Net-C2" / "predictions-test.npz"
    path.parent.mkdir(parents=True)
    path.touch()
    npz_bomb(UNPACKED)(place)
    return lambda: Predictions.load(path)


@pytest.mark.parametrize(
    "make", [zip_bomb, tar_bomb, png_bomb, sparse_file, checkpoint_bomb, predictions_bomb]
)
def test_a_bomb_takes_little_memory(make, tmp_path, monkeypatch):
    read = make(tmp_path)
    for module in (contents, predictions):
        monkeypatch.setattr(module, "MOST_BYTES", 20_000_000)

    def refuse():
        with contextlib.suppress(InputError):
            read()

    assert peak_memory(refuse, tmp_path / "said") < MOST_GROWTH
