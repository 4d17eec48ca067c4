"""Crops, flips and normalisation of whole batches of uint8 radiographs.

A crop that is resized is a product of matrices, ``rows @ image @ columns.T``, because antialiased bilinear
interpolation is separable: an accelerator cuts a batch, each image with a crop of its own, in two batched
products. On the CPU torch's interpolation of uint8 is faster; the two agree within rounding.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cxr14.data.geometry import MEAN, STD, centre_start

# Width over height of a random crop lies between this and its inverse, as in torchvision's RandomResizedCrop.
_NARROWEST = 3 / 4


class Crops(NamedTuple):
    """What to cut out of each radiograph of a batch, and which to mirror; all on the CPU."""

    top: Tensor
    """(B,) int64, first line."""
    left: Tensor
    """(B,) int64, first column."""
    height: Tensor
    """(B,) int64, lines."""
    width: Tensor
    """(B,) int64, columns."""
    mirrored: Tensor
    """(B,) bool."""

    def of(self, rank: int, world: int) -> "Crops":
        """Return those of the radiographs that process `rank` of `world` holds of the batch."""
        return Crops(*(part[rank::world] for part in self))

    def chunk(self, parts: int) -> list["Crops"]:
        """Return them as `torch.chunk` parts the radiographs of the batch."""
        return [Crops(*part) for part in zip(*(numbers.chunk(parts) for numbers in self), strict=True)]


def draw_crops(count: int, side: int, smallest_crop: float, generator: torch.Generator) -> Crops:
    """Draw a random part for each radiograph of a batch, and whether it is mirrored.

    The area is uniform; given the area, the logarithm of width over height is uniform between 3/4 and 4/3, or
    as far towards them as fits into the image, so that no draw has to be thrown away.

    Args:
        count: B, the radiographs.
        side: R, their side in pixels.
        smallest_crop: least share of the area that is kept, above 0 up to 1.
        generator: a generator of the CPU: the crops are the same on every device.
    """
    draws = torch.rand(5, count, generator=generator, dtype=torch.float64)
    share = smallest_crop + (1 - smallest_crop) * draws[0]
    widest = torch.log(1 / share).clamp(max=-math.log(_NARROWEST))
    shape = torch.exp((2 * draws[1] - 1) * widest)  # width over height
    width = (side * torch.sqrt(share * shape)).round().clamp(1, side).long()
    height = (side * torch.sqrt(share / shape)).round().clamp(1, side).long()
    left = (draws[2] * (side - width + 1)).long()
    top = (draws[3] * (side - height + 1)).long()
    return Crops(top, left, height, width, mirrored=draws[4] < 0.5)


def cut(images: Tensor, crops: Crops, image_size: int) -> Tensor:
    """Cut a part out of each radiograph, resize it, and mirror those that are to be.

    Args:
        images: (B, R, R) uint8.
        crops: B parts.
        image_size: S, the side of the result in pixels.

    Returns:
        (B, S, S) uint8.
    """
    if images.device.type == "cpu":
        return _cut_one_by_one(images, crops, image_size)
    return _cut_as_products(images, crops, image_size)


def ten_crops(images: Tensor, image_size: int) -> Tensor:
    """Cut the four corners and the centre out of each radiograph and out of its mirror image.

    Args:
        images: (B, R, R).
        image_size: S, at most R.

    Returns:
        (B, 10, S, S), in the order of torchvision's TenCrop.
    """
    last = images.shape[-1] - image_size
    crops = []
    for view in (images, images.flip(-1)):
        crops += [view[:, y : y + image_size, x : x + image_size] for y in (0, last) for x in (0, last)]
        crops.append(centre_crop(view, image_size))
    return torch.stack(crops, dim=1)


def centre_crop(images: Tensor, image_size: int) -> Tensor:
    """Cut the middle, (..., S, S), out of (..., R, R)."""
    start = centre_start(images.shape[-1], image_size)
    return images[..., start : start + image_size, start : start + image_size]


def room_for(images: Tensor) -> Tensor:
    """Return an unfilled float32 tensor for what `normalise` makes of `images`, channels last."""
    channels_last = (*images.shape[:-2], *images.shape[-2:], len(MEAN))
    return torch.empty(channels_last, dtype=torch.float32, device=images.device).movedim(-1, -3)


def normalise(images: Tensor, out: Tensor | None = None) -> Tensor:
    """Give gray radiographs three channels with ImageNet's mean and deviation.

    Args:
        images: (..., S, S) uint8.
        out: (..., 3, S, S) of any floating type and memory format on the same device, to be filled instead of
            a new tensor: a training loop that keeps one spares the allocation of a batch in every step.

    Returns:
        (..., 3, S, S), `out` or a new float32 tensor.
    """
    if out is None:
        out = room_for(images)
    gray = images.to(out.dtype)
    for channel, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
        torch.add(out.new_full((), -mean / std), gray, alpha=1 / (255 * std), out=out.select(-3, channel))
    return out


def _cut_one_by_one(images: Tensor, crops: Crops, image_size: int) -> Tensor:
    views = images.new_empty(len(images), image_size, image_size)
    for row, (y, x, h, w, mirror) in enumerate(zip(*(part.tolist() for part in crops), strict=True)):
        part = images[row, None, None, y : y + h, x : x + w]
        view = functional.interpolate(part, (image_size, image_size), mode="bilinear", antialias=True)[0, 0]
        views[row] = view.flip(-1) if mirror else view
    return views


def _cut_as_products(images: Tensor, crops: Crops, image_size: int) -> Tensor:
    side, device = images.shape[-1], images.device
    numbers = torch.stack([part.long() for part in crops])  # (5, B): one copy to the device, not five
    if device.type == "cuda":
        numbers = numbers.pin_memory()  # from pageable memory the copy would wait for the device
    top, left, height, width, mirrored = numbers.to(device, non_blocking=True)
    rows = _resize_weights(top, height, image_size, side)  # (B, S, R)
    columns = _resize_weights(left, width, image_size, side)
    columns = torch.where(mirrored[:, None, None] > 0, columns.flip(1), columns)
    views = rows @ images.float() @ columns.transpose(1, 2)
    return views.round_().clamp_(0, 255).to(torch.uint8)


def _resize_weights(start: Tensor, length: Tensor, image_size: int, side: int) -> Tensor:
    # Row s of image b weighs the pixels start[b] … start[b] + length[b] - 1 of a line by a triangle around
    # the place that output pixel s falls on; it widens when the line shrinks, which is the antialiasing.
    pixels = torch.arange(side, device=start.device, dtype=torch.float32)
    scale = (length / image_size)[:, None, None]  # (B, 1, 1)
    centres = (torch.arange(image_size, device=start.device)[None, :, None] + 0.5) * scale - 0.5
    distance = pixels - start[:, None, None] - centres
    weights = (1 - distance.abs() / scale.clamp(min=1)).clamp(min=0)  # (B, S, R)
    inside = (pixels >= start[:, None, None]) & (pixels < (start + length)[:, None, None])
    weights = weights * inside
    return weights / weights.sum(dim=-1, keepdim=True)
