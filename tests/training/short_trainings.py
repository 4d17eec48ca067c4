"""Trainings of a small network and distillations from a made teacher, by the constants of a script."""

import torch
from torch import nn

from cxr14.models import checkpoint, zoo
from cxr14.script import read_settings
from cxr14.settings import STUDENT, DistillAllSettings, DistillSettings, TrainSettings
from cxr14.training.command import distill, train


def build_small(num_classes=14, pretrained=True, image_size=64):
    """Build a network that trains in no time."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.Dropout(0.1), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, num_classes),
    )  # fmt: skip


def run_train(constants, **changes):
    """Train the small network; return the checkpoint."""
    settings = read_settings(TrainSettings, constants | changes, [])
    train(build_small, settings)
    return checkpoint.read(settings.ckpt_path)


def save_network(path, network=STUDENT, seed=0, provenance=None, image_size=64):
    """Save a network with random weights, as a start or a teacher."""
    torch.manual_seed(seed)
    model = zoo.build(network, pretrained=False, image_size=image_size)
    about = checkpoint.About(network=network, image_size=image_size)
    checkpoint.save(path, model.state_dict(), about, provenance)


def save_small(path, seed=0, provenance=None):
    """Save the small network with random weights."""
    torch.manual_seed(seed)
    about = checkpoint.About(network=STUDENT, image_size=64)
    checkpoint.save(path, build_small().state_dict(), about, provenance)


def run_distill(constants, teacher, **changes):
    """Distil a teacher into EEEA-Net-C2; return the checkpoint."""
    values = {"TEACHER": STUDENT, "TEACHER_CKPT_PATH": str(teacher), "TEMPERATURE": 2.0}
    values["DISTILL_LOSS"] = "bernoulli"
    settings = read_settings(DistillSettings, constants | values | changes, [])
    distill(settings)
    return checkpoint.read(settings.ckpt_path)


def run_distill_all(constants, *paths, **changes):
    """Distil several teachers into EEEA-Net-C2; return the checkpoint."""
    shared = {"TEACHERS": tuple(map(str, paths)), "TEMPERATURE": 1.0, "DISTILL_LOSS": "matching"}
    settings = read_settings(DistillAllSettings, constants | shared | changes, [])
    distill(settings)
    return checkpoint.read(settings.ckpt_path)
