"""Maps against boxes: places carried from crop to radiograph, scores counted pixel by pixel, lists read."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from cxr14.data import augment, images
from cxr14.data.geometry import read_side
from cxr14.errors import InputError
from cxr14.explanation import localization
from cxr14.explanation.localization import Box, read_boxes, scores, to_box_coordinates, to_crop
from cxr14.findings import FINDINGS

SIZES = [32, 64, 100, 224, 299]
HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"


@pytest.mark.parametrize("image_size", SIZES)
def test_a_place_comes_back(image_size):
    places = np.linspace(-5, image_size + 5, 41)
    np.testing.assert_allclose(to_crop(to_box_coordinates(places, image_size), image_size), places, atol=1e-9)


@pytest.mark.parametrize("image_size", SIZES)
def test_a_spot_on_the_radiograph_is_found_again_from_the_crop(image_size):
    """Through the reading and cropping that the network's images go through."""
    whole = np.zeros((1024, 1024), np.uint8)
    whole[400:420, 700:730] = 255
    side = read_side(image_size)
    crop = augment.centre_crop(torch.from_numpy(images.resize(whole, side).copy()), image_size).double()
    pixels = torch.arange(image_size, dtype=torch.float64) + 0.5
    line, column = (float((crop.sum(dim=1 - axis) @ pixels) / crop.sum()) for axis in (0, 1))
    assert to_box_coordinates(line, image_size) == pytest.approx(410, abs=2)
    assert to_box_coordinates(column, image_size) == pytest.approx(715, abs=2)


def by_brute_force(heat, boxes):
    """Every pixel of the radiograph by itself."""
    size = len(heat)
    side, start = read_side(size), localization.crop_start(size)

    def boxed(line, column):
        y, x = (line + 0.5) * 1024 / side, (column + 0.5) * 1024 / side
        return any(box.x <= x < box.x + box.w and box.y <= y < box.y + box.h for box in boxes)

    top = max(heat[line][column] for line in range(size) for column in range(size))
    tied, hits, shared, either, area = 0, 0, 0, 0, 0
    for line in range(side):
        for column in range(side):
            here = boxed(line, column)
            y, x = line - start, column - start
            seen = 0 <= y < size and 0 <= x < size
            hot = seen and top > 0 and heat[y][x] >= 0.15 * top
            shared += here and hot
            either += here or hot
            area += here and seen
            if seen and heat[y][x] == top:
                tied, hits = tied + 1, hits + here
    return hits / tied, area / size**2, shared / either if either else math.nan


