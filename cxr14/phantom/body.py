"""Patients: the numbers that describe a chest.

Pairs of values belong to the two sides: index 0 is the patient's right (left in the image), 1 the left.
Lengths are in image units of an upright patient of scale 1 (see canvas).
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from cxr14.phantom.canvas import Pose

RIGHT, LEFT = 0, 1
X_SIGN = (-1.0, 1.0)  # sign of x on the right and on the left


@dataclass(frozen=True)
class Patient:
    """What all radiographs of one patient have in common.

    Attributes:
        sex: as NIH writes it; 44 in 100 are women there.
        age: in years.
        habitus: -2 (slender) to 2 (heavy).
        width, heart: size of thorax and heart, in standard deviations from the average.
    """

    sex: Literal["F", "M"]
    age: int
    habitus: float
    width: float
    heart: float

    @property
    def female(self) -> bool:
        """Whether breast shadows are drawn."""
        return self.sex == "F"


@dataclass
class Body:
    """A patient at one exposure; signs that change volumes change these numbers.

    Attributes:
        half_width: midline to the inner chest wall at its widest.
        apex: y of the tops of the lungs.
        dome: y of the tops of the two hemidiaphragms.
        drop: how far the costophrenic angles lie below them.
        heart_ratio: width of the heart over that of the thorax (cardiothoracic ratio).
        shift: displacement of the mediastinum.
        air: air content of the lungs, 1 is normal; more is darker.
        vessels: calibre of the lung vessels, 1 is normal.
        unfolding: how far the aortic knob protrudes, 0 (young) to 1 (old).
        habitus: as in `Patient`.
        ap: AP in bed instead of PA standing.
    """

    half_width: float
    apex: float
    heart_ratio: float
    unfolding: float
    habitus: float
    ap: bool
    shift: float = 0.0
    dome: list[float] = field(default_factory=lambda: [0.42, 0.47])
    drop: list[float] = field(default_factory=lambda: [0.23, 0.22])
    air: list[float] = field(default_factory=lambda: [1.0, 1.0])
    vessels: list[float] = field(default_factory=lambda: [1.0, 1.0])

    def base(self, side: int) -> float:
        """Return y of a costophrenic angle."""
        return self.dome[side] + self.drop[side]


def sample_patient(rng: np.random.Generator, nuisance: float) -> Patient:
    """Draw a patient; with `nuisance` 0 only sex and age vary."""
    return Patient(
        sex="F" if rng.random() < 0.44 else "M",
        age=int(min(max(rng.normal(47, 17), 5), 94)),
        habitus=_bounded(rng, 2.0) * nuisance,
        width=_bounded(rng, 2.5) * nuisance,
        heart=_bounded(rng, 2.0) * nuisance,
    )


def sample_body(rng: np.random.Generator, patient: Patient, nuisance: float) -> Body:
    """Draw view and inspiration of one radiograph of a patient.

    In AP (2 in 5 at NIH) the heart is farther from the detector and therefore magnified, and a patient in bed
    inhales less.
    """
    ap = rng.random() < 0.4
    breath = rng.normal(0, 0.055) * nuisance - (0.05 if ap else 0.0)
    rotation = rng.normal(0, 0.018) * nuisance
    body = Body(
        half_width=0.70 + 0.025 * patient.width + 0.01 * patient.habitus,
        apex=-0.70 + rng.normal(0, 0.025) * nuisance,
        heart_ratio=min(max(0.445 + 0.034 * patient.heart, 0.37), 0.51) * (1.08 if ap else 1.0),
        unfolding=min(max((patient.age - 25) / 60, 0.0), 1.0),
        habitus=patient.habitus,
        ap=ap,
        shift=rotation,
    )
    tone = float(np.exp(rng.normal(0, 0.18) * nuisance))
    for side in (RIGHT, LEFT):
        body.dome[side] += breath + rng.normal(0, 0.018) * nuisance
        body.drop[side] *= 1 + rng.normal(0, 0.16) * nuisance
        body.vessels[side] *= tone * float(np.exp(rng.normal(0, 0.08) * nuisance))
    return body


def sample_pose(rng: np.random.Generator, nuisance: float) -> Pose:
    """Draw the position of the patient: scale, a tilt of some degrees, and displacement."""
    return Pose(
        scale=1.06 + rng.normal(0, 0.05) * nuisance,
        tilt=rng.normal(0, 0.035) * nuisance,
        right=rng.normal(0, 0.035) * nuisance,
        down=0.02 + rng.normal(0, 0.04) * nuisance,
    )


def _bounded(rng: np.random.Generator, most: float) -> float:
    return min(max(rng.normal(), -most), most)
