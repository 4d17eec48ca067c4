"""Who is before the film: the numbers that fix a person's chest, before anything is drawn.

A pair of values belongs to the two sides: index 0 is the patient's right (left on the film), 1 the left.
Lengths are in film units of an upright patient of scale 1 (see canvas).
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from cxr14.phantom.canvas import Pose

RIGHT, LEFT = 0, 1
TOWARDS = (-1.0, 1.0)  # the sign of x on either side


@dataclass(frozen=True)
class Patient:
    """What two radiographs of one person have in common.

    Attributes:
        sex: as NIH writes it; 44 in 100 are women there.
        age: in years.
        habitus: -2 slender to 2 heavy.
        width, heart: how far the thorax and the heart depart from the average, in standard deviations.
    """

    sex: Literal["F", "M"]
    age: int
    habitus: float
    width: float
    heart: float

    @property
    def female(self) -> bool:
        """Whether breast shadows are to be drawn."""
        return self.sex == "F"


@dataclass
class Body:
    """One person in one breath; the signs that change volumes bend these numbers.

    Attributes:
        half_width: midline to the inner chest wall at its widest.
        apex: y of the tops of the lungs.
        dome: y of the tops of the two hemidiaphragms.
        drop: how far the costophrenic angles lie below them.
        heart_ratio: width of the heart by that of the thorax (cardiothoracic ratio).
        shift: displacement of the mediastinum.
        air: how black the lungs are, 1 being normal.
        vessels: calibre of the lungs' vessels, 1 being normal.
        unfolding: how far the aortic knob stands out, 0 young to 1 old.
        habitus: as the patient's.
        ap: taken from the front on a bed instead of from the back standing.
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
    """Draw a person; with `nuisance` 0 only sex and age differ."""
    return Patient(
        sex="F" if rng.random() < 0.44 else "M",
        age=int(min(max(rng.normal(47, 17), 5), 94)),
        habitus=_bounded(rng, 2.0) * nuisance,
        width=_bounded(rng, 2.5) * nuisance,
        heart=_bounded(rng, 2.0) * nuisance,
    )


def sample_body(rng: np.random.Generator, patient: Patient, nuisance: float) -> Body:
    """Draw the view and the breath of one radiograph of a patient.

    From the front (AP, 2 in 5 at NIH) the heart lies farther from the film and is magnified, and a patient
    on a bed breathes in less.
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
    """Draw how the patient stands before the film: size, a tilt of some degrees, off the centre."""
    return Pose(
        scale=1.06 + rng.normal(0, 0.05) * nuisance,
        tilt=rng.normal(0, 0.035) * nuisance,
        right=rng.normal(0, 0.035) * nuisance,
        down=0.02 + rng.normal(0, 0.04) * nuisance,
    )


def _bounded(rng: np.random.Generator, most: float) -> float:
    return min(max(rng.normal(), -most), most)
