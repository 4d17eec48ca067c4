"""What the benchmarks share: which machine this is, and where a result is kept."""

import json
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from cxr14.files import atomic_write
from cxr14.runtime import devices


@dataclass(kw_only=True)
class Settings:
    """Settings of every benchmark."""

    keep_in: Path = Path(__file__).parent / "results"
    """Folder of the result."""


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has finished all its work; nothing on the CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def keep_result(settings: Settings, name: str, device: torch.device, content: dict[str, object]) -> None:
    """Print a result and write it as NAME-DEVICE.json, with what a reader needs to know of the machine."""
    machine = {
        "device": devices.describe(device),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    text = json.dumps({"machine": machine, **content}, indent=2)
    print(text)
    with atomic_write(result_path(settings, name, device)) as aside:
        aside.write_text(text + "\n")


def result_path(settings: Settings, name: str, device: torch.device) -> Path:
    """Return the file of a result, NAME-DEVICE.json."""
    label = "cpu" if device.type == "cpu" else re.sub(r"\W+", "-", devices.describe(device)).lower()
    return settings.keep_in / f"{name}-{label}.json"
