"""A training small enough for a test: 40 radiographs in memory, and a network with BatchNorm and dropout."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from cxr14.data.image_lists import ImageList
from cxr14.data.provenance import of_lists
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint
from cxr14.runtime.distributed import ProcessGroup
from cxr14.settings import TrainSettings
from cxr14.training import losses
from cxr14.training.data import Data
from cxr14.training.loop import TrainingLoop
from cxr14.training.train_step import TrainStep

COUNT, SIDE = 40, 37


class MemoryImages:
    """Random radiographs in memory."""

    def __init__(self, count: int, seed: int) -> None:
        self.pixels = np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)
        self.names = {f"{number:08d}_000.png": number for number in range(count)}

    def copies(self, side):
        """Return that reading needs no processes of its own."""
        return True

    def read(self, names, side):
        """Return the named radiographs."""
        assert side == SIDE
        return self.pixels[[self.names[name] for name in names]]


def toy_data() -> Data:
    """Return 40 training and 20 validation radiographs, labelled by brightness."""
    images = MemoryImages(COUNT + COUNT // 2, seed=5)
    brightness = images.pixels.mean(axis=(1, 2))
    corners = (
        images.pixels[:, : len(FINDINGS), 0].astype(float) + 9 * (brightness - brightness.mean())[:, None]
    )
    labels = (corners > np.median(corners, axis=0)).astype(np.uint8)
    names = list(images.names)
    train = ImageList(Path("train.txt"), names[:COUNT], labels[:COUNT])
    return Data(train, ImageList(Path("val.txt"), names[COUNT:], labels[COUNT:]), images)


def toy_network(dropout: float = 0.2, norm: bool = True) -> nn.Module:
    """Return a network with convolution, BatchNorm and dropout, from fixed initial weights."""
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 8, 5, stride=4), nn.BatchNorm2d(8) if norm else nn.Identity(), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(dropout), nn.Linear(32, len(FINDINGS))]
    return nn.Sequential(*layers)


def toy_settings(folder: Path, **changes) -> TrainSettings:
    """Return settings of a training of 4 epochs with 5 batches each."""
    values = {
        "data_dir": folder,
        "train_image_list": folder / "train.txt",
        "val_image_list": folder / "val.txt",
        "ckpt_path": folder / "toy.pth",
        "batch_size": 8,
        "num_epochs": 4,
        "learning_rate": 0.01,
        "image_size": 32,
        "num_workers": 0,
        "device": "cpu",
        "ema_decay": 0.9,
    }
    return TrainSettings(**(values | changes))


def toy_training(
    settings: TrainSettings, loss=losses.binary_cross_entropy, network=None, group=None
) -> TrainingLoop:
    """Return a training on the toy radiographs."""
    data, group = toy_data(), group or ProcessGroup(torch.device("cpu"))
    train_batches, val_batches = data.batches(settings, group)
    train_step = TrainStep(network or toy_network(), loss, settings, group, len(train_batches))
    about = checkpoint.About(network="toy", image_size=settings.image_size)
    identity = {"seed": settings.seed, "batch_size": settings.batch_size, **data.fingerprints}
    provenance = of_lists(data.train, data.val)
    return TrainingLoop(train_step, data, train_batches, val_batches, identity, about, provenance)


def weights_of(training: TrainingLoop) -> dict[str, torch.Tensor]:
    """Return everything that was trained: weights, running statistics, moving average."""
    train_step = training.train_step
    weights = {f"model.{name}": value for name, value in train_step.model.state_dict().items()}
    if train_step.ema:
        for name, value in train_step.ema.module.state_dict().items():
            weights[f"ema.{name}"] = value
    return {name: value.clone() for name, value in weights.items()}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    """Compare bit for bit."""
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
