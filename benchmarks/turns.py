"""Steps of a training and of what it is compared with, in turns: a slow moment of the machine slows both."""

import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from benchmarks.common import synchronise
from cxr14.data.loader import Batch, Batches


class Between:
    """The batches of a training, with steps of others between the loop's.

    Args:
        batches: a multiple of `group`.
        others: their steps, by name.
        group: steps that each takes in a row.
        device: where all of them compute.
    """

    def __init__(
        self, batches: Batches, others: dict[str, Callable[[], None]], group: int, device: torch.device
    ) -> None:
        self.batches, self.others, self.group, self.device = batches, others, group, device
        self.seconds: dict[str, list[float]] = {name: [] for name in (*others, "loop")}

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches; the loop has taken its step when it asks for the next one."""
        source = self.batches.epoch(epoch, first)
        for _ in range(len(self) // self.group):
            for name, step in self.others.items():
                self.seconds[name].append(timed(step, self.group, self.device))
            began = time.perf_counter()
            yield from itertools.islice(source, self.group)
            synchronise(self.device)
            self.seconds["loop"].append(time.perf_counter() - began)

    def rates(self, radiographs: int) -> dict[str, np.ndarray]:
        """Return the radiographs a second of each group but the first, which warms up, by name."""
        return {name: self.group * radiographs / np.array(taken[1:]) for name, taken in self.seconds.items()}


def timed(step: Callable[[], None], times: int, device: torch.device) -> float:
    """Return the seconds that `times` steps take."""
    synchronise(device)
    began = time.perf_counter()
    for _ in range(times):
        step()
    synchronise(device)
    return time.perf_counter() - began
