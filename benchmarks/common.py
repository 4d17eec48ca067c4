"""What the benchmarks share: which machine this is, and where a result is kept."""

import json
import os
import platform
import re
from pathlib import Path

import torch

from cxr14 import devices
from cxr14.files import written_aside

RESULTS = Path(__file__).parent / "results"


def synchronise(device: torch.device) -> None:
    """Wait until all that was asked of a GPU is done; on the CPU it is."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def processor() -> str:
    """Return the processor's name as its maker gives it."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.is_file() else None
    return found[1] if found else platform.processor() or platform.machine()


def machine(device: torch.device) -> dict[str, object]:
    """Return what a reader needs to know of the machine."""
    return {
        "device": devices.describe(device) if device.type == "cuda" else processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def keep_result(name: str, device: torch.device, content: dict[str, object]) -> None:
    """Print a result and write it to benchmarks/results/NAME-DEVICE.json."""
    content = {"machine": machine(device), **content}
    text = json.dumps(content, indent=2)
    print(text)
    label = re.sub(r"\W+", "-", devices.describe(device)).lower()
    with written_aside(RESULTS / f"{name}-{label}.json") as aside:
        aside.write_text(text + "\n")
