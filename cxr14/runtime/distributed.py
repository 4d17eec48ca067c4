"""Distributed training: rank, world size, device, gather."""

import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from cxr14.runtime import devices


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that torchrun started.

    Attributes:
        device: where this process computes.
        rank: 0 to world_size - 1; the main process, rank 0, writes files and prints.
        world_size: number of processes.
    """

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """Return the `value` of every process, in order of rank, to all of them."""
        if self.world_size == 1:
            return [value]
        values = [None] * self.world_size
        distributed.all_gather_object(values, value)
        return values

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors with those of the main process."""
        if self.world_size == 1:
            return
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


@contextmanager
def process_group(device_name: str) -> Iterator[ProcessGroup]:
    """Initialise the process group that torchrun started, or a group of one, for the block.

    Args:
        device_name: as `devices.choose` takes it; under torchrun "auto" and "cuda" mean one GPU per process.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield ProcessGroup(devices.choose(device_name))
        return
    device = devices.choose(device_name)
    if device.type == "cuda":
        device = devices.choose(f"cuda:{os.environ['LOCAL_RANK']}")
        distributed.init_process_group("nccl", device_id=device)
    else:
        distributed.init_process_group("gloo")
    try:
        yield ProcessGroup(device, distributed.get_rank(), world_size)
        distributed.barrier()  # a process that leaves early closes connections that others still use
    finally:
        # A DistributedDataParallel model that outlives the group sometimes hangs when it is freed.
        gc.collect()
        distributed.destroy_process_group()
