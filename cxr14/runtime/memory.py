"""The message where a step needs more memory than there is."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cxr14.errors import InputError

# How torch reports that the system has refused memory for a tensor on the CPU.
_CPU_MESSAGES = ("DefaultCPUAllocator", "not enough memory", "can't allocate memory")


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
