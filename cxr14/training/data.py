"""The lists and radiographs of a training, and this process's batches of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cxr14.data import splits
from cxr14.data.geometry import read_side
from cxr14.data.image_lists import ImageList, read_list, require_both_classes, require_disjoint
from cxr14.data.images import ImageSource, open_images
from cxr14.data.loader import Batches
from cxr14.data.preload import preload
from cxr14.errors import InputError
from cxr14.runtime.distributed import ProcessGroup
from cxr14.settings import LoopSettings


@dataclass(frozen=True)
class Data:
    """The training list, the validation list, and the radiographs of both."""

    train: ImageList
    val: ImageList
    images: ImageSource
    larger_side: int = 0
    """Side in pixels at which training radiographs are read for a teacher that sees them sharper; 0: for the
    network itself."""
    is_halved: bool = False
    """Whether one half of the validation list, by patient, selects the epoch and the other calibrates."""

    @cached_property
    def selection_part(self) -> ImageList:
        """The part of the validation list that selects the epoch: all of it, or one half."""
        return self._half(0) if self.is_halved else self.val

    @cached_property
    def calibration_part(self) -> ImageList:
        """The half of the validation list that teachers are calibrated on."""
        return self._half(1)

    def _half(self, which: int) -> ImageList:
        members = set(splits.halves(self.val.names)[which])
        return self.val.subset(np.flatnonzero([name in members for name in self.val.names]))

    @classmethod
    def read(cls, settings: LoopSettings, is_main: bool = True) -> "Data":
        """Read the lists and open the folder of the radiographs.

        Args:
            settings: settings of the training.
            is_main: whether this process shows the bar of PRELOAD.

        Raises:
            InputError: one cannot be read, a patient is in both lists, or no finding of the validation
                list has both classes.
        """
        train, val = read_list(settings.train_image_list), read_list(settings.val_image_list)
        require_disjoint(train, val)
        require_both_classes(val)
        return cls(train, val, open_images(preload(settings.data_dir, settings.preload, is_main)))

    @property
    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of each list, by its split."""
        return {"train": self.train.fingerprint, "val": self.val.fingerprint}

    def require_share_for_each_process(self, batch_size: int, group: ProcessGroup) -> None:
        """Refuse batches that leave a process without radiographs; the others would wait for it forever.

        Raises:
            InputError: the batches or the training list have fewer radiographs than there are processes.
        """
        if batch_size < group.world_size:
            raise InputError(
                f"BATCH_SIZE = {batch_size} is less than the {group.world_size} processes, which share each "
                "batch; use a larger one or fewer processes."
            )
        if len(self.train) < group.world_size:
            raise InputError(
                f"{self.train.path} has {len(self.train)} radiographs for {group.world_size} processes; use "
                "fewer processes."
            )

    def batches(self, settings: LoopSettings, group: ProcessGroup) -> tuple[Batches, Batches]:
        """Return the batches of the training list, in a new order each epoch, and of the validation list.

        Raises:
            InputError: a radiograph is missing.
        """

        side = read_side(settings.image_size)

        def batches_of(image_list: ImageList, side: int, seed: int | None, drop_last: bool) -> Batches:
            return Batches(
                image_list,
                self.images,
                side=side,
                batch_size=settings.batch_size,
                num_workers=settings.num_workers,
                seed=seed,
                drop_last=drop_last,
                rank=group.rank,
                world=group.world_size,
            )

        train = batches_of(self.train, self.larger_side or side, settings.seed, True)
        return train, batches_of(self.selection_part, side, None, False)
