"""Crops, flips and normalisation: against torchvision, against each other, and for what they promise."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import v2

from cxr14.data import augment
from cxr14.data.geometry import read_side

SIDE, SIZE = 73, 64


def radiographs(count=24, side=SIDE, seed=0):
    coarse = torch.rand(count, 1, 9, 9, generator=torch.Generator().manual_seed(seed)) * 255
    fine = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    return fine[:, 0].round().clamp(0, 255).to(torch.uint8)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_views(images, share, source, size=SIZE):
    """Cut random parts as a training does."""
    return augment.cut(images, augment.draw_crops(len(images), images.shape[-1], share, source), size)


def test_images_are_read_at_the_studys_ratio():
    assert read_side(224) == 256
    assert read_side(64) == 73


def test_the_same_generator_gives_the_same_crops_and_goes_on_from_its_state():
    images = radiographs()
    source = generator(5)
    first = random_views(images, 0.5, source)
    state = source.get_state()
    second = random_views(images, 0.5, source)
    assert not torch.equal(first, second)
    torch.testing.assert_close(random_views(images, 0.5, generator(5)), first)
    source.set_state(state)
    torch.testing.assert_close(random_views(images, 0.5, source), second)


def test_each_radiograph_has_a_crop_of_its_own():
    same = radiographs(1).repeat(16, 1, 1)
    crops = random_views(same, 0.5, generator())
    assert crops.dtype == torch.uint8 and crops.shape == (16, SIZE, SIZE)
    assert len({bytes(crop.numpy().tobytes()) for crop in crops}) == 16


@pytest.mark.parametrize("share", [0.08, 0.5, 1.0])
def test_crops_lie_inside_and_keep_area_and_shape(share):
    box = augment.draw_crops(2000, 256, share, generator(1))._asdict()
    assert (box["top"] >= 0).all() and (box["top"] + box["height"] <= 256).all()
    assert (box["left"] >= 0).all() and (box["left"] + box["width"] <= 256).all()
    area = box["height"] * box["width"] / 256**2
    assert area.min() > share * 0.97 and area.max() <= 1
    assert abs(area.mean() - (1 + share) / 2) < 0.02  # uniform
    shape = torch.log(box["width"] / box["height"])
    assert shape.abs().max() <= math.log(4 / 3) + 0.03
    assert abs(shape.mean()) < 0.02
    assert 0.45 < box["mirrored"].float().mean() < 0.55


def test_processes_share_the_crops_of_a_batch():
    whole = augment.draw_crops(7, 256, 0.5, generator(3))
    parts = [whole.of(rank, 3) for rank in range(3)]
    for rank, part in enumerate(parts):
        for mine, everyones in zip(part, whole, strict=True):
            assert torch.equal(mine, everyones[rank::3])


def test_share_of_one_keeps_the_whole_radiograph():
    images = radiographs(8, side=SIZE)
    crops = random_views(images, 1.0, generator())
    for image, crop in zip(images, crops, strict=True):
        assert torch.equal(crop, image) or torch.equal(crop, image.flip(-1))


@pytest.mark.parametrize("size", [32, 64, 100])
def test_products_of_matrices_agree_with_torchs_interpolation(size):
    images = radiographs()
    arguments = [
        torch.tensor(values * 6)
        for values in ([0, 3, 10, 20], [0, 9, 5, 13], [73, 60, 20, 41], [73, 64, 33, 60], [True, False] * 2)
    ]
    crops = augment.Crops(*arguments)
    one_by_one = augment._cut_one_by_one(images, crops, size)
    products = augment._cut_as_products(images, crops, size)
    difference = (one_by_one.int() - products.int()).abs()
    assert difference.max() <= 2
    assert difference.float().mean() < 0.4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_an_accelerator_cuts_the_same_crops():
    images = radiographs()
    here = random_views(images, 0.5, generator(7))
    there = random_views(images.cuda(), 0.5, generator(7)).cpu()
    assert (here.int() - there.int()).abs().max() <= 2


def test_ten_crops_are_torchvisions():
    images = radiographs(3)
    expected = torch.stack(v2.TenCrop(SIZE)(images), dim=1)
    assert torch.equal(augment.ten_crops(images, SIZE), expected)
    assert torch.equal(augment.centre_crop(images, SIZE), v2.CenterCrop(SIZE)(images))


def test_normalisation_is_torchvisions_on_gray_repeated():
    images = radiographs(2)
    gray = images[:, None].expand(-1, 3, -1, -1).float() / 255
    expected = v2.Normalize(augment.MEAN, augment.STD)(gray)
    torch.testing.assert_close(augment.normalise(images), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_a_buffer_is_filled_in_place(form):
    images = radiographs(2)
    buffer = torch.full((2, 3, SIDE, SIDE), torch.nan).to(memory_format=form)
    filled = augment.normalise(images, out=buffer)
    assert filled.data_ptr() == buffer.data_ptr()
    assert filled.is_contiguous(memory_format=form)
    torch.testing.assert_close(filled, augment.normalise(images))
    half = torch.empty(2, 3, SIDE, SIDE, dtype=torch.bfloat16)
    torch.testing.assert_close(augment.normalise(images, half).float(), filled, atol=0.03, rtol=0)


def test_any_leading_dimensions_are_normalised():
    crops = augment.ten_crops(radiographs(2), SIZE)
    normalised = augment.normalise(crops)
    assert normalised.shape == (2, 10, 3, SIZE, SIZE)
    torch.testing.assert_close(normalised[1, 4], augment.normalise(crops[1, 4]))


class CopiesToMeta(TorchDispatchMode):
    """Counts the copies from the CPU to the meta device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if operation is torch.ops.aten._to_copy.default and args[0].device.type == "cpu":
            self.count += str(kwargs.get("device")) == "meta"
        return operation(*args, **kwargs)


def test_crops_reach_an_accelerator_in_one_copy():
    images = torch.empty(4, 73, 73, dtype=torch.uint8, device="meta")
    crops = augment.draw_crops(4, 73, 0.5, generator(0))
    with CopiesToMeta() as copies:
        views = augment.cut(images, crops, 64)
    assert views.shape == (4, 64, 64)
    assert copies.count == 1
