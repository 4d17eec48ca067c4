"""Calibration and operating points of a model, for its card."""

import math
from pathlib import Path

from scipy.special import expit, logit

from cxr14.deployment.card import Finding
from cxr14.errors import InputError
from cxr14.evaluation.operating_points import OPERATING_POINTS_FILE, OperatingPoints
from cxr14.files import find_files
from cxr14.findings import FINDINGS


def load_operating_points(results_dir: Path, weights_hash: str) -> OperatingPoints:
    """Read the operating points of a checkpoint.

    Args:
        results_dir: folder that the test script of the checkpoint filled, or one above it.
        weights_hash: of the checkpoint.

    Raises:
        InputError: there are none, or all belong to other weights.
    """
    paths = find_files(results_dir, OPERATING_POINTS_FILE) or [results_dir / OPERATING_POINTS_FILE]
    for path in paths:
        points = OperatingPoints.load(path)
        if points.weights_hash == weights_hash:
            return points
    raise InputError(
        f"the operating points in {results_dir} belong to other weights than the checkpoint: run the test "
        "script of the checkpoint again, or give its RESULTS_DIR."
    )


def findings_for_card(points: OperatingPoints | None) -> tuple[Finding, ...]:
    """Return how each output is read; without operating points, as plain probabilities.

    A threshold was chosen on the probability before calibration. Calibration does not change the order of
    probabilities, so the operating point on the calibrated ones decides the same.
    """
    if points is None:
        return tuple(
            Finding(name=name, calibration="none", slope=1.0, intercept=0.0, operating_point=None)
            for name in FINDINGS
        )
    return tuple(
        Finding(
            name=name,
            calibration=calibration.method,
            slope=calibration.slope,
            intercept=calibration.intercept,
            operating_point=None
            if math.isnan(threshold)
            else float(expit(calibration.slope * logit(threshold) + calibration.intercept)),
        )
        for name, threshold, calibration in zip(
            points.findings, points.thresholds, points.calibrations, strict=True
        )
    )
