"""Does the network look where the finding is: heat maps against the boxes that radiologists drew.

Boxes are in pixels of NIH's 1024 x 1024 images. The network sees the centre crop of a radiograph that was
read at `read_side`; everything here is counted on the pixels of that radiograph, a pixel being inside
a box when its centre is.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from cxr14.data.geometry import centre_start, read_side
from cxr14.data.nih_tables import BOX_NAMES, BOX_SIDE
from cxr14.errors import InputError
from cxr14.evaluation.bootstrap import LEVEL, Resamples
from cxr14.findings import FINDINGS

IOU_SHARE = 0.15
"""Share of a map's maximum above which it counts as looked at: Selvaraju et al. 2017, "Grad-CAM", section
4.1."""

RADIOGRAPHS, POINTING, LOW, HIGH = "radiographs", "pointing", "pointing low", "pointing high"
CHANCE, CENTRE, IOU = "chance", "centre", "IoU"
FIGURES = (POINTING, CHANCE, CENTRE, IOU)
MEAN = "mean"
_EQUAL = 1e-6  # maps are float32 between 0 and 1: what differs less is a tie
_COLUMNS = 6  # name, finding, x, y, width, height; NIH's lines end in three empty ones


class Box(NamedTuple):
    """A rectangle in pixels of a 1024 x 1024 image: upper left corner, width and height."""

    x: float
    y: float
    w: float
    h: float


Boxes = Mapping[tuple[str, int], Sequence[Box]]
"""(file name, column number of the finding) -> where it is seen on that radiograph."""


def read_boxes(path: Path) -> dict[tuple[str, int], list[Box]]:
    """Read NIH's ``BBox_List_2017.csv``: a line a box, and several lines where a finding is seen twice.

    Returns:
        What `Boxes` says.

    Raises:
        InputError: it is missing, empty or no table of boxes, or a line names an unknown finding or holds no
            box.
    """
    columns = {BOX_NAMES.get(finding, finding): column for column, finding in enumerate(FINDINGS)}
    columns |= {finding: column for column, finding in enumerate(FINDINGS)}
    boxes: dict[tuple[str, int], list[Box]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            next(lines, None)  # its header names two of six columns
            for line in filter(None, lines):
                where = f"line {lines.line_num} of {path}"
                if len(line) < _COLUMNS:
                    raise InputError(
                        f"{where} has {len(line)} columns; name, finding, x, y, w, h are expected."
                    )
                name, finding = line[0], line[1]
                if finding not in columns:
                    raise InputError(
                        f"{where} names the finding {finding!r}, which is none of the {len(FINDINGS)}."
                    )
                boxes.setdefault((name, columns[finding]), []).append(_box(line[2:_COLUMNS], where))
    except FileNotFoundError:
        raise InputError(
            f"there is no box list {path}; NIH publishes BBox_List_2017.csv beside its images, and "
            "ChestX-ray14/make-phantoms.py writes one."
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the box list {path} cannot be read ({error}).") from None
    if not boxes:
        raise InputError(f"the box list {path} holds no box.")
    return boxes


def to_box_coordinates(place: np.ndarray | float, image_size: int) -> np.ndarray | float:
    """Return where a place in the centre crop lies on the full radiograph, along either axis.

    Args:
        place: pixels from the crop's edge: 0 the edge itself, 0.5 the first pixel's centre.
        image_size: S, side of the crop.

    Returns:
        Pixels of a 1024 x 1024 image.
    """
    return (place + crop_start(image_size)) * BOX_SIDE / read_side(image_size)


def to_crop(place: np.ndarray | float, image_size: int) -> np.ndarray | float:
    """Undo `to_box_coordinates`."""
    return place * read_side(image_size) / BOX_SIDE - crop_start(image_size)


def crop_start(image_size: int) -> int:
    """Return the first pixel, along either axis, that the centre crop keeps of a radiograph as it is read."""
    return centre_start(read_side(image_size), image_size)


def inside(boxes: Sequence[Box], image_size: int) -> np.ndarray:
    """Return which pixels of the radiograph as it is read lie in any of the boxes.

    Args:
        boxes: of one finding.
        image_size: S, side of the crop that the network sees.

    Returns:
        (R, R) bool.
    """
    side = read_side(image_size)
    centres = (np.arange(side) + 0.5) * BOX_SIDE / side
    union = np.zeros((side, side), bool)
    for x, y, w, h in boxes:
        union |= ((centres >= y) & (centres < y + h))[:, None] & ((centres >= x) & (centres < x + w))
    return union


def scores(heat: np.ndarray, boxes: Sequence[Box]) -> dict[str, float]:
    """Compare one map with the boxes of its finding.

    Args:
        heat: (S, S), 0 to 1, over the centre crop.
        boxes: of the finding that the map was made for.

    Returns:
        ``pointing``: whether the map's maximum lies in a box, without any tolerance (Zhang et al. 2018,
        "Top-down Neural Attention by Excitation Backprop", IJCV 126, who allow 15 pixels); of several equal
        maxima the share that does. ``chance``: what a random pixel of the crop would score. ``centre``: what
        the crop's middle would score. ``IoU``: area shared by the map above `IOU_SHARE` of its maximum and
        the union of the boxes, over the area of both; box parts outside the crop count as missed.
    """
    image_size = heat.shape[-1]
    whole = inside(boxes, image_size)
    start = crop_start(image_size)
    seen = whole[start : start + image_size, start : start + image_size]
    highest = heat.max()
    looked_at = heat >= IOU_SHARE * highest if highest > 0 else np.zeros_like(seen)
    union = whole.sum() + looked_at.sum() - (seen & looked_at).sum()
    middle = slice((image_size - 1) // 2, image_size // 2 + 1)  # of an even side the middle is four pixels
    return {
        POINTING: float(seen[heat >= highest - _EQUAL].mean()),
        CHANCE: float(seen.mean()),
        CENTRE: float(seen[middle, middle].mean()),
        IOU: float((seen & looked_at).sum() / union) if union else math.nan,
    }


def table(
    findings: Sequence[int], patients: Sequence[str], scored: Sequence[Mapping[str, float]], seed: int = 0
) -> pd.DataFrame:
    """Average the scores of many maps, a row a finding that has any, and last their mean over the findings.

    Args:
        findings: column number of the finding, of each map.
        patients: whose radiograph it is.
        scored: what `scores` returned.
        seed: fixes the draws of patients for the interval.

    Returns:
        Columns ``radiographs``, ``pointing`` with the ends of its 95 % interval, ``chance``, ``centre`` and
        ``IoU``. A finding's interval is Wilson's, with patients for trials, because a bootstrap of few
        radiographs that all score 0 or 1 would have no width; that of the mean is a bootstrap over patients.
    """
    findings, patients = np.asarray(findings), np.asarray(patients)
    maps = pd.DataFrame(scored, columns=list(FIGURES))
    asked = np.unique(findings)
    rows = maps.groupby(findings).mean()
    people = [len(np.unique(patients[findings == one])) for one in asked]
    low, high = _wilson(rows[POINTING].to_numpy(), np.array(people))
    mean_low, mean_high = _bootstrapped_mean(
        maps[POINTING].to_numpy(), np.equal.outer(findings, asked), patients, seed
    )
    rows = pd.concat([rows, rows.mean().to_frame().T])
    rows.insert(0, RADIOGRAPHS, [*np.bincount(findings)[asked], len(maps)])
    rows.insert(2, LOW, [*low, mean_low])
    rows.insert(3, HIGH, [*high, mean_high])
    rows.index = pd.Index([*(FINDINGS[one] for one in asked), MEAN], name="finding")
    return rows


def _wilson(share: np.ndarray, trials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22."""
    z = norm.ppf((1 + LEVEL) / 2)
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    reach = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return middle - reach, middle + reach


def _bootstrapped_mean(
    pointing: np.ndarray, member: np.ndarray, patients: np.ndarray, seed: int
) -> tuple[float, float]:
    """The interval of the mean over findings; a draw that lost a finding has no mean and is left out."""
    draws = Resamples(patients, seed=seed)
    weights = draws.weights[draws.patient]  # (M, draws)
    counts = member.T.astype(float) @ weights
    hits = (member * pointing[:, None]).T @ weights
    means = (hits / np.where(counts > 0, counts, np.nan)).mean(axis=0)
    if np.isnan(means).all():
        return math.nan, math.nan
    low, high = np.nanquantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _box(columns: Sequence[str], where: str) -> Box:
    try:
        box = Box(*map(float, columns))
    except ValueError:
        raise InputError(f"{where} holds no box; x, y, w, h are expected as numbers.") from None
    if not all(map(math.isfinite, box)) or box.w <= 0 or box.h <= 0:
        raise InputError(f"{where} holds no box: width and height have to be above 0.")
    return box
