"""Localization by boxes against flood fill and pixel counts, and its thresholds."""

import itertools

import numpy as np
import pytest

from cxr14.data.boxes import Box
from cxr14.explanation import localization
from cxr14.explanation.localization import detect_boxes, measure_overlaps
from cxr14.findings import FINDINGS


def flood_fill_boxes(heat):
    """Bounding boxes of the regions above 60 and above 180 of 255, by flood fill over eight neighbours."""
    boxes = set()
    for level in (60, 180):
        left_over = set(zip(*np.nonzero(heat * 255 > level), strict=True))
        while left_over:
            region, border = set(), [left_over.pop()]
            while border:
                row, column = border.pop()
                region.add((row, column))
                for place in itertools.product((row - 1, row, row + 1), (column - 1, column, column + 1)):
                    if place in left_over:
                        left_over.remove(place)
                        border.append(place)
            rows, columns = zip(*region, strict=True)
            boxes.add((min(columns), min(rows), max(columns) + 1, max(rows) + 1))
    return boxes


def box_of_pixels(left, top, right, bottom, start, side):
    """The box, in pixels of a 1024 x 1024 image, of pixel edges in a crop."""
    unit = 1024 / side
    return Box((left + start) * unit, (top + start) * unit, (right - left) * unit, (bottom - top) * unit)


def test_detected_boxes_equal_flood_fill():
    rng = np.random.default_rng(0)
    for case in range(30):
        coarse = rng.random((8, 8)) ** 2 if case % 2 else rng.choice([0, 0.1, 0.5, 1], (8, 8))
        heat = np.kron(coarse, np.ones((7, 7)))  # 56 px is the crop of 64 px from pixel 4 on
        expected = [box_of_pixels(*edges, start=4, side=64) for edges in flood_fill_boxes(heat)]
        np.testing.assert_allclose(sorted(detect_boxes(heat)), sorted(expected))


def test_regions_that_touch_at_a_corner_are_one():
    heat = np.zeros((56, 56))
    heat[10:20, 10:20] = heat[20:30, 20:30] = 1
    assert detect_boxes(heat) == [box_of_pixels(10, 10, 30, 30, start=4, side=64)]


def test_levels_have_boxes_of_their_own_and_equal_boxes_count_once():
    heat = np.zeros((56, 56))
    heat[10:30, 10:30] = 60.5 / 255
    assert len(detect_boxes(heat)) == 1
    heat[15:20, 15:20] = 181 / 255
    assert len(detect_boxes(heat)) == 2
    heat[10:30, 10:30] = 1
    assert len(detect_boxes(heat)) == 1
    assert detect_boxes(np.full((56, 56), 60 / 255)) == []
    assert detect_boxes(np.zeros((56, 56))) == []


def test_overlaps_equal_pixel_counts():
    rng = np.random.default_rng(1)

    def random_boxes(count):
        corners = np.sort(rng.integers(0, 40, (count, 2, 2)), axis=1)
        return [Box(x, y, right - x + 1, bottom - y + 1) for (x, y), (right, bottom) in corners.tolist()]

    def pixels(box):
        mask = np.zeros((50, 50), bool)
        mask[box.y : box.y + box.h, box.x : box.x + box.w] = True
        return mask

    for _ in range(50):
        detected, annotated = random_boxes(4), random_boxes(3)
        overlaps = measure_overlaps(detected, annotated)
        for d, g in np.ndindex(4, 3):
            found, truth = pixels(detected[d]), pixels(annotated[g])
            assert overlaps.iou[d, g] == pytest.approx((found & truth).sum() / (found | truth).sum())
            assert overlaps.iobb[d, g] == pytest.approx((found & truth).sum() / found.sum())
        assert overlaps.best("IoU") == overlaps.iou.max()


def test_thresholds_are_those_of_the_paper():
    assert localization.HEAT_LEVELS == (60, 180)
    assert localization.THRESHOLDS == {
        "IoU": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
        "IoBB": (0.1, 0.25, 0.5, 0.75, 0.9),
    }


def test_table_by_hand():
    """Two maps of a finding: one locates a box of two and has a false positive, the other detects nothing."""
    annotated = [Box(0, 0, 100, 100), Box(500, 500, 100, 100)]
    detected = [Box(0, 0, 100, 50), Box(800, 800, 50, 50)]  # IoU 0.5 and IoBB 1 with the first box
    maps = [measure_overlaps(detected, annotated), measure_overlaps([], [Box(0, 0, 9, 9)])]
    maps.append(measure_overlaps([Box(10, 10, 10, 10)], [Box(10, 10, 10, 10)]))
    table = localization.table([3, 3, 0], maps).set_index(["finding", "measure", "threshold"])
    assert len(table) == 3 * 12
    other, hit, mean = FINDINGS[0], FINDINGS[3], "mean"
    assert list(dict.fromkeys(table.index.get_level_values(0))) == [other, hit, mean]
    rows = {
        (hit, "IoU", 0.4): (2, 3, 1 / 3, 1 / 2),
        (hit, "IoU", 0.5): (2, 3, 0, 1),  # 0.5 is not above 0.5
        (hit, "IoBB", 0.9): (2, 3, 1 / 3, 1 / 2),
        (other, "IoU", 0.7): (1, 1, 1, 0),
        (mean, "IoU", 0.4): (3, 4, (1 / 3 + 1) / 2, 1 / 4),
        (mean, "IoU", 0.7): (3, 4, 1 / 2, 1 / 2),
    }
    for key, expected in rows.items():
        assert tuple(table.loc[key]) == pytest.approx(expected), key


def test_text_has_a_column_for_each_threshold():
    maps = [measure_overlaps([Box(0, 0, 100, 50)], [Box(0, 0, 100, 100)])]
    text = localization.as_text(localization.table([11], maps), "accuracy").splitlines()
    assert text[0].split() == ["T(IoU)", "T(IoBB)"]
    assert text[1].split()[:2] == ["accuracy", "boxes"]
    iou = ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"]
    assert text[1].split()[2:] == [*iou, "0.1", "0.25", "0.5", "0.75", "0.9"]
    assert text[2].split() == [FINDINGS[11], "1", *["1.00"] * 4, *["0.00"] * 3, *["1.00"] * 5]
    assert text[3].split()[0] == "mean"
