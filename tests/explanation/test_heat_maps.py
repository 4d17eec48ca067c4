"""Heat maps of networks whose evidence is known, against their formulas, and of all five networks."""

import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from cxr14.data import augment
from cxr14.errors import InputError
from cxr14.explanation import heat_maps
from cxr14.findings import FINDINGS
from cxr14.models import zoo


class BrightSquares(nn.Module):
    """Finding 0 is a bright cell of 8 x 8 pixels, finding 1 is its absence."""

    def __init__(self, channels_last=False):
        super().__init__()
        self.cells = nn.Conv2d(3, 1, 8, stride=8)
        nn.init.constant_(self.cells.weight, 1 / self.cells.weight.numel())
        nn.init.constant_(self.cells.bias, -1.0)  # the normalised background lies below 1
        self.maps = nn.Sequential(nn.ReLU())
        self.channels_last = channels_last

    def forward(self, images):
        cells = self.cells(images)  # (B, 1, 8, 8)
        if self.channels_last:
            evidence = self.maps(cells.permute(0, 2, 3, 1)).mean(dim=(1, 2))
        else:
            evidence = self.maps(cells).mean(dim=(2, 3))
        return torch.cat([evidence, -evidence], dim=1)


class SmallNetwork(nn.Module):
    """A small network with positive and negative gradients everywhere."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(3, 6, 8, stride=8)
        self.head = nn.Linear(6, 4)

    def forward(self, images):
        return self.head(self.maps(images).sigmoid().square().mean(dim=(2, 3)))


@pytest.fixture
def squares():
    """Three dark radiographs of 64 px with one bright cell each."""
    images = torch.full((3, 64, 64), 90, dtype=torch.uint8)
    for image, (top, left) in zip(images, [(0, 56), (24, 16), (56, 0)], strict=True):
        image[top : top + 8, left : left + 8] = 255
    return images


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("method", ["layer-cam", "grad-cam"])
def test_maps_of_a_detector_of_bright_squares_are_highest_there(squares, method, channels_last):
    layer = heat_maps.Layer("maps", 8, channels_last)
    maps, logits = heat_maps.heat_maps(BrightSquares(channels_last).eval(), layer, squares, [0] * 3, method)
    for image, heat in zip(squares, maps, strict=True):
        assert image.flatten()[heat.argmax()] == 255
        assert heat.max() == pytest.approx(1, abs=1e-6)
        bright = (image == 255).numpy()
        assert heat[bright].mean() > 0.6  # a tent over the cell: 0.64
        assert (
            heat[functional.max_pool2d((image == 255)[None, None].float(), 25, 1, 12)[0, 0] == 0].max() == 0
        )
    assert (logits[:, 0] > 0).all()


def test_map_without_evidence_is_zero(squares):
    maps, _ = heat_maps.heat_maps(BrightSquares().eval(), heat_maps.Layer("maps", 8), squares, [1] * 3)
    assert not maps.any()


@pytest.mark.parametrize("method", ["layer-cam", "grad-cam"])
def test_maps_equal_the_formulas_of_their_papers(method):
    torch.manual_seed(3)
    model, findings = SmallNetwork().eval(), [0, 3, 2, 2]
    images = torch.randint(0, 256, (4, 64, 64), dtype=torch.uint8)
    maps, logits = heat_maps.heat_maps(model, heat_maps.Layer("maps", 8), images, findings, method)
    for image, finding, heat, logit_row in zip(images, findings, maps, logits, strict=True):
        cells = model.maps(augment.normalise(image[None])).detach().requires_grad_()
        answer = model.head(cells.sigmoid().square().mean(dim=(2, 3)))[0]
        slope = torch.autograd.grad(answer[finding], cells)[0]
        weight = slope.relu() if method == "layer-cam" else slope.mean(dim=(2, 3), keepdim=True)
        raw = (weight * cells.detach()).sum(dim=1, keepdim=True).relu()
        raw = (raw - raw.min()) / raw.max().sub(raw.min())
        raw = functional.interpolate(raw, (64, 64), mode="bilinear", align_corners=False)[0, 0]
        expected = (raw - raw.min()) / (raw.max() - raw.min())
        np.testing.assert_allclose(heat, expected, atol=1e-4)
        np.testing.assert_allclose(logit_row, answer.detach(), atol=1e-5)


def test_network_is_not_changed(squares):
    model = BrightSquares().eval()
    model.cells.bias.requires_grad_(False)
    heat_maps.heat_maps(model, heat_maps.Layer("maps", 8), squares, [0] * 3)
    assert model.cells.weight.requires_grad
    assert not model.cells.bias.requires_grad
    assert model.cells.weight.grad is None
    assert not model.maps._forward_hooks


@pytest.mark.parametrize(("image_size", "stride"), [(224, 32), (256, 32), (112, 16), (64, 8), (32, 8)])
def test_layer_has_seven_cells_if_the_image_is_large_enough(image_size, stride):
    assert {heat_maps.layer_for(name, image_size).stride for name in zoo.NAMES} == {stride}


@pytest.mark.parametrize("name", zoo.NAMES)
def test_every_network_has_maps_at_every_layer(name):
    model = zoo.build(name, pretrained=False, image_size=64).eval()
    images = torch.randint(0, 256, (2, 64, 64), dtype=torch.uint8)
    for stride, module in heat_maps.LAYERS[name].items():
        layer = heat_maps.Layer(module, stride, name in heat_maps.CHANNELS_LAST)
        sizes = []
        hook = model.get_submodule(module).register_forward_hook(
            lambda module, given, output, sizes=sizes: sizes.append(output.shape)
        )
        maps, logits = heat_maps.heat_maps(model, layer, images, [0, 5])
        hook.remove()
        assert 64 // stride == (sizes[0][1] if layer.channels_last else sizes[0][3]) == sizes[0][2]
        assert maps.shape == (2, 64, 64)
        assert logits.shape == (2, len(FINDINGS))
        assert np.isfinite(maps).all()
        if layer == heat_maps.layer_for(name, 64):
            assert (maps.max(axis=(1, 2)) > 0.99).all()
            assert (maps.std(axis=(1, 2)) > 0.01).all()


# At the last layer: the closed form

SIZE = 64  # 2 x 2 cells


@pytest.fixture(scope="module", params=zoo.NAMES)
def last_layer(request):
    """A network with random weights, its last layer, and four radiographs."""
    torch.manual_seed(4)
    model = zoo.build(request.param, pretrained=False, image_size=SIZE).eval()
    layer = heat_maps.layer_for(request.param, 224)
    return model, layer, torch.randint(0, 256, (4, SIZE, SIZE), dtype=torch.uint8)


@pytest.mark.parametrize("method", ["layer-cam", "grad-cam"])
def test_closed_form_equals_the_gradients(last_layer, method):
    model, layer, images = last_layer
    assert layer.closed_form
    findings = [0, 5, 8, 13]
    cells, logits = heat_maps.all_cells(model, layer, images, method)
    reference, reference_logits = heat_maps.maps_by_gradients(model, layer, images, findings, method)
    np.testing.assert_allclose(logits, reference_logits, atol=1e-5)
    drawn, _ = heat_maps.heat_maps(model, layer, images, findings, method)
    for row, finding in enumerate(findings):
        hottest, coolest = cells[row, finding].max(), cells[row, finding].min()
        if hottest == 0:
            assert not reference[row].any()
            continue
        # Maps are stretched to the range from 0 to 1, and rounding errors with them.
        stretch = hottest / (hottest - coolest)
        assert np.abs(drawn[row] - reference[row]).max() <= 1e-5 * max(stretch, 1)
    assert cells.any(axis=(1, 2, 3)).all()


def test_all_maps_in_closed_form_take_less_time_than_three_by_gradients():
    """Measured: 26 ms with the forward pass, against 14 times 30 ms."""
    model = zoo.build(zoo.NAMES[0], pretrained=False).eval()
    layer = heat_maps.layer_for(zoo.NAMES[0], 224)
    images = torch.randint(0, 256, (1, 224, 224), dtype=torch.uint8).expand(3, -1, -1)

    def shortest(compute):
        seconds = []
        for _ in range(3):
            started = time.process_time()
            compute()
            seconds.append(time.process_time() - started)
        return min(seconds)

    by_gradients = shortest(lambda: heat_maps.maps_by_gradients(model, layer, images, [0, 1, 2]))
    assert shortest(lambda: heat_maps.all_cells(model, layer, images[:1])) < 0.7 * by_gradients


def test_a_network_without_known_layers_raises_input_error():
    with pytest.raises(InputError, match="layers of 8-My-Network are not known"):
        heat_maps.layer_for("8-My-Network", 224)
