"""Thresholds and calibration of a tested network, as a JSON file.

The test scripts write the file; deployment reads it. A threshold applies to the probability before
calibration.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from cxr14.errors import InputError
from cxr14.evaluation.calibration import Calibration, Method
from cxr14.files import atomic_write, read_text
from cxr14.findings import FINDINGS
from cxr14.settings import Rule

OPERATING_POINTS_FILE = "operating-points.json"
"""Name of the file in the folder of the results."""

_FORMAT = "cxr14 operating points 1"


@dataclass(frozen=True, kw_only=True)
class OperatingPoints:
    """Thresholds and calibration of one network, fitted on a validation list.

    Raises:
        ValueError: the numbers do not fit the findings, or one is out of range.
    """

    network: str
    """Folder of the network."""
    teacher: str | None
    """Folder of the teacher's network; None: trained on labels alone."""
    weights_hash: str
    """`models.checkpoint.hash_weights` of the network."""
    val_list_fingerprint: str
    """SHA-256 of the validation list that thresholds and calibration were fitted on."""
    crops: int
    """Crops of each radiograph whose probabilities were averaged, 1 or 10."""
    threshold_rule: Rule
    """Rule that chose the thresholds; see `calibration.choose_thresholds`."""
    target_sensitivity: float | None = None
    """Target of the rule "sensitivity", above 0 up to 1; None for the other rules."""
    findings: tuple[str, ...] = FINDINGS
    """F findings, in the order of the network's outputs."""
    thresholds: tuple[float, ...]
    """(F,) least probability, before calibration, that counts as positive, 0 to 1; NaN for a finding with
    one class only on the validation list."""
    calibrations: tuple[Calibration, ...]
    """F of them."""
    unknown_origin: tuple[str, ...] = ()
    """Weights among the ancestors of the network whose training patients are not known."""

    def __post_init__(self) -> None:
        if len(set(self.findings)) != len(self.findings) or not self.findings:
            raise ValueError("findings are missing or repeated")
        if not len(self.thresholds) == len(self.calibrations) == len(self.findings):
            raise ValueError("thresholds and calibrations must have one entry for each finding")
        if not all(math.isnan(value) or 0 <= value <= 1 for value in self.thresholds):
            raise ValueError("a threshold lies outside 0 to 1")
        for calibration in self.calibrations:
            if calibration.method not in get_args(Method):
                raise ValueError(f"the calibration method {calibration.method!r} is unknown")
            if not (math.isfinite(calibration.slope) and calibration.slope > 0):
                raise ValueError("a slope is not a number above 0")
            if not math.isfinite(calibration.intercept):
                raise ValueError("an intercept is not a finite number")
        if self.threshold_rule not in get_args(Rule):
            raise ValueError(f"the threshold rule {self.threshold_rule!r} is unknown")
        if self.target_sensitivity is not None and not 0 < self.target_sensitivity <= 1:
            raise ValueError("the target sensitivity lies outside 0 to 1")
        if type(self.crops) is not int or self.crops not in (1, 10):
            raise ValueError(f"crops are {self.crops!r}; they must be 1 or 10")

    def save(self, path: Path) -> None:
        """Write plain JSON to `path`; an undefined threshold becomes null.

        Raises:
            InputError: the file cannot be written.
        """
        content: dict[str, object] = {"format": _FORMAT}
        for entry in dataclasses.fields(self):
            if entry.name not in ("findings", "thresholds", "calibrations"):
                content[entry.name] = getattr(self, entry.name)
        content["findings"] = {
            finding: {
                "threshold": None if math.isnan(threshold) else threshold,
                "calibration": dataclasses.asdict(calibration),
            }
            for finding, threshold, calibration in zip(
                self.findings, self.thresholds, self.calibrations, strict=True
            )
        }
        with atomic_write(path) as aside:
            aside.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "OperatingPoints":
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, damaged, or of another format.
        """
        if not path.is_file():
            raise InputError(f"there are no operating points at {path}; run the stage's test script first.")
        try:
            content = json.loads(read_text(path, "the file of operating points"))
            if content["format"] != _FORMAT:
                raise InputError(
                    f"{path} has format {content['format']!r}, not {_FORMAT!r}; run the stage's test script "
                    "again."
                )
            return _from_json(content)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{path} is not a readable file of operating points ({error}); run the stage's test script "
                "again."
            ) from error


def _from_json(content: dict[str, object]) -> OperatingPoints:
    points = content["findings"]
    thresholds = [point["threshold"] for point in points.values()]
    texts = {
        name: _text(content[name])
        for name in ("network", "weights_hash", "val_list_fingerprint", "threshold_rule")
    }
    target, teacher = content["target_sensitivity"], content["teacher"]
    if not isinstance(content["unknown_origin"], list):
        raise TypeError("unknown_origin is not a list")
    return OperatingPoints(
        **texts,
        thresholds=tuple(math.nan if value is None else _number(value) for value in thresholds),
        calibrations=tuple(_calibration(point["calibration"]) for point in points.values()),
        teacher=None if teacher is None else _text(teacher),
        crops=content["crops"],
        target_sensitivity=None if target is None else _number(target),
        findings=tuple(points),
        unknown_origin=tuple(map(_text, content["unknown_origin"])),
    )


def _calibration(content: dict[str, object]) -> Calibration:
    return Calibration(_text(content["method"]), _number(content["slope"]), _number(content["intercept"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return float(value)
