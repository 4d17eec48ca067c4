"""Processes of one run, as torchrun and Slurm number them; no torch."""

import os
from dataclasses import dataclass

from cxr14.errors import InputError


@dataclass(frozen=True)
class Place:
    """The place of this process among those of its run."""

    rank: int = 0
    """0 to world_size - 1."""
    world_size: int = 1
    """Number of processes."""
    address: str = ""
    """HOST:PORT where they meet; empty for one process."""


def is_main() -> bool:
    """Return whether this is the only process of its run, or the one that writes files: never an error."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def place() -> Place:
    """Return the place that WORLD_SIZE, RANK, MASTER_ADDR and MASTER_PORT give to this process.

    Raises:
        InputError: one of them is missing or no number in its range. Where WORLD_SIZE is 1 or missing, the
            others are not looked at.
    """
    world_size = _number("WORLD_SIZE", 1, 1 << 20) if "WORLD_SIZE" in os.environ else 1
    if world_size == 1:
        return Place()
    rank = _number("RANK", 0, world_size - 1)
    return Place(rank, world_size, f"{_value('MASTER_ADDR')}:{_number('MASTER_PORT', 0, 65535)}")


def local_rank() -> int:
    """Return the number of this process on its machine, which is that of its GPU.

    Raises:
        InputError: LOCAL_RANK is missing or no number.
    """
    return _number("LOCAL_RANK", 0, 1 << 20)


def _number(name: str, least: int, most: int) -> int:
    value = _value(name)
    if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
        raise InputError(
            f"the environment variable {name} is {value!r}, but a number from {least} to {most} is expected; "
            "start several processes with torchrun, and one process without WORLD_SIZE ('unset WORLD_SIZE')."
        )
    return int(value)


def _value(name: str) -> str:
    if not os.environ.get(name):
        raise InputError(
            f"the environment variable WORLD_SIZE announces several processes, but {name} is not set: start "
            "them with torchrun, or run 'unset WORLD_SIZE' for one process."
        )
    return os.environ[name]
