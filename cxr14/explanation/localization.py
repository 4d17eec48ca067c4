"""Localization by boxes around hot regions (Wang et al. 2017).

Wang, Peng, Lu, Lu, Bagheri and Summers 2017, "ChestX-ray8: Hospital-Scale Chest X-Ray Database and Benchmarks
on Weakly-Supervised Classification and Localization of Common Thorax Diseases", CVPR: section 3.2 (boxes),
section 4 with table 4 (IoBB) and appendix A.3 with table 7 (IoU).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage

from cxr14.data.boxes import Box, to_box_coordinates
from cxr14.explanation.pointing_game import MEAN
from cxr14.findings import FINDINGS

HEAT_LEVELS = (60, 180)
"""Levels of a heat map scaled to 0 ... 255; regions above each of them have a box."""

THRESHOLDS = {"IoU": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), "IoBB": (0.1, 0.25, 0.5, 0.75, 0.9)}
"""T(IoU) and T(IoBB): an overlap above it makes a detected box correct."""

# A region goes on across a corner. The paper does not say how regions are connected.
_NEIGHBOURS = np.ones((3, 3), dtype=int)


class Overlaps(NamedTuple):
    """How D boxes detected in a heat map and the G annotated boxes of its finding overlap."""

    iou: np.ndarray
    """(D, G): intersection over union."""
    iobb: np.ndarray
    """(D, G): intersection over the area of the detected box."""

    def of(self, measure: str) -> np.ndarray:
        """Return the overlaps by a name in `THRESHOLDS`."""
        return {"IoU": self.iou, "IoBB": self.iobb}[measure]

    def best(self, measure: str) -> float:
        """Return the largest overlap of any two boxes, 0 where nothing was detected."""
        return float(self.of(measure).max(initial=0.0))


def detect_boxes(heat: np.ndarray) -> list[Box]:
    """Return the bounding boxes of the connected regions above each of `HEAT_LEVELS`.

    Args:
        heat: (S, S), 0 to 1, over the centre crop.

    Returns:
        Boxes on the full radiograph, none twice; no box where the map is 0 everywhere.
    """
    boxes = []
    for level in HEAT_LEVELS:
        regions, _ = ndimage.label(255 * heat > level, structure=_NEIGHBOURS)
        for rows, columns in ndimage.find_objects(regions):
            edges = np.array([columns.start, rows.start, columns.stop, rows.stop], dtype=float)
            left, top, right, bottom = to_box_coordinates(edges, heat.shape[-1]).tolist()
            boxes.append(Box(left, top, right - left, bottom - top))
    return list(dict.fromkeys(boxes))


def measure_overlaps(detected: Sequence[Box], annotated: Sequence[Box]) -> Overlaps:
    """Measure the overlap of each detected box with each annotated box.

    Args:
        detected: D boxes.
        annotated: G boxes.
    """
    found = np.array(detected, dtype=float).reshape(-1, 1, 4)  # (D, 1, 4)
    truth = np.array(annotated, dtype=float).reshape(1, -1, 4)  # (1, G, 4)
    start = np.maximum(found[..., :2], truth[..., :2])
    end = np.minimum(found[..., :2] + found[..., 2:], truth[..., :2] + truth[..., 2:])
    shared = (end - start).clip(min=0).prod(axis=-1)  # (D, G)
    found_area, true_area = found[..., 2:].prod(axis=-1), truth[..., 2:].prod(axis=-1)
    return Overlaps(shared / (found_area + true_area - shared), shared / found_area)


def table(findings: Sequence[int], overlaps: Sequence[Overlaps]) -> pd.DataFrame:
    """Summarise the localization of many heat maps at each threshold.

    Accuracy is the share of annotated boxes that at least one detected box of their finding overlaps by more
    than the threshold. AFP is the average number of false positives: detected boxes that overlap no annotated
    box by more than the threshold, for each map of a radiograph with the finding. The accuracies compare with
    the paper's. Its AFP does not: it also counts maps of findings that a radiograph does not have, divides by
    all 984 annotated boxes (its figures are multiples of 1/984), and does not say which maps it counted.

    Args:
        findings: column number of each map's finding.
        overlaps: what `measure_overlaps` returned for each map; one annotated box at least.

    Returns:
        Columns ``finding``, ``measure`` (IoU or IoBB), ``threshold``, ``radiographs``, ``boxes`` (annotated),
        ``accuracy`` (0 to 1) and ``AFP``. After the findings comes the mean over them, called "mean".
    """
    records = []
    for finding, overlap in zip(findings, overlaps, strict=True):
        for measure, thresholds in THRESHOLDS.items():
            for threshold in thresholds:
                correct = overlap.of(measure) > threshold
                annotated, located = correct.shape[1], int(correct.any(axis=0).sum())
                false_positives = int((~correct.any(axis=1)).sum())
                records.append((finding, measure, threshold, 1, annotated, located, false_positives))
    keys = ["finding", "measure", "threshold"]
    counts = pd.DataFrame(records, columns=[*keys, "radiographs", "boxes", "located", "false positives"])
    totals = counts.groupby(keys, sort=True).sum().reset_index()
    totals["accuracy"] = totals["located"] / totals["boxes"]
    totals["AFP"] = totals["false positives"] / totals["radiographs"]
    totals["finding"] = [FINDINGS[finding] for finding in totals["finding"]]
    by_threshold = totals.groupby(keys[1:])
    sums, means = by_threshold[["radiographs", "boxes"]].sum(), by_threshold[["accuracy", "AFP"]].mean()
    mean = sums.join(means).reset_index().assign(finding=MEAN)
    columns = [*keys, "radiographs", "boxes", "accuracy", "AFP"]
    return pd.concat([totals[columns], mean[columns]], ignore_index=True)


def as_text(rows: pd.DataFrame, figure: str) -> str:
    """Return one figure of a `table`, a row for each finding and a column for each threshold, for a terminal.

    Args:
        rows: what `table` returned.
        figure: ``accuracy`` or ``AFP``.
    """
    order = list(dict.fromkeys(rows["finding"]))
    boxes = rows.groupby("finding")["boxes"].first()
    wide = rows.pivot(index="finding", columns=["measure", "threshold"], values=figure).loc[order]
    columns = [(measure, threshold) for measure, several in THRESHOLDS.items() for threshold in several]
    heading = "".join(f"{f'T({measure})':<{5 * len(several)}}" for measure, several in THRESHOLDS.items())
    lines = [
        f"{'':<18} {'':>5} {heading}".rstrip(),
        f"{figure:<18} {'boxes':>5} " + " ".join(f"{threshold:>4g}" for _, threshold in columns),
    ]
    for finding in order:
        values = " ".join(f"{wide.loc[finding, column]:>4.2f}" for column in columns)
        lines.append(f"{finding:<18} {boxes[finding]:>5} {values}")
    return "\n".join(lines)
