"""Where a network runs: the choice of device, its number format and its memory layout."""

from contextlib import AbstractContextManager

import torch
from torch import nn

from cxr14.errors import InputError


def choose(name: str) -> torch.device:
    """Return the device that `name` means; "auto" is an accelerator where there is one, else the CPU.

    Raises:
        InputError: a device that torch does not know or that this machine lacks.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if name == "auto":
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"DEVICE = {name!r} is no device that torch knows.") from error
    if device.type != "cpu" and (accelerator is None or device.type != accelerator.type):
        found = accelerator.type if accelerator else "no accelerator"
        raise InputError(f"DEVICE = {name!r}, but this machine has {found}; take auto or cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"DEVICE = {name!r}, but this machine has {torch.cuda.device_count()} CUDA devices.")
    return device


def describe(device: torch.device) -> str:
    """Return the device's name as a reader of a result knows it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def place(model: nn.Module, device: torch.device) -> nn.Module:
    """Move `model` to `device` in channels-last order, which convolutions prefer on CPUs and GPUs alike."""
    return model.to(device, memory_format=torch.channels_last)


def autocast(device: torch.device) -> AbstractContextManager:
    """Return the context of a forward pass: bfloat16 where a GPU computes in it, float32 elsewhere."""
    wanted = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)
