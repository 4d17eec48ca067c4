"""The networks: equality with the published ones, the contract of ``build_model``, own folders, timm."""

import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from timm.models._efficientnet_blocks import InvertedResidual
from torch import nn

from cxr14.errors import InputError
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from cxr14.settings import ROOT
from tests import published_files

each_network = pytest.mark.parametrize("name", zoo.NAMES)
each_searched_network = pytest.mark.parametrize("name", ["1-EEEA-Net-C2", "2-OFA-595"])


@each_network
def test_logits_equal_those_of_the_published_network(name: str, tmp_path):
    torch.save(published_files.state_dict(name), tmp_path / "published.pt")
    model = zoo.build(name, published_files.outputs(name), pretrained=False)
    checkpoint.load_weights(model, tmp_path / "published.pt")
    with torch.inference_mode():
        logits = model.eval()(published_files.images(name))[:, :14]
    published = published_files.logits(name)
    assert (logits - published).abs().max() <= 1e-4 * published.abs().max()


@each_network
def test_output_is_14_finite_float32_logits_at_any_image_size(name: str):
    for image_size in (64, 128, 224):
        model = zoo.build(name, pretrained=False, image_size=image_size).eval()
        with torch.inference_mode():
            logits = model(torch.randn(1, 3, image_size, image_size))
        assert logits.shape == (1, 14)
        assert logits.dtype == torch.float32
        assert torch.isfinite(logits).all()


@each_network
def test_outputs_are_logits_not_probabilities(name: str):
    model = zoo.build(name, pretrained=False, image_size=64).eval()
    nn.init.constant_(model.get_classifier().bias, 9.0)
    nn.init.zeros_(model.get_classifier().weight)
    with torch.inference_mode():
        assert torch.allclose(model(torch.randn(1, 3, 64, 64)), torch.full((1, 14), 9.0))


@each_network
def test_every_parameter_gets_a_gradient(name: str):
    model = zoo.build(name, pretrained=False, image_size=64).train()
    # Skip blocks initialised to the identity pass no gradient to their inner layers in the first step.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    model(torch.randn(4, 3, 64, 64)).square().sum().backward()
    without = [
        key for key, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    assert without == []


@each_searched_network
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


def test_unknown_name_raises_input_error_with_the_known_ones():
    with pytest.raises(InputError, match=r"no network '3-chexnet'; known are .*3-CheXNet, 4-Visformer-small"):
        zoo.build("3-chexnet", pretrained=False)


@pytest.mark.parametrize("name", ["", ".", "..", "cxr14", "../models/1-EEEA-Net-C2"])
def test_a_folder_without_a_number_is_no_network(name: str):
    with pytest.raises(InputError, match="no network"):
        zoo.model_file(name)


def test_image_size_below_the_minimum_raises_input_error():
    with pytest.raises(InputError, match="image size of 16"):
        zoo.build("3-CheXNet", pretrained=False, image_size=16)


@each_network
def test_build_model_has_the_documented_defaults(name: str):
    parameters = inspect.signature(zoo.model_file(name).build_model).parameters.values()
    defaults = {parameter.name: parameter.default for parameter in parameters}
    assert defaults == {"num_classes": 14, "pretrained": True, "image_size": 224}


# A user's own folder

OWN = "8-My-Network"
OWN_MODEL = """
from torch import nn

def build_model(num_classes=14, pretrained=True, image_size=224):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))
"""


@pytest.fixture
def own_folder(tmp_path, monkeypatch) -> Path:
    """A repository with a network of the user's own beside EEEA-Net-C2."""
    monkeypatch.setattr(zoo, "ROOT", tmp_path)
    monkeypatch.setattr(zoo, "_modules", {})
    shutil.copytree(ROOT / "1-EEEA-Net-C2", tmp_path / "1-EEEA-Net-C2")
    (tmp_path / OWN).mkdir()
    (tmp_path / OWN / "model.py").write_text(OWN_MODEL)
    return tmp_path / OWN


def test_a_users_own_numbered_folder_is_built_by_its_name(own_folder, tmp_path):
    assert zoo.available() == (*zoo.NAMES, OWN)
    model = zoo.build(OWN, pretrained=False)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 14)
    about = checkpoint.About(network=OWN, image_size=32)
    checkpoint.save(tmp_path / "model8.pth", model.state_dict(), about)
    loaded, _ = checkpoint.load(tmp_path / "model8.pth")
    assert torch.equal(loaded[2].weight, model[2].weight)


def test_missing_own_folder_raises_input_error_that_lists_the_others(own_folder):
    shutil.rmtree(own_folder)
    with pytest.raises(InputError, match=f"no network '{OWN}'; known are 1-EEEA-Net-C2, .*AutoFormerV2-base"):
        zoo.build(OWN)


def test_a_model_file_without_build_model_raises_input_error(own_folder):
    (own_folder / "model.py").write_text("")
    with pytest.raises(InputError, match=r"8-My-Network/model\.py has no function build_model"):
        zoo.build(OWN)


def test_a_model_file_with_an_error_raises_it_each_time(own_folder):
    (own_folder / "model.py").write_text("import no_such_module")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            zoo.build(OWN)


def test_a_missing_model_file_of_the_study_raises_input_error(own_folder):
    with pytest.raises(InputError, match="clone the whole repository"):
        zoo.build("3-CheXNet")


# Through timm


def test_importing_the_package_registers_with_timm():
    count = "sum(p.numel() for p in timm.create_model('eeea_net_c2').parameters())"
    code = f"import timm, cxr14.models; print({count})"  # timm before cxr14; above it may be the other way
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 4_732_838 + (1000 - 14) * (1280 + 1)  # the ImageNet classifier


@each_searched_network
def test_timm_builds_the_same_network_as_the_zoo(name: str):
    torch.manual_seed(0)
    ours = zoo.build(name, pretrained=False)
    torch.manual_seed(0)
    theirs = timm.create_model(zoo.model_file(name).TIMM_NAME, num_classes=14)
    assert str(ours) == str(theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert ours.pretrained_cfg == theirs.pretrained_cfg


def test_timm_passes_its_own_options_on():
    model = timm.create_model("ofa_595", num_classes=3, in_chans=1, drop_rate=0.5)
    assert model(torch.zeros(2, 1, 64, 64)).shape == (2, 3)
    assert model.drop_rate == 0.5


@pytest.mark.parametrize("in_chans", [3, 1])
def test_timm_loads_the_published_file(in_chans: int, tmp_path, monkeypatch):
    """``pretrained=True`` through timm's own loader, which adapts the first convolution to gray images."""
    published = published_files.state_dict("1-EEEA-Net-C2")
    torch.save(published, tmp_path / "eeea-c2.pt")
    monkeypatch.setattr(zoo.model_file("1-EEEA-Net-C2"), "WEIGHTS_URL", f"file://{tmp_path}/eeea-c2.pt")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    model = timm.create_model("eeea_net_c2", pretrained=True, num_classes=14, in_chans=in_chans)
    assert torch.equal(model.conv_head.weight, published["feature_mix_layer.conv.weight"])
    stem = published["first_conv.conv.weight"]
    expected = stem if in_chans == 3 else stem.sum(1, keepdim=True)
    assert torch.allclose(model.conv_stem.weight, expected)


@each_network
def test_a_folder_in_timms_hub_layout_loads_with_its_weights(name: str, tmp_path):
    model = zoo.build(name, pretrained=False, image_size=64).eval()
    timm.models.save_for_hf(model, tmp_path, model_config={"label_names": FINDINGS})
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(image), model(image))
    assert loaded.pretrained_cfg["label_names"] == list(FINDINGS)
