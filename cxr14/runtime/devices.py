"""The choice of device, and the memory layout of weights."""

import ctypes
import platform
import re
import sys
from pathlib import Path

import torch
from torch import nn

from cxr14.errors import InputError

# Parameters of glibc's mallopt(3), from its malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def choose(name: str) -> torch.device:
    """Return the device called `name` and prepare the process for it; "auto" prefers an accelerator.

    A GPU becomes torch's current device. On the CPU the process keeps the memory that it frees.

    Raises:
        InputError: a device that torch does not know or that this machine lacks.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if name == "auto":
        device = accelerator or torch.device("cpu")
    else:
        try:
            device = torch.device(name)
        except RuntimeError as error:
            raise InputError(f"DEVICE = {name!r} is no device that torch knows; take auto or cpu.") from error
    if device.type != "cpu" and (accelerator is None or device.type != accelerator.type):
        found = accelerator.type if accelerator else "no accelerator"
        raise InputError(f"DEVICE = {name!r}, but this machine has {found}; take auto or cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"DEVICE = {name!r}, but this machine has {torch.cuda.device_count()} CUDA devices.")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    if device.type == "cpu":
        _keep_freed_memory()
    return device


def describe(device: torch.device) -> str:
    """Return the model name of a GPU or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.is_file() else None
    return found[1] if found else platform.processor() or platform.machine()


def place(model: nn.Module, device: torch.device) -> nn.Module:
    """Move `model` to `device` in channels-last order, in which convolutions are faster on CPUs and GPUs."""
    return model.to(device, memory_format=torch.channels_last)


def _keep_freed_memory() -> None:
    # glibc returns each large tensor to the system when it is freed, and the system fills the next one with
    # zeros, page by page: millions of pages in ten training steps. Other C libraries have no mallopt.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)
