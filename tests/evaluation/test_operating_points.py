"""Operating points survive saving and loading, as plain JSON, and damaged files raise InputError."""

import dataclasses
import json
import math

import pytest

from cxr14.errors import InputError
from cxr14.evaluation.calibration import Calibration
from cxr14.evaluation.operating_points import OperatingPoints

POINTS = OperatingPoints(
    network="1-EEEA-Net-C2",
    teacher="3-CheXNet",
    weights_hash="ab",
    val_list_fingerprint="cd",
    crops=10,
    threshold_rule="sensitivity",
    target_sensitivity=0.8,
    findings=("Effusion", "Hernia", "Mass"),
    thresholds=(0.1, math.nan, 1 / 3),
    calibrations=(Calibration("Platt", 0.5, -1.0), Calibration(), Calibration("temperature", 1 / 3)),
    unknown_origin=("model.pth.tar",),
)


def test_saved_points_are_loaded_unchanged(tmp_path):
    POINTS.save(tmp_path / "points.json")
    loaded = OperatingPoints.load(tmp_path / "points.json")
    assert repr(loaded) == repr(POINTS)  # a NaN is not equal to itself
    plain = dataclasses.replace(POINTS, teacher=None, threshold_rule="f1", target_sensitivity=None)
    plain.save(tmp_path / "plain.json")
    assert repr(OperatingPoints.load(tmp_path / "plain.json")) == repr(plain)


def test_file_is_strict_json(tmp_path):
    POINTS.save(tmp_path / "points.json")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads((tmp_path / "points.json").read_text(), parse_constant=refuse)
    unchanged = {"method": "none", "slope": 1.0, "intercept": 0.0}
    assert content["findings"]["Hernia"] == {"threshold": None, "calibration": unchanged}
    assert content["crops"] == 10


@pytest.mark.parametrize(
    "changes",
    [
        {"thresholds": (0.1, 0.2)},
        {"thresholds": (0.1, 0.2, 1.1)},
        {"calibrations": (Calibration(), Calibration())},
        {"calibrations": (Calibration("Platt", 0.0, 1.0),) * 3},
        {"calibrations": (Calibration("Platt", math.nan, 1.0),) * 3},
        {"calibrations": (Calibration("Platt", 1.0, math.inf),) * 3},
        {"calibrations": (Calibration("isotonic", 1.0, 0.0),) * 3},
        {"findings": ("Effusion", "Effusion", "Mass")},
        {"threshold_rule": "best"},
        {"target_sensitivity": 0.0},
        {"crops": 3},
        {"crops": True},
    ],
)
def test_impossible_points_raise_value_error(changes):
    with pytest.raises(ValueError, match=r"."):
        dataclasses.replace(POINTS, **changes)


def edited(**changes):
    return lambda content: content | changes


def without(name):
    return lambda content: {key: value for key, value in content.items() if key != name}


def with_point(**changes):
    return lambda content: (
        content | {"findings": content["findings"] | {"Mass": content["findings"]["Mass"] | changes}}
    )


@pytest.mark.parametrize(
    "damage",
    [
        *map(
            without, ("format", "network", "teacher", "weights_hash", "findings", "crops", "unknown_origin")
        ),
        edited(format="cxr14 operating points 9"),
        edited(weights_hash=7),
        edited(teacher=7),
        edited(threshold_rule=None),
        edited(crops="10"),
        edited(target_sensitivity="0.8"),
        edited(unknown_origin="model.pth.tar"),
        edited(findings=[]),
        edited(findings={}),
        with_point(threshold=2),
        with_point(threshold="0.5"),
        with_point(threshold=True),
        with_point(calibration=None),
        with_point(calibration={}),
        with_point(calibration={"method": "Platt", "slope": None, "intercept": 0}),
        with_point(calibration={"method": "Platt", "slope": -1, "intercept": 0}),
        with_point(calibration={"method": 7, "slope": 1, "intercept": 0}),
        lambda content: [content],
        lambda content: None,
    ],
)
def test_damaged_file_raises_input_error(damage, tmp_path):
    path = tmp_path / "points.json"
    POINTS.save(path)
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(InputError, match=r"operating points|format"):
        OperatingPoints.load(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_unreadable_file_raises_input_error(content, tmp_path):
    path = tmp_path / "points.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="file of operating points"):
        OperatingPoints.load(path)


def test_missing_file_raises_input_error(tmp_path):
    with pytest.raises(InputError, match="there are no operating points"):
        OperatingPoints.load(tmp_path / "points.json")