def test_scores_against_brute_force():
    draw = np.random.default_rng(0)
    for case in range(40):
        size = int(draw.choice([32, 40, 64]))
        coarse = draw.integers(0, 5, (4, 4)) if case % 2 else draw.random((4, 4))  # ties, and none
        heat = np.kron(coarse / max(coarse.max(), 1e-9), np.ones((size // 4, size // 4)))
        boxes = [Box(*draw.uniform(0, 900, 2), *draw.uniform(1, 500, 2)) for _ in range(draw.integers(1, 4))]
        told = scores(heat, boxes)
        np.testing.assert_allclose(
            [told["pointing"], told["chance"], told["IoU"]], by_brute_force(heat.tolist(), boxes), atol=1e-12
        )


def test_a_map_without_anything_scores_as_chance_does():
    told = scores(np.zeros((64, 64)), [Box(200, 300, 150, 260)])
    assert told["pointing"] == told["chance"] > 0
    assert told["IoU"] == 0


def test_a_perfect_map():
    box = Box(256, 384, 128, 256)
    whole = localization.inside([box], 224).astype(float)
    told = scores(augment.centre_crop(torch.from_numpy(whole), 224).numpy(), [box])
    assert told["pointing"] == told["IoU"] == 1
    assert told["chance"] == pytest.approx(32 * 64 / 224**2)
    assert told["centre"] == 0
    assert scores(np.ones((224, 224)), [Box(500, 500, 24, 24)])["centre"] == 1


def test_what_lies_outside_the_crop_counts_as_missed():
    told = scores(np.ones((224, 224)), [Box(0, 0, 1024, 1024)])
    assert told["pointing"] == 1
    assert told["IoU"] == pytest.approx(224**2 / 256**2)


def test_overlapping_boxes_count_once():
    once, twice = ([Box(300, 300, 200, 200)] * times for times in (1, 2))
    heat = np.random.default_rng(1).random((64, 64))
    assert scores(heat, once) == scores(heat, twice)


def test_the_table_averages_by_finding():
    draw = np.random.default_rng(2)
    findings = draw.choice([0, 3, 13], 60)
    patients = [f"patient {number}" for number in draw.integers(0, 30, 60)]
    scored = [
        {"pointing": float(draw.random() < 0.6), "chance": 0.1, "centre": 0.0, "IoU": draw.random()}
        for _ in findings
    ]
    table = localization.table(findings, patients, scored)
    assert list(table.index) == [FINDINGS[0], FINDINGS[3], FINDINGS[13], "mean"]
    for finding in (0, 3, 13):
        mine = [one for one, of in zip(scored, findings, strict=True) if of == finding]
        row = table.loc[FINDINGS[finding]]
        assert row["radiographs"] == len(mine)
        share = np.mean([one["pointing"] for one in mine])
        assert row["pointing"] == pytest.approx(share)
        assert row["IoU"] == pytest.approx(np.mean([one["IoU"] for one in mine]))
        assert row["pointing low"] <= share <= row["pointing high"]
    mean = table.loc["mean"]
    assert mean["pointing"] == pytest.approx(table["pointing"].iloc[:3].mean())
    assert mean["radiographs"] == 60
    assert 0 < mean["pointing low"] < mean["pointing"] < mean["pointing high"] < 1


@pytest.mark.parametrize(("hits", "trials"), [(0, 4), (3, 9), (9, 9)])
def test_intervals_are_wilsons(hits, trials):
    scored = [
        {"pointing": float(number < hits), "chance": 0, "centre": 0, "IoU": 0} for number in range(trials)
    ]
    row = localization.table([5] * trials, [str(number) for number in range(trials)], scored).iloc[0]
    expected = binomtest(hits, trials).proportion_ci(method="wilson")
    assert (row["pointing low"], row["pointing high"]) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )


def test_a_patient_with_many_radiographs_counts_once():
    scored = [{"pointing": 1.0, "chance": 0, "centre": 0, "IoU": 0}] * 50
    table = localization.table([5] * 50, ["one"] * 50, scored)
    assert table["pointing low"].iloc[0] == pytest.approx(binomtest(1, 1).proportion_ci(method="wilson").low)


def test_nihs_lines_are_read(tmp_path):
    path = tmp_path / "BBox_List_2017.csv"
    path.write_text(
        HEADER
        + "00013118_008.png,Atelectasis,225.084745762712,547.019216763771,86.7796610169491,79.1864,,,\n"
        "00013118_008.png,Atelectasis,1,2,3,4,,,\n00029817_009.png,Infiltrate,221.8,317.0,155.5,216.9,,,\n\n"
    )
    boxes = read_boxes(path)
    atelectasis, infiltration = FINDINGS.index("Atelectasis"), FINDINGS.index("Infiltration")
    assert boxes.keys() == {("00013118_008.png", atelectasis), ("00029817_009.png", infiltration)}
    assert boxes["00013118_008.png", atelectasis][1] == Box(1, 2, 3, 4)
    assert boxes["00013118_008.png", atelectasis][0].x == 225.084745762712


def test_the_phantoms_boxes_are_read(phantoms):
    path = phantoms / "source" / "BBox_List_2017_synthetic.csv"
    boxes = read_boxes(path)
    lines = path.read_text().splitlines()[1:]
    assert sum(map(len, boxes.values())) == len(lines)
    assert all(box.x >= 0 and box.x + box.w <= 1024.1 for several in boxes.values() for box in several)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no box list"),
        ("", "holds no box"),
        (HEADER, "holds no box"),
        (HEADER + "a.png,Cough,1,2,3,4,,,\n", "line 2 of .* the finding 'Cough'"),
        (HEADER + "a.png,Mass,1,2,3\n", "line 2 of .* has 5 columns"),
        (HEADER + "a.png,Mass,1,2,3,x,,,\n", "line 2 of .* holds no box"),
        (HEADER + "a.png,Mass,1,2,0,9,,,\n", "width and height"),
        (HEADER + "a.png,Mass,nan,2,5,9,,,\n", "line 2 of .* holds no box"),
        (HEADER + "\x00\xff", "has 1 columns|cannot be read"),
    ],
)
def test_a_bad_box_list_is_a_sentence(content, words, tmp_path):
    path = tmp_path / "boxes.csv"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=words):
        read_boxes(path)
