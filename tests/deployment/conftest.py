"""Radiographs, checkpoints and an exported model for the tests of the deployment."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cxr14.data import augment
from cxr14.data.image_lists import write_list
from cxr14.deployment.export.command import export
from cxr14.deployment_settings import ExportSettings
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo

COUNT = 6


def smooth_noise(rng, size):
    """Return a picture of smooth noise with a brightness and a contrast of its own."""
    low, high = sorted(rng.choice(256, 2, replace=False))
    noise = rng.integers(low, high + 1, (9, 9), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def radiographs(tmp_path_factory):
    """A folder with images/ (smooth noise of several sizes) and list.txt."""
    folder = tmp_path_factory.mktemp("radiographs")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    names = [f"{number:08d}_000.png" for number in range(COUNT)]
    for name, size in zip(names, [(256, 256), (300, 280), (1024, 900)] * 2, strict=True):
        smooth_noise(rng, size).save(folder / "images" / name)
    write_list(folder / "list.txt", names, rng.integers(0, 2, (COUNT, len(FINDINGS))))
    return folder


def save_checkpoint(path, network, *, image_size=224, provenance=None, gray=None):
    """Write a checkpoint of random weights whose answers differ from radiograph to radiograph.

    Its BatchNorm statistics and the spread of its logits are those of `gray`, (N, S, S), or of smooth noise.
    """
    torch.manual_seed(2)
    model = zoo.build(network, pretrained=False, image_size=image_size)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain mean over all batches
        if not norm.weight.any():
            nn.init.constant_(norm.weight, 0.2)  # a block that begins as the identity
    rng = np.random.default_rng(1)
    if gray is None:
        count = 16 if norms else 8
        gray = np.stack([np.asarray(smooth_noise(rng, (image_size, image_size))) for _ in range(count)])
    images = augment.normalise(torch.from_numpy(gray))
    with torch.no_grad():
        if norms:
            model.train()(images)
        model.get_classifier().weight *= 0.2 / model.eval()(images).std(dim=0).mean()
    about = checkpoint.About(network=network, image_size=image_size, splits={"train": "abc"})
    checkpoint.save(path, model.state_dict(), about, provenance)
    return path


def export_settings(radiographs, ckpt_path, out_dir, **changes):
    """Return settings that compare on the radiographs of the fixture."""
    values = {
        "ckpt_path": ckpt_path,
        "data_dir": radiographs / "images",
        "image_list": radiographs / "list.txt",
        "out_dir": out_dir,
        "precision": "float32",
    }
    return ExportSettings(**(values | changes))


@pytest.fixture(scope="session")
def exported(radiographs, tmp_path_factory):
    """A folder with an exported EEEA-Net-C2 in float32 and its card, and the checkpoint model1.pth."""
    folder = tmp_path_factory.mktemp("exported")
    ckpt_path = save_checkpoint(folder / "model1.pth", zoo.NAMES[0])
    export(export_settings(radiographs, ckpt_path, folder))
    return folder
