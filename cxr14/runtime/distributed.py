"""One process, or the many that torchrun starts: who am I, on which device, and what do the others say."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed

from cxr14.runtime import devices


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that train together.

    Attributes:
        device: where this process computes.
        rank: 0 to world_size - 1; the main process, rank 0, writes files and prints.
        world_size: how many there are.
    """

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files, bars and lines."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """Return every process's `value`, in order of rank, to all of them."""
        if self.world_size == 1:
            return [value]
        values = [None] * self.world_size
        distributed.all_gather_object(values, value)
        return values


@contextmanager
def process_group(device_name: str) -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started, or be the only one, and leave them at the end.

    Args:
        device_name: as `devices.choose` takes it; under torchrun "auto" and "cuda" mean one GPU a process.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ProcessGroup(devices.choose(device_name))
        return
    device = devices.choose(device_name)
    if device.type == "cuda":
        device = devices.choose(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(device)
        distributed.init_process_group("nccl", device_id=device)
    else:
        distributed.init_process_group("gloo")
    try:
        yield ProcessGroup(device, distributed.get_rank(), world)
        distributed.barrier()  # whoever leaves early closes lines that others still listen on
    finally:
        # A wrapped network that outlives the process group waits for ever, now and then, when it goes.
        gc.collect()
        distributed.destroy_process_group()
