"""Acquisition: scatter, exposure, noise, detector curve, side markers."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cxr14.phantom.body import Body
from cxr14.phantom.canvas import Field, blur

# The detector curve from attenuation to gray is logistic: its middle and width, in units of attenuation.
_MIDDLE, _WIDTH = 0.52, 0.155


def expose(attenuation: Field, body: Body, rng: np.random.Generator, noise: float, nuisance: float) -> Field:
    """Convert attenuation to gray values.

    Scatter reduces the contrast, more so for heavy patients and in bed, where no grid is used. Fewer quanta
    pass where attenuation is high, so noise is strongest there.

    Args:
        attenuation: (S, S) float32, 0 air to about 1 belly.
        body: for habitus and view.
        rng: random stream of contrast, brightness, a gradient across the image, and noise.
        noise: factor on the quantum noise.
        nuisance: factor on the variation between images.

    Returns:
        (S, S) float32, 0 to 1.
    """
    size = attenuation.shape[0]
    contrast = float(np.exp(rng.normal(0, 0.16) * nuisance))
    brightness = rng.normal(0, 0.035) * nuisance
    across, down = rng.normal(0, 0.015, 2) * nuisance
    grain = 0.011 * noise * float(np.exp(rng.normal(0, 0.25))) * (1 + 0.25 * body.habitus)
    veil = 0.16 + 0.05 * body.habitus + (0.06 if body.ap else 0.0)
    seen = attenuation + max(0.0, veil) * (blur(attenuation, 0.09) - attenuation)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    seen += float(across) * ramp[None, :] + float(down) * ramp[:, None] - brightness
    if grain > 0:
        speckle = rng.standard_normal((size, size), dtype=np.float32)
        # The detector blurs each quantum over neighbouring pixels, so part of the noise is smooth.
        speckle = 0.55 * speckle + 1.3 * blur(speckle, 0.7 / size)
        seen += grain * speckle * (0.5 + 0.8 * np.clip(attenuation, 0.0, 1.0))
    gray = 0.5 + 0.5 * np.tanh((seen - _MIDDLE) * (0.5 * contrast / _WIDTH))
    return 0.02 + 0.96 * gray


def collimate(gray: Field, rng: np.random.Generator, nuisance: float) -> None:
    """Blacken the border outside the collimated beam on some images, in place."""
    size = gray.shape[0]
    if rng.random() >= 0.25 * nuisance:
        return
    line = np.linspace(-1, 1, size, dtype=np.float32)
    lean = rng.normal(0, 0.015)
    top, side = rng.uniform(0.90, 1.0, 2)
    out = (line[:, None] + lean * line[None, :]) < -top
    out |= (line[None, :] - lean * line[:, None]) * (1 if rng.random() < 0.5 else -1) > side
    gray[out] = 0.0


def mark(gray: Field, body: Body, rng: np.random.Generator) -> None:
    """Draw the side marker, a letter, and sometimes the view, in place."""
    size = gray.shape[0]
    left = rng.random() < 0.75
    x, y = rng.uniform(0.80, 0.93), rng.uniform(-0.95, -0.72)
    turn, height = rng.normal(0, 12) if rng.random() < 0.7 else 90.0, rng.uniform(0.045, 0.075)
    text = "L" if left else "R"
    if body.ap and rng.random() < 0.6:
        text += "\nAP"
    letter = _letters(text, max(6, round(height * size))).rotate(
        turn, expand=True, resample=Image.Resampling.BILINEAR
    )
    ink = np.asarray(letter, dtype=np.float32) * np.float32(rng.uniform(0.75, 1.0) / 255)
    column = round((x if left else -x) * size / 2 + size / 2 - ink.shape[1] / 2)
    row = round(y * size / 2 + size / 2 - ink.shape[0] / 2)
    column, row = min(max(column, 0), size - ink.shape[1]), min(max(row, 0), size - ink.shape[0])
    under = gray[row : row + ink.shape[0], column : column + ink.shape[1]]
    np.maximum(under, ink, out=under)


@lru_cache(maxsize=256)
def _letters(text: str, height: int) -> Image.Image:
    font = ImageFont.load_default(height)
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox(
        (0, 0), text, font=font
    )
    tile = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
    ImageDraw.Draw(tile).multiline_text((1 - left, 1 - top), text, fill=255, font=font)
    return tile
