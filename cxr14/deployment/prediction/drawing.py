"""Heat maps drawn on radiographs, with pillow alone."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cxr14.data.geometry import centre_start
from cxr14.deployment.card import Preprocessing
from cxr14.files import atomic_write

LONGEST_SIDE = 512
"""Pixels of the longer side of a drawing."""

_STRONGEST = 0.6  # share of colour where the map is highest: the lung beneath stays visible
_FRAME = (150, 150, 150)
# Yellow, orange, red: seen on the dark lung and on the bright heart alike, and none a gray of the radiograph.
_COLOURS = ((255, 240, 120), (250, 140, 40), (160, 0, 40))


def save_overlay(path: Path, gray: np.ndarray, heat_map: np.ndarray, preprocessing: Preprocessing) -> None:
    """Draw a heat map on a radiograph, in the radiograph's own proportions.

    Args:
        path: the PNG file.
        gray: (H, W) uint8, the whole radiograph.
        heat_map: (C, C), 0 or more, over the part that the model saw, which a thin frame shows.
        preprocessing: of the model's card.

    Raises:
        InputError: the file cannot be written.
    """
    height, width = gray.shape
    scale = LONGEST_SIDE / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    picture = Image.fromarray(gray).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    start = centre_start(preprocessing.read_side, preprocessing.image_size) / preprocessing.read_side
    end = start + preprocessing.image_size / preprocessing.read_side
    left, right = round(size[0] * start), max(round(size[0] * end), round(size[0] * start) + 1)
    top, bottom = round(size[1] * start), max(round(size[1] * end), round(size[1] * start) + 1)
    strength = Image.fromarray(_zero_to_one(heat_map)).resize(
        (right - left, bottom - top), Image.Resampling.BILINEAR
    )
    levels = (np.asarray(strength).clip(0, 1) * 255).astype(np.uint8)
    colour = Image.fromarray(_colour_table()[levels])
    share = Image.fromarray((levels * _STRONGEST).astype(np.uint8))
    picture.paste(colour, (left, top), share)
    ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), outline=_FRAME)
    with atomic_write(path) as aside:
        picture.save(aside, format="PNG")


def _zero_to_one(heat_map: np.ndarray) -> np.ndarray:
    raised = heat_map.astype(np.float32) - heat_map.min()
    highest = raised.max()
    return raised / highest if highest > 0 else raised


def _colour_table() -> np.ndarray:
    places = np.linspace(0, 255, len(_COLOURS))
    channels = [np.interp(np.arange(256), places, channel) for channel in zip(*_COLOURS, strict=True)]
    return np.stack(channels, axis=1).astype(np.uint8)  # (256, 3)
