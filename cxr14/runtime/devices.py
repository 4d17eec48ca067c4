"""Where a network runs: the choice of device, its number format and its memory layout."""

import ctypes
import platform
import re
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import nn

from cxr14.errors import InputError

# Parameters of glibc's mallopt(3), from its malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def choose(name: str) -> torch.device:
    """Return the device that `name` means, ready for work; "auto" is an accelerator where there is one.

    A process that is going to compute on the CPU keeps, from then on, the memory that it frees.

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
            raise InputError(f"DEVICE = {name!r} is no device that torch knows.") from error
    if device.type != "cpu" and (accelerator is None or device.type != accelerator.type):
        found = accelerator.type if accelerator else "no accelerator"
        raise InputError(f"DEVICE = {name!r}, but this machine has {found}; take auto or cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"DEVICE = {name!r}, but this machine has {torch.cuda.device_count()} CUDA devices.")
    if device.type == "cpu":
        _keep_freed_memory()
    return device


def describe(device: torch.device) -> str:
    """Return the name that a GPU or the processor has from its maker, as a reader of a result knows it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.is_file() else None
    return found[1] if found else platform.processor() or platform.machine()


def place(model: nn.Module, device: torch.device) -> nn.Module:
    """Move `model` to `device` in channels-last order, which convolutions prefer on CPUs and GPUs alike."""
    return model.to(device, memory_format=torch.channels_last)


def autocast(device: torch.device) -> AbstractContextManager:
    """Return the context of a forward pass: bfloat16 where a GPU computes in it, float32 elsewhere."""
    wanted = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


def _keep_freed_memory() -> None:
    # glibc gives each large tensor back to the system when it is freed, and the system fills the next one
    # with zeros, page by page: millions of pages in ten training steps. Other C libraries have no mallopt.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)
