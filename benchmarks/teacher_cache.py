"""A step of a student with five cached teachers, against the same step on labels alone.

    python -m benchmarks.teacher_cache

Both take their steps by turns in one process, on the same radiographs; the ratio is the median over
neighbours in time. The teachers' logits lie in five files, as a training that has run before left them. Only
time is measured. Writes benchmarks/results/teacher-cache-DEVICE.json.
"""

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import nn

from benchmarks.common import Settings, keep_result
from benchmarks.turns import timed
from cxr14.findings import FINDINGS
from cxr14.models import zoo
from cxr14.runtime import devices
from cxr14.runtime.distributed import ProcessGroup
from cxr14.settings import STUDENT, TrainSettings
from cxr14.training import losses
from cxr14.training.distillation import Combination, Distillation, Teacher
from cxr14.training.teacher_cache import TeacherCache
from cxr14.training.train_step import TrainStep

TEACHERS = 5


@dataclass(kw_only=True)
class CacheSettings(Settings):
    """Settings of this benchmark."""

    device: str = "auto"
    """As in a train script."""
    image_size: int = 64
    """Side of the square that the student sees, in pixels; smaller steps make the cache's share larger."""
    batch_size: int = 32
    """Radiographs in one step."""
    steps: int = 100
    """Steps of each loss."""


def main(settings: CacheSettings) -> None:
    """Measure, print and keep."""
    group = ProcessGroup(devices.choose(settings.device))
    side = settings.image_size * 8 // 7
    rows = settings.steps * settings.batch_size
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (settings.batch_size, side, side), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 2, (settings.batch_size, len(FINDINGS)), generator=generator).float()
    images, labels = images.to(group.device), labels.to(group.device)
    compare = partial(losses.matching_loss, temperature=1.0, label_weight=0.1)
    combination = Combination(torch.full((TEACHERS, len(FINDINGS)), 1 / TEACHERS), torch.zeros(len(FINDINGS)))
    with tempfile.TemporaryDirectory() as folder:
        caches = [TeacherCache(Path(folder), {"teacher": k}, rows, len(FINDINGS)) for k in range(TEACHERS)]
        for cache in caches:
            cache.logits(0, slice(0, rows), partial(torch.randn, rows, len(FINDINGS)))
        teachers = [Teacher(nn.Identity(), cache) for cache in caches]
        compared = {
            "labels alone": losses.binary_cross_entropy,
            "five cached teachers": Distillation(teachers, compare, combination),
        }
        steps = {name: _step(loss, settings, group, Path(folder)) for name, loss in compared.items()}
        seconds: dict[str, list[float]] = {name: [] for name in compared}
        for number in range(settings.steps):
            for name, step in steps.items():
                take = partial(
                    step, images, labels, batch_size=settings.batch_size, epoch=0, batch=number, step=number
                )
                seconds[name].append(timed(take, 1, group.device))
    taken = {name: np.array(values[2:]) for name, values in seconds.items()}  # the first ones warm up
    ratio = float(np.median(taken["five cached teachers"] / taken["labels alone"]))
    row = {f"{name}, ms": float(1e3 * np.median(values)) for name, values in taken.items()}
    row["ratio"] = ratio
    recorded = {name: value for name, value in vars(settings).items() if name != "keep_in"}
    keep_result(settings, "teacher-cache", group.device, {"settings": recorded, "rows": [row]})


def _step(loss: losses.Loss, settings: CacheSettings, group: ProcessGroup, folder: Path) -> TrainStep:
    training = TrainSettings(
        data_dir=folder,
        ckpt_path=folder / "bench.pth",
        train_image_list=folder,
        val_image_list=folder,
        batch_size=settings.batch_size,
        num_epochs=1,
        learning_rate=1e-6,
        image_size=settings.image_size,
    )
    torch.manual_seed(0)
    model = zoo.build(STUDENT, pretrained=False, image_size=settings.image_size)
    return TrainStep(model, loss, training, group, steps_per_epoch=settings.steps)


if __name__ == "__main__":
    main(tyro.cli(CacheSettings, description=__doc__))
