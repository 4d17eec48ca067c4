"""Exactness, speed, memory and size of an exported network, and of predict.py.

    cat labels/test_list.txt labels/val_list.txt labels/train_list.txt > all.txt    # as prepare.py wrote them
    python -m benchmarks.deployment --ckpt-path model1.pth --data-dir images --image-list all.txt --files PNGS

Leaves benchmarks/results/deployment-cpu.json. The checkpoint is one of EEEA-Net-C2, trained at 224 px; what
is measured is how far the exported file's answers lie from PyTorch's, not how good they are. The other four
networks are exported with random weights. FILES is a folder of PNG files of 256 px. Everything runs in one
thread, the contestants by turns in one process. OpenVINO is measured where it is installed (it is no part of
the project), dcmtk likewise. About 15 minutes of one core, most of which are heat maps by automatic
differentiation. --parts measures again what it names and keeps the rest of the result file.
"""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from benchmarks.common import Settings, keep_result
from benchmarks.deployment import dicom, hostile, parity, program, sizes, speed
from cxr14.deployment_settings import Precision

Part = Literal["parity", "others", "speed", "program", "sizes", "dicom", "hostile"]
PARTS: tuple[Part, ...] = ("parity", "others", "speed", "program", "sizes", "dicom", "hostile")


@dataclass(kw_only=True)
class DeploymentSettings(Settings):
    """Settings of this benchmark."""

    ckpt_path: Path
    """Checkpoint of EEEA-Net-C2."""
    data_dir: Path
    """Folder of the radiographs, or their packed store."""
    image_list: Path
    """Image list to compare on."""
    files: Path
    """Folder of PNG files of 256 px that predict.py reads."""
    note: str = ""
    """What the checkpoint and the radiographs are, for the result file."""
    count: int = 480
    """Radiographs of the list to compare EEEA-Net-C2 on."""
    count_of_others: int = 8
    """The same for the other networks."""
    precisions: tuple[Precision, ...] = ("float32", "w8")
    """Precisions of EEEA-Net-C2; predict.py and OpenVINO are measured with the last one."""
    rounds: int = 300
    """How often the contestants take turns."""
    folder_count: int = 1500
    """Files of the folder that predict.py reads, those of FILES over and over."""
    runs: int = 9
    """How often predict.py is started."""
    parts: tuple[Part, ...] = PARTS
    """What to measure."""


def main(settings: DeploymentSettings) -> None:
    """Measure, print and save."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that it starts
    torch.set_num_threads(1)
    kept = settings.keep_in / "deployment-cpu.json"
    figures = json.loads(kept.read_text()) if kept.exists() and set(settings.parts) != set(PARTS) else {}
    figures.pop("machine", None)
    figures["checkpoint and radiographs"] = settings.note or figures.get("checkpoint and radiographs", "")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        models = parity.export_each(settings, work)
        measurements: dict[Part, Callable[[], object]] = {
            "parity": lambda: {name: model.figures for name, model in models.items()},
            "others": lambda: parity.others(settings, work),
            "speed": lambda: speed.measure(settings, models),
            "program": lambda: program.measure(settings, models[settings.precisions[-1]].path, work),
            "sizes": lambda: sizes.measure(work),
            "dicom": lambda: dicom.measure(work),
            "hostile": lambda: hostile.measure(work),
        }
        try:
            for part in settings.parts:
                figures[part] = measurements[part]()
        finally:  # what was measured before a failure is kept
            keep_result(settings, "deployment", torch.device("cpu"), figures)


if __name__ == "__main__":
    main(tyro.cli(DeploymentSettings, description=__doc__))
