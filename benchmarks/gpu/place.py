"""Where the parts of the benchmark run, and how large they are there."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from benchmarks.training import Bench, TrainingSettings
from cxr14.data import augment
from cxr14.models import zoo
from cxr14.runtime import devices
from cxr14.settings import STUDENT


@dataclass
class Place:
    """A device, a folder for files, and the sizes: those of the study on a GPU, small ones on the CPU.

    On the CPU the parts show that they work, not how fast anything is.
    """

    device: torch.device
    folder: Path

    @property
    def is_gpu(self) -> bool:
        """Whether the device is a CUDA GPU."""
        return self.device.type == "cuda"

    @property
    def networks(self) -> tuple[str, ...]:
        """Folders of the networks that are tried."""
        return zoo.NAMES if self.is_gpu else (STUDENT,)

    @property
    def image_size(self) -> int:
        """Side of the input, in pixels."""
        return 224 if self.is_gpu else 64

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Batch sizes at which the loop is timed."""
        return (64, 256, 512) if self.is_gpu else (2,)

    @property
    def seconds(self) -> float:
        """About how long one comparison takes."""
        return 6.0 if self.is_gpu else 0.2

    @cached_property
    def _bench(self) -> Bench:
        settings = TrainingSettings(
            device=str(self.device),
            image_size=self.image_size,
            batch_size=self.batch_sizes[0],
            files=64 if self.is_gpu else 4,
            seconds=self.seconds,
        )
        return Bench(settings, self.folder / "bench")

    def bench(self, batch_size: int) -> Bench:
        """Return what times the loop and the bare step, at a batch size."""
        bench = self._bench
        bench.settings = replace(bench.settings, batch_size=batch_size)
        bench.load_batch()
        return bench

    def network(self, name: str, seed: int = 0) -> nn.Module:
        """Return a network with random weights, in eval mode, on the CPU.

        Its BatchNorm has seen a batch: without that, activations grow from layer to layer, and Visformer's
        leave the range of float16.
        """
        torch.manual_seed(seed)
        model = zoo.build(name, pretrained=False, image_size=self.image_size)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            model(augment.normalise(augment.centre_crop(self.radiographs(8), self.image_size)))
        return model.eval()

    def placed(self, name: str) -> nn.Module:
        """Return the same network on the device."""
        return devices.place(self.network(name), self.device)

    def radiographs(self, count: int) -> torch.Tensor:
        """Return (count, R, R) uint8 smooth noise on the CPU, as large as radiographs are read."""
        side = round(self.image_size * 256 / 224)
        coarse = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        smooth = nn.functional.interpolate(coarse, (side, side), mode="bicubic")
        return (255 * smooth[:, 0]).clamp(0, 255).to(torch.uint8)
