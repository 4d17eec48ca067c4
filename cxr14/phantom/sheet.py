"""A sheet of examples: each of the 14 findings alone."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cxr14.files import atomic_write
from cxr14.findings import FINDINGS, NO_FINDING
from cxr14.phantom.difficulty import Difficulty
from cxr14.phantom.radiograph import IMAGES_A_PATIENT, render

EXAMPLES = 3  # radiographs of each finding
ACROSS = 3  # findings in a row


def save_examples(path: Path, size: int = 192, seed: int = 0, difficulty: Difficulty | None = None) -> None:
    """Draw patients without a finding and with each finding alone, under a title that says "synthetic".

    Args:
        path: the PNG file.
        size: side of each radiograph in pixels.
        seed: of the patients.
        difficulty: its parameters; None is the standard difficulty.

    Raises:
        InputError: the file cannot be written.
    """
    title, caption, gap = size // 5, size // 9, size // 16
    names = (NO_FINDING, *FINDINGS)
    rows = -(-len(names) // ACROSS)
    wide, high = EXAMPLES * size + gap, size + caption + gap
    sheet = Image.new("L", (ACROSS * wide + gap, rows * high + title), 18)
    pen = ImageDraw.Draw(sheet)
    heading = f"Synthetic radiographs (drawn by a program, not patients), seed {seed}"
    pen.text((gap, title // 4), heading, fill=255, font=ImageFont.load_default(title // 2))
    for place, name in enumerate(names):
        row, column = divmod(place, ACROSS)
        left, top = column * wide + gap, row * high + title
        pen.text(
            (left, top), name.replace("_", " "), fill=235, font=ImageFont.load_default(round(0.8 * caption))
        )
        alone = np.array([finding == name for finding in FINDINGS])
        for example in range(EXAMPLES):
            phantom = render((place * EXAMPLES + example) * IMAGES_A_PATIENT, seed, difficulty, size, alone)
            sheet.paste(Image.fromarray(phantom.image), (left + example * size, top + caption))
    with atomic_write(path) as aside:
        sheet.save(aside, format="PNG")
