"""A training small enough for a test: 40 radiographs in memory, and a network with all that is awkward."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from cxr14.data.image_lists import ImageList
from cxr14.data.loader import Batches
from cxr14.findings import FINDINGS
from cxr14.runtime.distributed import ProcessGroup
from cxr14.script import as_plain
from cxr14.settings import TrainSettings
from cxr14.training import losses
from cxr14.training.learner import Learner
from cxr14.training.loop import Data, Training

COUNT, SIDE = 40, 37


class MemoryImages:
    """Radiographs that exist nowhere but here."""

    def __init__(self, count: int, seed: int) -> None:
        self.pixels = np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)
        self.names = {f"{number:08d}_000.png": number for number in range(count)}

    def copies(self, side):
        """Tell that no process is needed to help with reading."""
        return True

    def read(self, names, side):
        """Return the named radiographs."""
        assert side == SIDE
        return self.pixels[[self.names[name] for name in names]]


def toy_data() -> Data:
    """Return 40 radiographs to learn from and 20 others to validate on, labelled by brightness."""
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
) -> Training:
    """Return a training that keeps its best weights in memory, as the attribute `kept`."""
    data, group = toy_data(), group or ProcessGroup(torch.device("cpu"))
    shares = {
        "side": SIDE,
        "batch_size": settings.batch_size,
        "rank": group.rank,
        "world": group.world_size,
    }
    train = Batches(data.train, data.images, seed=settings.seed, drop_last=True, **shares)
    val = Batches(data.val, data.images, **shares)
    learner = Learner(network or toy_network(), loss, settings, group, len(train))
    kept = {}

    def keep(weights, epoch, auroc):
        kept.update(weights=weights, epoch=epoch, auroc=auroc)

    identity = {name: value for name, value in as_plain(settings).items() if name in ("seed", "batch_size")}
    training = Training(learner, data, train, val, keep, identity | data.fingerprints)
    training.kept = kept
    return training


def weights_of(training: Training) -> dict[str, torch.Tensor]:
    """Return all that was learnt: weights, running statistics, moving average."""
    learnt = {f"model.{name}": value for name, value in training.learner.model.state_dict().items()}
    if training.learner.ema:
        learnt |= {f"ema.{name}": value for name, value in training.learner.ema.module.state_dict().items()}
    return {name: value.clone() for name, value in learnt.items()}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    """Compare bit for bit."""
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
