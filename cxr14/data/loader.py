"""Batches of radiographs, in the list's order or in a seeded order."""

import atexit
import signal
from collections.abc import Iterable, Iterator
from multiprocessing import active_children
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cxr14.data.image_lists import ImageList, require_images
from cxr14.data.images import ImageSource
from cxr14.errors import InputError


class Batch(NamedTuple):
    """Radiographs of one step."""

    images: Tensor
    """(B, R, R) uint8."""
    labels: Tensor
    """(B, 14) float32, 0 or 1."""
    index: Tensor
    """(B,) int64 on the CPU: their places in the image list."""

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on `device`; the copy to a CUDA device overlaps with what runs there."""
        images, labels = self.images, self.labels
        if device.type == "cuda":
            # From pageable memory the copy would wait for all work queued on the device before it.
            images, labels = images.pin_memory(), labels.pin_memory()
        return Batch(images.to(device, non_blocking=True), labels.to(device, non_blocking=True), self.index)


class Batches:
    """The radiographs of an image list, batch by batch.

    A batch depends on the list, the seed and the epoch alone: not on the number of reader processes, nor on
    the batch at which an epoch is resumed. With several ranks, each gets its share of every batch: rank r the
    members r, r + world, … of it, none twice.
    """

    def __init__(
        self,
        image_list: ImageList,
        images: ImageSource,
        *,
        side: int,
        batch_size: int,
        num_workers: int = 0,
        seed: int | None = None,
        drop_last: bool = False,
        rank: int = 0,
        world: int = 1,
        context: BaseContext | str | None = None,
    ) -> None:
        """Check that all radiographs of the list can be read.

        Args:
            image_list: N radiographs.
            images: what they are read from.
            side: R, the side in pixels at which they are read; see `read_side`.
            batch_size: radiographs of a batch, over all ranks.
            num_workers: reader processes, which decode and resize. There are none for a packed store of this
                very side: a radiograph of 256 px is copied out of the memory map in 4 microseconds, and its
                way from another process takes ten times as long (benchmarks/loading.py measures both).
            seed: draws a new order for each epoch; None keeps that of the list.
            drop_last: leave out an incomplete last batch, unless it is the only one.
            rank: index of this process among `world`.
            world: number of processes that share each batch.
            context: how processes are started, such as "spawn"; None takes the platform's default.

        Raises:
            InputError: a radiograph of the list is missing.
        """
        require_images(image_list, images.names)
        self._count = len(image_list)
        self._batch_size = batch_size
        self._seed = seed
        self._drop_last = drop_last
        self._rank, self._world = rank, world
        self._sampler = _BatchSampler()
        workers = 0 if images.copies(side) else num_workers
        self._loader = DataLoader(
            _BatchDataset(image_list, images, side),
            batch_size=None,  # the sampler yields whole batches, so that a reader reads one at a time
            sampler=self._sampler,
            num_workers=workers,
            # Each epoch draws a seed for its readers. Drawn from torch's global generator, an epoch that is
            # resumed in its middle would change every dropout after it.
            generator=torch.Generator(),
            persistent_workers=workers > 0,
            worker_init_fn=_ignore_first_signals,
            multiprocessing_context=context if workers else None,
        )

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        whole, rest = divmod(self._count, self._batch_size)
        return whole + (rest > 0 and not (self._drop_last and whole))

    def epoch(self, epoch: int = 0, first: int = 0) -> Iterator[Batch]:
        """Read the list once.

        Args:
            epoch: number of the epoch; together with the seed it determines the order.
            first: the batch to begin with, for a run that is resumed in the middle of an epoch.

        Yields:
            Batches on the CPU; where a last batch has fewer members than ranks, some ranks get none of it.

        Raises:
            InputError: a radiograph cannot be decoded.
        """
        order = np.arange(self._count)
        if self._seed is not None:
            order = np.random.default_rng([self._seed, epoch]).permutation(self._count)
        starts = range(first * self._batch_size, len(self) * self._batch_size, self._batch_size)
        shares = [order[start : start + self._batch_size][self._rank :: self._world] for start in starts]
        self._sampler.shares = [share for share in shares if len(share)]
        for read in self._started_loader():
            if isinstance(read, InputError):
                raise read
            yield Batch(*read)

    def _started_loader(self) -> Iterator[tuple[Tensor, Tensor, Tensor] | InputError]:
        earlier = set(active_children())
        loader = iter(self._loader)
        readers = set(active_children()) - earlier
        if readers:
            atexit.register(_end_readers, readers)
        return loader


def _end_readers(readers: Iterable[BaseProcess]) -> None:
    # After an error its traceback may still refer to the loader, which then does not end its readers. Python
    # would send each one SIGTERM and wait for it, without end if the reader ignores it.
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would report the readers as crashed
    for reader in readers:
        reader.kill()


def _ignore_first_signals(_worker: int) -> None:
    # Ctrl-C and a scheduler's SIGTERM reach every process of a run, and without its readers a training
    # could not save itself. A second SIGTERM ends a reader.
    for name in ("SIGINT", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))


class _BatchSampler(Sampler):
    # The loader and its readers are kept from epoch to epoch; what they read is set for each.
    def __init__(self) -> None:
        self.shares: list[np.ndarray] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.shares)

    def __len__(self) -> int:
        return len(self.shares)


class _BatchDataset(Dataset):
    def __init__(self, image_list: ImageList, images: ImageSource, side: int) -> None:
        self._names, self._labels = image_list.names, image_list.labels
        self._images = images
        self._side = side

    def __getitem__(self, index: np.ndarray) -> tuple[Tensor, Tensor, Tensor] | InputError:
        try:
            images = self._images.read([self._names[i] for i in index], self._side)
        except InputError as error:
            return error  # raised in a reader, it would arrive with a traceback as its message
        labels = self._labels[index].astype(np.float32)
        return torch.from_numpy(images), torch.from_numpy(labels), torch.from_numpy(index)
