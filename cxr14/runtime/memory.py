"""Memory: how much is free, and the message where a step needs more than there is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from cxr14.errors import InputError

# How torch reports that the system has refused memory for a tensor on the CPU.
_CPU_MESSAGES = ("DefaultCPUAllocator", "not enough memory", "can't allocate memory")
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int | None:
    """Return the bytes of memory that this process can still use; None where the system does not tell.

    That is the system's MemAvailable, or what a container or a Slurm job leaves, if that is less.
    """
    if sys.platform != "linux":
        return None
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    limit, used = _cgroup_value("memory.max"), _cgroup_value("memory.current")
    return min(free, max(limit - used, 0)) if limit is not None and used is not None else free


def _cgroup_value(name: str) -> int | None:
    try:
        own = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip().lstrip("/")
        return int((_CGROUP / own / name).read_text())
    except (OSError, ValueError):  # no such limit: the file is missing, or says "max"
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether torch has found no memory for a tensor, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _CPU_MESSAGES)


@contextmanager
def explain_out_of_memory(advice: str) -> Iterator[None]:
    """Turn torch's error for missing memory into an InputError.

    Args:
        advice: what to do; the end of the message.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(f"there is not enough memory for this step: {advice}") from error
