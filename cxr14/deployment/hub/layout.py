"""The files of the folder: weights, configuration, exported model and README."""

import shutil
import tempfile
from pathlib import Path

import timm
from torch import nn

from cxr14.data.geometry import MEAN, STD
from cxr14.deployment.card import Preprocessing
from cxr14.deployment_settings import CARD_FILE
from cxr14.errors import InputError
from cxr14.files import wrap_disk_errors
from cxr14.findings import FINDINGS

README_FILE = "README.md"
ONNX_FILE = "onnx/model.onnx"
FILES = ("model.safetensors", "config.json", ONNX_FILE, f"onnx/{CARD_FILE}", README_FILE)
"""All files of the folder, in the order in which they appear."""


def require_own(folder: Path) -> None:
    """Refuse a folder whose README.md is not of an earlier `write_folder`: it would be replaced.

    Raises:
        InputError: it holds a README.md and lacks another of `FILES`.
    """
    if (folder / README_FILE).exists() and not all((folder / name).exists() for name in FILES):
        raise InputError(
            f"{folder} holds a {README_FILE} that share-model.py has not written, and would replace; give an "
            "OUT_DIR that is empty or does not exist."
        )


def write_folder(
    folder: Path, model: nn.Module, preprocessing: Preprocessing, exported: Path, readme: str
) -> None:
    """Write the folder; files of these names are replaced, others are left alone.

    Args:
        folder: where; it is made where it is missing.
        model: a network of timm's, on the CPU.
        preprocessing: from a radiograph to the network's input.
        exported: the ONNX file; its card lies beside it.
        readme: the text of README.md.

    Raises:
        InputError: the disk is full, the folder cannot be written, and the like.
    """
    with wrap_disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            aside = Path(temporary)
            _write_timm_files(aside, model, preprocessing)
            # safetensors writes files that only their owner can read.
            (aside / "model.safetensors").chmod((aside / "config.json").stat().st_mode)
            (aside / ONNX_FILE).parent.mkdir()
            shutil.copyfile(exported, aside / ONNX_FILE)
            shutil.copyfile(exported.with_name(CARD_FILE), aside / "onnx" / CARD_FILE)
            (aside / README_FILE).write_text(readme, encoding="utf-8")
            for name in FILES:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (aside / name).replace(folder / name)


def _write_timm_files(folder: Path, model: nn.Module, preprocessing: Preprocessing) -> None:
    size = preprocessing.image_size
    data_config = {
        "input_size": (3, size, size),
        "mean": MEAN,
        "std": STD,
        "interpolation": "bilinear",
        "crop_pct": size / preprocessing.read_side,
        "crop_mode": "squash",  # to a square of read_side, whatever the shape, then the centre
    }
    timm.models.save_for_hf(
        model,
        folder,
        model_config={"label_names": list(FINDINGS)},
        safe_serialization=True,
        data_config=data_config,
    )
