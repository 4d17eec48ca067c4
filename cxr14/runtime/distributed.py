"""Distributed training: rank, world size, device, gather."""

import gc
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from cxr14 import processes
from cxr14.errors import InputError
from cxr14.runtime import devices, rendezvous


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that torchrun or Slurm started.

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

    def from_main(self, value: Any) -> Any:
        """Return the `value` of the main process to all of them."""
        if self.world_size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors with those of the main process."""
        if self.world_size == 1:
            return
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


@contextmanager
def process_group(device_name: str, seconds: float = rendezvous.SECONDS) -> Iterator[ProcessGroup]:
    """Initialise the process group that torchrun or Slurm started, or a group of one, for the block.

    Args:
        device_name: as `devices.choose` takes it; with several processes "auto" and "cuda" mean one GPU each.
        seconds: how long the processes wait for one another.

    Raises:
        InputError: the environment names no place for this process (`processes.place`), not all processes
            come in time, or one of them ends before the others.
    """
    place = processes.place()
    if place.world_size == 1:
        yield ProcessGroup(devices.choose(device_name))
        return
    rendezvous.end_with_torchrun()
    device = devices.choose(device_name)
    if device.type == "cuda":
        device = devices.choose(f"cuda:{processes.local_rank()}")
    rendezvous.use_store(rendezvous.meet(place, seconds), place, device)
    group = ProcessGroup(device, place.rank, place.world_size)
    if group.is_main and (warning := rendezvous.share_of_store_warning()):
        print(warning, file=sys.stderr)
    try:
        yield group
        distributed.barrier()  # a process that leaves early closes connections that others still use
    except RuntimeError as error:
        if not rendezvous.is_lost_process(error):
            raise
        raise InputError(
            f"process {group.rank} has lost another one, whose own message says why it ended; the last "
            "snapshot is whole, and the same command with --resume continues."
        ) from error
    finally:
        # A DistributedDataParallel model that outlives the group sometimes hangs when it is freed.
        gc.collect()
        distributed.destroy_process_group()
