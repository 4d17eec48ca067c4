"""The choice of device, and the memory layout of weights."""

import ctypes
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from cxr14.errors import InputError

# Parameters of glibc's mallopt(3), from its malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

_ARCHITECTURE = re.compile(r"(?P<kind>sm|compute)_(?P<version>\d+)[af]?")


def choose(name: str) -> torch.device:
    """Return the device called `name` and prepare the process for it; "auto" prefers an accelerator.

    A GPU becomes torch's current device. On the CPU the process keeps the memory that it frees.

    Raises:
        InputError: a device that torch does not know, that this machine lacks, or that is too old for it.
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
    if device.type == "cuda":
        _require_supported_gpu(device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    if device.type == "cpu":
        _keep_freed_memory()
    return device


def why_unsupported(name: str, capability: tuple[int, int], architectures: Sequence[str]) -> str | None:
    """Return why a build of torch cannot use a GPU, and the way out, as one sentence; None if it can.

    Args:
        name: the GPU's model name.
        capability: its CUDA compute capability, such as (7, 5).
        architectures: what the build contains, as ``torch.cuda.get_arch_list`` returns it: "sm_75" is machine
            code for 7.5 and later 7.x, "compute_90" code that 9.0 and everything later translates.
    """
    codes = [match for entry in architectures if (match := _ARCHITECTURE.fullmatch(entry))]
    versions = [(match["kind"], divmod(int(match["version"]), 10)) for match in codes]
    for kind, version in versions:
        same_generation = version[0] == capability[0] and version <= capability
        if same_generation or (kind == "compute" and version <= capability):
            return None
    if not versions:  # a build for other makers' GPUs
        return None
    oldest = min(version for _, version in versions)
    found = f"{name} has CUDA compute capability {capability[0]}.{capability[1]}"
    if capability < oldest:
        return (
            f"{found}, and torch {torch.__version__} needs {oldest[0]}.{oldest[1]} or later (Turing: T4, RTX "
            "20): choose another GPU, on Kaggle 'GPU T4 x2' instead of P100; or --device cpu; or install "
            "torch's build for CUDA 12.6, which has code for older GPUs."
        )
    return (
        f"{found}, for which torch {torch.__version__} has no code yet: install a newer torch, or choose "
        "another GPU or --device cpu."
    )


def _require_supported_gpu(device: torch.device) -> None:
    name, capability = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
    reason = why_unsupported(name, capability, torch.cuda.get_arch_list())
    if reason:
        raise InputError(reason)


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
