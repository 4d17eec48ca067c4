"""A network and image lists -> predictions, for the test scripts and for verification."""

import dataclasses

import numpy as np
from scipy.special import expit
from torch import nn

from cxr14.data.geometry import read_side
from cxr14.data.image_lists import ImageList
from cxr14.data.images import ImageSource
from cxr14.data.loader import Batches
from cxr14.evaluation import inference
from cxr14.evaluation.predictions import Predictions
from cxr14.files import fingerprint
from cxr14.models.checkpoint import Checkpoint
from cxr14.runtime.distributed import ProcessGroup
from cxr14.settings import TestSettings

METRICS_FILE = "metrics.csv"


@dataclasses.dataclass(frozen=True)
class Scorer:
    """A network that is ready to be asked about image lists."""

    model: nn.Module
    images: ImageSource
    held: Checkpoint
    settings: TestSettings
    group: ProcessGroup

    def __call__(self, image_list: ImageList, split: str) -> Predictions:
        """Return what the network says about every radiograph of the list.

        Args:
            image_list: N radiographs.
            split: "val" or "test": what the list is for.
        """
        about = self.held.about
        batches = Batches(
            image_list,
            self.images,
            side=read_side(about.image_size),
            batch_size=self.settings.batch_size,
            num_workers=self.settings.num_workers,
            rank=self.group.rank,
            world=self.group.world_size,
        )
        logits = inference.predict(
            self.model,
            batches,
            self.group,
            image_size=about.image_size,
            crops=self.settings.crops,
            note=f"{split} list, {self.settings.crops} crops",
        )
        return Predictions(
            names=np.array(image_list.names),
            patients=np.array(image_list.patients),
            labels=image_list.labels,
            probabilities=expit(logits),
            logits=logits,
            split=split,
            network=about.network,
            teacher=about.teacher,
            checkpoint_fingerprint=fingerprint(self.settings.ckpt_path),
            list_fingerprint=image_list.fingerprint,
        )
