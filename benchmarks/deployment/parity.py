"""Parity of exported networks with PyTorch, as export-model.py measures it."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from cxr14.data.geometry import centre_start
from cxr14.data.image_lists import read_list
from cxr14.data.images import open_images
from cxr14.deployment.card import read_card
from cxr14.deployment_settings import CARD_FILE, Precision
from cxr14.models import zoo
from cxr14.settings import ROOT
from tests.deployment.conftest import save_checkpoint

SIDE, READ_SIDE = 224, 256


class ExportSettings(Protocol):
    """The settings of the benchmark that this module reads."""

    ckpt_path: Path
    data_dir: Path
    image_list: Path
    count: int
    count_of_others: int
    precisions: tuple[Precision, ...]
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Exported:
    """An exported model and its parity."""

    path: Path
    figures: dict[str, object]


def export_each(settings: ExportSettings, work: Path) -> dict[str, Exported]:
    """Export EEEA-Net-C2 in each precision."""
    # Without the part, a few radiographs show that the files are right.
    count = settings.count if "parity" in settings.parts else 2
    return {
        precision: _export(settings, settings.ckpt_path, precision, count, work / precision)
        for precision in settings.precisions
    }


def others(settings: ExportSettings, work: Path) -> dict[str, object]:
    """Export the other four networks in float32, with random weights whose logits are of usual size."""
    found, gray = {}, read_gray(settings, 16)
    for name in zoo.NAMES[1:]:
        ckpt_path = save_checkpoint(work / "other.pth", name, gray=gray)
        exported = _export(settings, ckpt_path, "float32", settings.count_of_others, work / "other")
        found[name] = exported.figures
        exported.path.unlink()
    return found


def read_gray(settings: ExportSettings, count: int) -> np.ndarray:
    """Return the first radiographs of the list as networks get them, (N, 224, 224) uint8."""
    names = read_list(settings.image_list).names[:count]
    start = centre_start(READ_SIDE, SIDE)
    part = slice(start, start + SIDE)
    return open_images(settings.data_dir).read(names, READ_SIDE)[:, part, part]


def _export(settings: ExportSettings, ckpt_path: Path, precision: str, count: int, out: Path) -> Exported:
    words = {
        "--ckpt-path": ckpt_path,
        "--results-dir": None,
        "--data-dir": settings.data_dir,
        "--image-list": settings.image_list,
        "--out-dir": out,
        "--precision": precision,
        "--count": count,
    }
    flags = [str(word) for pair in words.items() for word in pair]
    command = [sys.executable, ROOT / "7-Using-EEEA-Net-C2" / "export-model.py", *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{precision} is not exported:\n{done.stdout}")
    card = read_card(out / CARD_FILE)
    (path,) = out.glob("*.onnx")
    figures = json.loads((out / CARD_FILE).read_text())["parity"]
    figures.pop("image_list", None)
    return Exported(
        path, {"MB": path.stat().st_size / 1e6, "heat maps": "heat_maps" in card.outputs} | figures
    )
