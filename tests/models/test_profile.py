"""Parameters, MACs, size and latency, compared with the study and with PyTorch's counter."""

import re

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from cxr14.models import profile, zoo
from cxr14.settings import ROOT
from tests.conftest import run_python
from tests.in_process import run_script

PARA_TESTS = {path.parent.name: path for path in sorted(ROOT.glob("[1-5]-*/para-test-*.py"))}

# The study's table, for 14 outputs. The study's MACs of the last two are for 1000 outputs and include global
# average pooling, which is a layer in the published code of these networks: thop counts (49 + 1) x 768.
PARAMETERS = dict(zip(zoo.NAMES, (4_732_838, 7_620_446, 6_968_206, 39_461_358, 70_367_528), strict=True))
MACS = dict(
    zip(zoo.NAMES, (311_335_744, 543_255_984, 2_895_997_440, 4_757_290_496, 12_749_295_552), strict=True)
)
GLOBAL_POOLING = 38_400
MACS_WITH_ATTENTION = {"4-Visformer-small": 4_878_623_232, "5-AutoFormerV2-base": 13_654_255_104}


@pytest.mark.parametrize("name", zoo.NAMES)
def test_parameters_and_macs_equal_those_of_the_study(name: str):
    model = zoo.build(name, pretrained=False)
    assert profile.total_parameters(model) == PARAMETERS[name]
    if name in MACS_WITH_ATTENTION:
        assert profile.macs_with_attention(model) == MACS_WITH_ATTENTION[name]
        model = zoo.build(name, num_classes=1000, pretrained=False)
        assert profile.macs(model) == MACS[name] - GLOBAL_POOLING
    else:
        assert profile.macs(model) == MACS[name]


@pytest.mark.parametrize("name", ["1-EEEA-Net-C2", "3-CheXNet"])
def test_thop_and_torch_differ_only_in_normalisation_and_pooling(name: str):
    model = zoo.build(name, pretrained=False, image_size=64)
    others = []
    for module in model.modules():
        if isinstance(module, BatchNormAct2d):
            module.register_forward_hook(lambda _, images, __: others.append(4 * images[0].numel()))
        elif isinstance(module, nn.AvgPool2d):
            module.register_forward_hook(lambda _, __, image: others.append(image.numel()))
    expected = profile.macs_with_attention(model, 64) + sum(others)
    assert profile.macs(model, 64) == expected


def test_profiling_does_not_change_the_network():
    model = zoo.build("1-EEEA-Net-C2", pretrained=False, image_size=64).train()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    profile.macs(model, 64)
    profile.macs_with_attention(model, 64)
    assert profile.latency(model, 64, seconds=0) > 0
    assert model.training
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_parameters_table_lists_every_weight():
    model = zoo.build("3-CheXNet", pretrained=False)
    rows = profile.parameters_table(model)
    assert [name for name, _, _ in rows] == [name for name, _ in model.named_parameters()]
    assert rows[0] == ("features.conv0.weight", (64, 3, 7, 7), 64 * 3 * 49)
    assert rows[-1] == ("classifier.bias", (14,), 14)


def test_size_on_disk_equals_that_of_a_file(tmp_path):
    model = zoo.build("1-EEEA-Net-C2", pretrained=False)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    assert profile.size_on_disk(model) == pytest.approx((tmp_path / "model.pth").stat().st_size, rel=0.01)


def test_every_network_has_a_para_test_script():
    assert tuple(PARA_TESTS) == zoo.NAMES


def check_report(report: str, name: str, image_size: int) -> None:
    model = zoo.build(name, pretrained=False, image_size=image_size)
    lines = report.splitlines()
    assert f"The total number of parameters: {profile.total_parameters(model)}" in lines
    assert f"Total FLOPs: {profile.macs(model, image_size)}.0" in lines
    attention = profile.macs_with_attention(model, image_size)
    assert f"MACs with attention, without normalisation: {attention}" in lines
    assert re.search(r"^Size on disk: [\d.]+ MB$", report, re.MULTILINE)
    latency = r"^Latency of one image on this CPU, \d+ threads: [\d.]+ ms \(median\)$"
    assert re.search(latency, report, re.MULTILINE)


@pytest.mark.slow
def test_para_test_from_the_root():
    done = run_python(PARA_TESTS["1-EEEA-Net-C2"].relative_to(ROOT))
    assert done.returncode == 0, done.stderr
    assert "The total number of parameters: 4732838\nTotal FLOPs: 311335744.0\n" in done.stdout
    check_report(done.stdout, "1-EEEA-Net-C2", 224)


@pytest.mark.parametrize("name", zoo.NAMES[1:])
def test_para_test_from_its_folder(name: str):
    done = run_script(PARA_TESTS[name].name, "--image-size", 64, cwd=ROOT / name)
    assert done.returncode == 0
    check_report(done.stdout, name, 64)


@pytest.mark.parametrize("flags", [("--image-size", 8), ("--image-sise", 64)])
def test_para_test_rejects_wrong_flags(flags):
    done = run_script(PARA_TESTS["1-EEEA-Net-C2"], *flags)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "IMAGE_SIZE = 8 is out of range" in done.stderr or "image-sise" in done.stderr
