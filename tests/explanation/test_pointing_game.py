"""The pointing game against brute force, and its table with confidence intervals."""

import numpy as np
import pytest
from scipy.stats import binomtest

from cxr14.data.boxes import Box
from cxr14.data.geometry import crop_start, read_side
from cxr14.explanation import pointing_game
from cxr14.explanation.pointing_game import pixels_inside, score
from cxr14.findings import FINDINGS


def brute_force(heat, boxes):
    """Pointing and chance, pixel by pixel."""
    size = len(heat)
    top = max(heat[row][column] for row in range(size) for column in range(size))
    maxima, hits, area = 0, 0, 0
    for row in range(size):
        for column in range(size):
            y, x = ((place + crop_start(size) + 0.5) * 1024 / read_side(size) for place in (row, column))
            inside = any(box.x <= x < box.x + box.w and box.y <= y < box.y + box.h for box in boxes)
            area += inside
            if heat[row][column] == top:
                maxima, hits = maxima + 1, hits + inside
    return hits / maxima, area / size**2


def test_scores_equal_brute_force():
    rng = np.random.default_rng(0)
    for case in range(40):
        size = int(rng.choice([32, 40, 64]))
        coarse = rng.integers(0, 5, (4, 4)) if case % 2 else rng.random((4, 4))  # with and without ties
        heat = np.kron(coarse / max(coarse.max(), 1e-9), np.ones((size // 4, size // 4)))
        boxes = [Box(*rng.uniform(0, 900, 2), *rng.uniform(1, 500, 2)) for _ in range(rng.integers(1, 4))]
        scores = score(heat, boxes)
        assert (scores["pointing"], scores["chance"]) == pytest.approx(brute_force(heat, boxes))


def test_map_of_the_box_itself_points_into_it():
    box = Box(320, 512, 256, 128)  # at 256 px: rows 128 to 160, columns 80 to 144
    heat = np.zeros((224, 224))
    heat[112:144, 64:128] = 1
    np.testing.assert_array_equal(pixels_inside([box], 224), heat == 1)
    assert score(heat, [box]) == {"pointing": 1, "chance": pytest.approx(32 * 64 / 224**2), "centre": 0.5}
    assert score(np.ones((224, 224)), [Box(500, 500, 24, 24)])["centre"] == 1


def test_overlapping_boxes_count_once():
    once = [Box(300, 300, 200, 200)]
    heat = np.random.default_rng(1).random((64, 64))
    assert score(heat, once) == score(heat, once * 2)


def test_table_averages_by_finding():
    rng = np.random.default_rng(2)
    findings = rng.choice([0, 3, 13], 60)
    patients = [f"patient {number}" for number in rng.integers(0, 30, 60)]
    scores = [
        {"pointing": float(rng.random() < 0.6), "chance": rng.random(), "centre": 0.0} for _ in findings
    ]
    table = pointing_game.table(findings, patients, scores)
    assert list(table.index) == [FINDINGS[0], FINDINGS[3], FINDINGS[13], "mean"]
    for finding in (0, 3, 13):
        own = [one for one, of in zip(scores, findings, strict=True) if of == finding]
        row = table.loc[FINDINGS[finding]]
        assert row["radiographs"] == len(own)
        assert row["pointing"] == pytest.approx(np.mean([one["pointing"] for one in own]))
        assert row["chance"] == pytest.approx(np.mean([one["chance"] for one in own]))
        assert row["pointing low"] <= row["pointing"] <= row["pointing high"]
    mean = table.loc["mean"]
    assert mean["pointing"] == pytest.approx(table["pointing"].iloc[:3].mean())
    assert mean["radiographs"] == 60
    assert 0 < mean["pointing low"] < mean["pointing"] < mean["pointing high"] < 1


@pytest.mark.parametrize(("hits", "trials"), [(0, 4), (3, 9), (9, 9)])
def test_intervals_of_findings_are_wilsons(hits, trials):
    scores = [{"pointing": float(number < hits), "chance": 0, "centre": 0} for number in range(trials)]
    row = pointing_game.table([5] * trials, [str(number) for number in range(trials)], scores).iloc[0]
    expected = binomtest(hits, trials).proportion_ci(method="wilson")
    assert row["pointing low"] == pytest.approx(expected.low, abs=1e-9)
    assert row["pointing high"] == pytest.approx(expected.high, abs=1e-9)


def test_patient_with_many_radiographs_counts_once():
    scores = [{"pointing": 1.0, "chance": 0, "centre": 0}] * 50
    table = pointing_game.table([5] * 50, ["one"] * 50, scores)
    assert table["pointing low"].iloc[0] == pytest.approx(binomtest(1, 1).proportion_ci(method="wilson").low)
