"""Try and measure what only a GPU has, in parts, and keep one file for each card.

    python -m benchmarks.gpu                    # the parts that have no result yet; stops after 9 minutes
    python -m benchmarks.gpu                    # again, until it says that all parts are done
    python -m benchmarks.gpu --parts profile    # one part, again
    python -m benchmarks.gpu --device cpu       # its logic, small; no measurement

Correctness: logits, crops, a resumed training, distillation, the teacher's cache and ten-crop scores against
the CPU; NCCL and synchronised BatchNorm with two cards. Speed: the loop against the bare step and the study's
loop, every network against the card's matrix rate, torch.compile, scoring, memory by batch size, a profile.
Writes benchmarks/results/gpu-DEVICE.json after each part; docs/tables.py makes the table of it.
"""

import json
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from benchmarks.common import Settings, keep_result, result_path
from benchmarks.gpu import correctness, speed
from benchmarks.gpu.place import Place
from cxr14.errors import InputError, exit_on_input_error
from cxr14.runtime import devices, memory

PARTS = correctness.PARTS | speed.PARTS


@dataclass(kw_only=True)
class GpuSettings(Settings):
    """Settings of this benchmark."""

    device: str = "auto"
    """As in a train script; on the CPU everything is small."""
    parts: tuple[str, ...] = ()
    """Parts to run, although they have a result; none: those without one."""
    minutes: float = 9.0
    """No part is started after so long."""


def run_parts(settings: GpuSettings, place: Place) -> list[str]:
    """Run parts, write the file after each, and return the names of those without a result."""
    began = time.monotonic()
    unknown = [name for name in settings.parts if name not in PARTS]
    if unknown:
        raise InputError(f"there is no part {unknown[0]!r}; known are {', '.join(PARTS)}.")
    path = result_path(settings, "gpu", place.device)
    parts = json.loads(path.read_text())["parts"] if path.exists() else {}
    for name in settings.parts or [name for name in PARTS if name not in parts]:
        if time.monotonic() - began > 60 * settings.minutes:
            break
        print(f"== {name}", flush=True)
        started = time.monotonic()
        try:
            result = PARTS[name](place)
        except Exception as error:
            if not memory.is_out_of_memory(error):
                traceback.print_exc()  # the other parts go on, and this one is tried again the next time
                continue
            result = {"passed": False, "error": "out of memory"}
        parts[name] = {"seconds": time.monotonic() - started, **result}
        content = {"measured": place.is_gpu, "parts": {name: parts[name] for name in PARTS if name in parts}}
        keep_result(settings, "gpu", place.device, content)
        if place.is_gpu:
            torch.cuda.empty_cache()
    return [name for name in PARTS if name not in parts]


def main(settings: GpuSettings) -> None:
    """Run the parts that have no result yet."""
    with exit_on_input_error(), tempfile.TemporaryDirectory() as folder:
        device = devices.choose(settings.device)
        if device.type != "cuda":
            print("This machine has no CUDA GPU: the parts run small on the CPU, and nothing is measured.")
        left = run_parts(settings, Place(device, Path(folder)))
        print(f"Run this again for: {', '.join(left)}." if left else "All parts are done.")


if __name__ == "__main__":
    main(tyro.cli(GpuSettings, description=__doc__))
