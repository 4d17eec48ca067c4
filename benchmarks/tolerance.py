"""How far a checkpoint's logits move with batch size, threads, memory layout and TF32's rounding.

    python -m benchmarks.tolerance --ckpt-path MODEL.pth --data-dir IMAGES --image-list LIST

The tolerances of verify-results.py follow from these figures: what may change between two tests on a CPU has
to stay below its tolerance, and what changes the precision has to exceed it. TF32 is imitated on the CPU by
rounding the inputs and weights of each convolution and linear layer to its 10 bits.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from benchmarks.common import Settings, keep_result
from cxr14.data import augment
from cxr14.data.geometry import read_side
from cxr14.data.image_lists import read_list
from cxr14.data.images import open_images
from cxr14.models import checkpoint
from cxr14.runtime import devices
from cxr14.runtime.threads import use_threads


@dataclass(kw_only=True)
class ToleranceSettings(Settings):
    """The benchmark of the tolerances."""

    ckpt_path: tuple[Path, ...]
    """Trained checkpoints."""
    data_dir: Path
    """Folder of the radiographs."""
    image_list: Path
    """Image list; its first radiographs are used."""
    count: int = 256
    """Radiographs."""


@contextmanager
def rounded_to_tf32() -> Iterator[None]:
    """Round the inputs and weights of convolutions and linear layers to TF32 within the block."""
    originals = {kind: kind.forward for kind in (nn.Conv2d, nn.Linear)}

    def rounded(kind: type[nn.Module]) -> object:
        def forward(self: nn.Module, values: Tensor) -> Tensor:
            weight = self.weight
            self.weight = nn.Parameter(to_tf32(weight.detach()), requires_grad=False)
            try:
                return originals[kind](self, to_tf32(values))
            finally:
                self.weight = weight

        return forward

    for kind in originals:
        kind.forward = rounded(kind)
    try:
        yield
    finally:
        for kind, forward in originals.items():
            kind.forward = forward


def to_tf32(values: Tensor) -> Tensor:
    """Return float32 values rounded to the 10 explicit bits of TF32's significand, ties away from zero."""
    return ((values.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


@torch.inference_mode()
def logits_of(model: nn.Module, images: Tensor, batch_size: int, threads: int) -> np.ndarray:
    """Return the (N, 14) logits of (N, S, S) uint8 images."""
    use_threads(threads)
    return torch.cat([model(augment.normalise(part)) for part in images.split(batch_size)]).double().numpy()


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the largest difference of a logit z, relative to max(1, |z|), as in verify-results.py."""
    return float((np.abs(first - second) / np.maximum(1, np.abs(second))).max())


def main(settings: ToleranceSettings) -> None:
    """Measure each checkpoint."""
    image_list = read_list(settings.image_list)
    cores = len(os.sched_getaffinity(0))
    source = open_images(settings.data_dir)
    rows = []
    for path in settings.ckpt_path:
        model, trained = checkpoint.load(path)
        size = trained.about.image_size
        read = source.read(image_list.names[: settings.count], read_side(size))
        images = augment.centre_crop(torch.from_numpy(read), size)
        model = devices.place(model, torch.device("cpu"))
        reference = logits_of(model, images, 64, cores)
        row = {"network": trained.about.network, "image size": size, "radiographs": len(images)}
        row["batches of 1"] = distance(logits_of(model, images, 1, cores), reference)
        row["batches of 7"] = distance(logits_of(model, images, 7, cores), reference)
        row["one thread"] = distance(logits_of(model, images, 64, 1), reference)
        contiguous = model.to(memory_format=torch.contiguous_format)
        row["contiguous"] = distance(logits_of(contiguous, images, 64, cores), reference)
        with rounded_to_tf32():
            row["TF32"] = distance(logits_of(model, images, 64, cores), reference)
        rows.append(row)
    keep_result(settings, "tolerance", torch.device("cpu"), {"rows": rows})


if __name__ == "__main__":
    main(tyro.cli(ToleranceSettings, description=__doc__))
