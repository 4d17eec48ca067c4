"""The pointing game: does the maximum of a heat map lie in a box?

The network sees the centre crop of a radiograph that was read at `read_side`. A pixel is inside a box when
its centre is.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

from cxr14.data.boxes import Box, to_box_coordinates
from cxr14.evaluation.intervals import LEVEL
from cxr14.evaluation.resamples import Resamples
from cxr14.findings import FINDINGS

RADIOGRAPHS, POINTING, LOW, HIGH = "radiographs", "pointing", "pointing low", "pointing high"
CHANCE, CENTRE = "chance", "centre"
SCORES = (POINTING, CHANCE, CENTRE)
MEAN = "mean"
"""Name of the row with the mean over the findings."""

_TIE = 1e-6  # heat maps are float32 between 0 and 1


def pixels_inside(boxes: Sequence[Box], image_size: int) -> np.ndarray:
    """Return which pixels of the centre crop lie in any of the boxes.

    Args:
        boxes: of one finding.
        image_size: S, side of the crop.

    Returns:
        (S, S) bool.
    """
    centres = to_box_coordinates(np.arange(image_size) + 0.5, image_size)
    inside = np.zeros((image_size, image_size), bool)
    for x, y, w, h in boxes:
        inside |= ((centres >= y) & (centres < y + h))[:, None] & ((centres >= x) & (centres < x + w))
    return inside


def score(heat: np.ndarray, boxes: Sequence[Box]) -> dict[str, float]:
    """Score one heat map.

    Args:
        heat: (S, S), 0 to 1, over the centre crop.
        boxes: of the finding that the map was made for.

    Returns:
        ``pointing``: 1 if the maximum of the map lies in a box, else 0, without tolerance (Zhang et al. 2018,
        "Top-down Neural Attention by Excitation Backprop", IJCV 126, allow 15 pixels); with several equal
        maxima, the share of them that does. ``chance``: the expected score of a random pixel of the crop.
        ``centre``: the score of the crop's centre.
    """
    image_size = heat.shape[-1]
    inside = pixels_inside(boxes, image_size)
    middle = slice((image_size - 1) // 2, image_size // 2 + 1)  # of an even side the middle is four pixels
    return {
        POINTING: float(inside[heat >= heat.max() - _TIE].mean()),
        CHANCE: float(inside.mean()),
        CENTRE: float(inside[middle, middle].mean()),
    }


def table(
    findings: Sequence[int], patients: Sequence[str], scores: Sequence[Mapping[str, float]], seed: int = 0
) -> pd.DataFrame:
    """Average the scores of many heat maps by finding, and then over the findings.

    Args:
        findings: column number of each map's finding.
        patients: patient of each map's radiograph.
        scores: what `score` returned for each map.
        seed: seed of the bootstrap.

    Returns:
        A row for each finding that has any map, and last their mean; columns ``radiographs``, ``pointing``
        with the ends of its 95 % confidence interval, ``chance`` and ``centre``. The interval of a finding is
        Wilson's with patients as trials, because a bootstrap of a few radiographs that all score 0 or 1 has
        width 0. That of the mean is a bootstrap over patients.
    """
    findings, patients = np.asarray(findings), np.asarray(patients)
    maps = pd.DataFrame(scores, columns=list(SCORES))
    present = np.unique(findings)
    rows = maps.groupby(findings).mean()
    patient_counts = [len(np.unique(patients[findings == one])) for one in present]
    low, high = _wilson_interval(rows[POINTING].to_numpy(), np.array(patient_counts))
    mean_low, mean_high = _bootstrap_mean(
        maps[POINTING].to_numpy(), np.equal.outer(findings, present), patients, seed
    )
    rows = pd.concat([rows, rows.mean().to_frame().T])
    rows.insert(0, RADIOGRAPHS, [*np.bincount(findings)[present], len(maps)])
    rows.insert(2, LOW, [*low, mean_low])
    rows.insert(3, HIGH, [*high, mean_high])
    rows.index = pd.Index([*(FINDINGS[one] for one in present), MEAN], name="finding")
    return rows


def _wilson_interval(share: np.ndarray, trials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22."""
    z = norm.ppf((1 + LEVEL) / 2)
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half_width = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return middle - half_width, middle + half_width


def _bootstrap_mean(
    pointing: np.ndarray, is_of_finding: np.ndarray, patients: np.ndarray, seed: int
) -> tuple[float, float]:
    """Return the interval of the mean over findings; a resample without one of the findings is left out."""
    resamples = Resamples(patients, seed=seed)
    weights = resamples.weights[resamples.patient]  # (M, R)
    counts = is_of_finding.T.astype(float) @ weights
    hits = (is_of_finding * pointing[:, None]).T @ weights
    means = (hits / np.where(counts > 0, counts, np.nan)).mean(axis=0)
    if np.isnan(means).all():
        return math.nan, math.nan
    low, high = np.nanquantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
