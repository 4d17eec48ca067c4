"""BatchNorm folded into convolutions leaves the function of a network."""

import copy

import pytest
import torch
from torch import nn

from cxr14.models import zoo
from cxr14.models.folding import fold

SIZE = 64


def with_statistics(model):
    """Give BatchNorm layers statistics and weights that matter."""
    torch.manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return model.eval()


def images(count=3):
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def count_norms(model):
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.fixture
def float64():
    """Make new tensors float64: an untrained Visformer enlarges the errors of float32 ten thousand times."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", zoo.NAMES)
def test_every_network_keeps_its_function_and_its_own_layers(name, float64):
    model = with_statistics(zoo.build(name, pretrained=False, image_size=SIZE))
    before = copy.deepcopy(model.state_dict())
    folded = fold(model, SIZE)
    with torch.no_grad():
        expected, found = model(images()), folded(images())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10 * float(expected.std()))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(("name", "left"), [("1-EEEA-Net-C2", 0), ("2-OFA-595", 0)])
def test_all_layers_of_the_mobile_networks_are_folded(name, left):
    model = with_statistics(zoo.build(name, pretrained=False, image_size=SIZE))
    assert count_norms(model) > 40
    assert count_norms(fold(model, SIZE)) == left


class Skip(nn.Module):
    """A convolution whose output is used beside the BatchNorm too."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.pool = nn.Conv2d(3, 14, 3), nn.BatchNorm2d(14), nn.AdaptiveAvgPool2d(1)

    def forward(self, images):
        """Return (B, 14) logits."""
        out = self.conv(images)
        return self.pool(self.norm(out) + out).flatten(1)


class Twice(nn.Module):
    """A convolution whose output two BatchNorm layers take."""

    def __init__(self):
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 14, 3), nn.AdaptiveAvgPool2d(1)
        self.first, self.second = nn.BatchNorm2d(14), nn.BatchNorm2d(14)

    def forward(self, images):
        """Return (B, 14) logits."""
        out = self.conv(images)
        return self.pool(self.first(out).relu() + self.second(out)).flatten(1)


@pytest.mark.parametrize("kind", [Skip, Twice])
def test_output_that_is_used_elsewhere_is_not_folded(kind):
    model = with_statistics(kind())
    assert fold(model, SIZE) is model


def test_network_without_batchnorm_or_one_that_cannot_be_copied_is_returned():
    plain = nn.Sequential(nn.Conv2d(3, 14, SIZE), nn.Flatten()).eval()
    assert fold(plain, SIZE) is plain
    odd = with_statistics(nn.Sequential(nn.Conv2d(3, 14, SIZE), nn.BatchNorm2d(14), nn.Flatten()))
    odd.generator = (item for item in ())
    assert fold(odd, SIZE) is odd
