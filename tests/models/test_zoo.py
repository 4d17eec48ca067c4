"""The five networks: they are the published ones, and each keeps the contract of ``build_model``."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import timm
import torch
from timm.models._efficientnet_blocks import InvertedResidual
from torch import nn

from cxr14.errors import InputError
from cxr14.models import checkpoint, zoo
from tests import published_files

each_network = pytest.mark.parametrize("name", zoo.NAMES)


@each_network
def test_it_is_the_published_network_weight_for_weight(name: str, tmp_path):
    torch.save(published_files.state_dict(name), tmp_path / "published.pt")
    model = zoo.build(name, published_files.outputs(name), pretrained=False)
    checkpoint.load_weights(model, tmp_path / "published.pt")
    with torch.inference_mode():
        logits = model.eval()(published_files.images(name))[:, :14]
    published = published_files.logits(name)
    assert (logits - published).abs().max() <= 1e-4 * published.abs().max()


@each_network
def test_contract(name: str):
    torch.manual_seed(0)
    for image_size in (64, 128, 224):
        model = zoo.build(name, pretrained=False, image_size=image_size).eval()
        with torch.inference_mode():
            logits = model(torch.randn(1, 3, image_size, image_size))
        assert logits.shape == (1, 14)
        assert logits.dtype == torch.float32
        assert torch.isfinite(logits).all()


@each_network
def test_logits_are_not_squeezed_into_probabilities(name: str):
    model = zoo.build(name, pretrained=False, image_size=64).eval()
    nn.init.constant_(model.get_classifier().bias, 9.0)
    nn.init.zeros_(model.get_classifier().weight)
    with torch.inference_mode():
        assert torch.allclose(model(torch.randn(1, 3, 64, 64)), torch.full((1, 14), 9.0))


@each_network
def test_every_weight_learns(name: str):
    torch.manual_seed(0)
    model = zoo.build(name, pretrained=False, image_size=64).train()
    # Blocks that begin as the identity pass no gradient inwards until their last norm has moved.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    model(torch.randn(4, 3, 64, 64)).square().sum().backward()
    still = [key for key, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert still == []


@pytest.mark.parametrize("name", zoo.TIMM_NAMES.values())
def test_skip_blocks_of_a_fresh_searched_network_are_the_identity(name: str):
    model = zoo.build(name, pretrained=False).eval()
    blocks = [b for b in model.modules() if isinstance(b, InvertedResidual) and b.has_skip]
    assert len(blocks) == {"1-EEEA-Net-C2": 13, "2-OFA-595": 14}[name]
    for block in blocks:
        image = torch.randn(1, block.conv_pw.in_channels, 8, 8)
        assert torch.equal(block(image), image)


def test_the_same_seed_builds_the_same_network():
    weights = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        weights.append(zoo.build("1-EEEA-Net-C2", pretrained=False).conv_stem.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_unknown_networks_and_sizes_are_named():
    with pytest.raises(InputError, match="3-CheXNet, 4-Visformer-small"):
        zoo.build("3-chexnet", pretrained=False)
    with pytest.raises(InputError, match="image size of 16"):
        zoo.build("3-CheXNet", pretrained=False, image_size=16)


def load_model_file(path: Path) -> ModuleType:
    """Import a model.py as its neighbouring scripts do: under the name ``model``."""
    spec = importlib.util.spec_from_file_location("model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_timm_knows_the_searched_networks():
    assert timm.create_model("ofa_595", num_classes=14).classifier.out_features == 14
    # Here timm may have come after cxr14; there it comes before.
    count = "sum(p.numel() for p in timm.create_model('eeea_net_c2').parameters())"
    code = f"import timm, cxr14.models; print({count})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 4_732_838 + (1000 - 14) * (1280 + 1)  # the ImageNet classifier
