"""Boxes of findings: reading NIH's list, and positions in the crop on the full radiograph."""

import numpy as np
import pytest

from cxr14.data import images
from cxr14.data.boxes import Box, read_boxes, to_box_coordinates
from cxr14.data.geometry import crop_start, read_side
from cxr14.errors import InputError
from cxr14.findings import FINDINGS

HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"


@pytest.mark.parametrize("image_size", [32, 64, 100, 224, 299])
def test_crop_position_of_a_spot_is_its_position_on_the_radiograph(image_size):
    whole = np.zeros((1024, 1024), np.uint8)
    whole[400:420, 700:730] = 255
    seen = slice(crop_start(image_size), crop_start(image_size) + image_size)
    crop = images.resize(whole, read_side(image_size))[seen, seen].astype(float)
    centres = np.arange(image_size) + 0.5
    row, column = ((crop.sum(axis=1 - axis) @ centres) / crop.sum() for axis in (0, 1))
    assert to_box_coordinates(row, image_size) == pytest.approx(410, abs=2)
    assert to_box_coordinates(column, image_size) == pytest.approx(715, abs=2)


def test_edges_of_the_crop_of_224_px_are_those_of_7_eighths_of_the_radiograph():
    np.testing.assert_allclose(to_box_coordinates(np.array([0, 224]), 224), [64, 960])


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


def test_boxes_of_phantoms_are_read(phantoms):
    path = phantoms / "source" / "BBox_List_2017_synthetic.csv"
    boxes = read_boxes(path)
    lines = path.read_text().splitlines()[1:]
    assert sum(map(len, boxes.values())) == len(lines)
    assert all(box.x >= 0 and box.x + box.w <= 1024.1 for several in boxes.values() for box in several)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("", "is empty"),
        (HEADER, "is empty"),
        (HEADER + "a.png,Cough,1,2,3,4,,,\n", "line 2 of .* the finding 'Cough'"),
        (HEADER + "a.png,Mass,1,2,3\n", "line 2 of .* has 5 columns"),
        (HEADER + "a.png,Mass,1,2,3,x,,,\n", "line 2 of .* has no valid box"),
        (HEADER + "a.png,Mass,1,2,0,9,,,\n", "width and height above 0"),
        (HEADER + "a.png,Mass,nan,2,5,9,,,\n", "line 2 of .* has no valid box"),
        (HEADER + "\x00\xff", "has 1 columns|cannot be read"),
    ],
)
def test_invalid_box_list_raises_input_error(content, message, tmp_path):
    path = tmp_path / "boxes.csv"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=message):
        read_boxes(path)
