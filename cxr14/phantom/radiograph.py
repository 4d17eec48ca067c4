"""One synthetic radiograph, with a random stream for each of its parts."""

from dataclasses import dataclass

import numpy as np

from cxr14.data.boxes import BOX_SIDE, Box
from cxr14.findings import FINDINGS
from cxr14.phantom import acquisition, mimics, tissue, vessels
from cxr14.phantom.body import Patient, sample_body, sample_patient, sample_pose
from cxr14.phantom.canvas import Field, Grid, blur, bounds, step
from cxr14.phantom.chest import Chest
from cxr14.phantom.difficulty import Difficulty
from cxr14.phantom.prevalence import add_label_noise, sample_findings
from cxr14.phantom.signs import DRAW, RESHAPE, sample_sign

IMAGES_A_PATIENT = 2

# The position of a stream seeds it: append, do not insert.
_STREAMS = (
    "patient",
    "findings",
    "label noise",
    "body",
    "pose",
    "bones",
    "vessels",
    "tissue",
    "mimics",
    "acquisition",
    "marker",
    *FINDINGS,
    "patient findings",
)


@dataclass(frozen=True)
class Phantom:
    """A synthetic radiograph with its ground truth.

    Attributes:
        image: (S, S) uint8, bright where the body attenuates.
        findings: (14,) bool, what was drawn.
        labels: (14,) bool, the findings with label noise.
        boxes: finding -> the boxes of its signs; a finding may have several, or none on the image.
        patient: the same on all radiographs of one patient.
        view: PA (standing) or AP (in bed).
    """

    image: np.ndarray
    findings: np.ndarray
    labels: np.ndarray
    boxes: dict[str, list[Box]]
    patient: Patient
    view: str


def render(
    index: int,
    seed: int = 0,
    difficulty: Difficulty | None = None,
    size: int = 128,
    findings: np.ndarray | None = None,
) -> Phantom:
    """Draw one synthetic radiograph, which depends on these arguments alone.

    Every sign, mimic and part of the body has its own random stream: with and without a finding, the rest of
    the image is the same.

    Args:
        index: number of the radiograph, 0 or more; 2 k and 2 k + 1 are of one patient.
        seed: number of the set, 0 or more.
        difficulty: its parameters; None is the standard difficulty.
        size: side S of the image in pixels.
        findings: (14,) bool, the findings to draw; None draws them by NIH's prevalence and co-occurrence.
    """
    difficulty = difficulty or Difficulty()
    if findings is None:
        findings = draw_findings(index, seed, difficulty)
    labels = add_label_noise(_stream(seed, index, "label noise"), findings, difficulty)
    patient = sample_patient(_stream(seed, index // IMAGES_A_PATIENT, "patient"), difficulty.nuisance)
    body = sample_body(_stream(seed, index, "body"), patient, difficulty.nuisance)
    present = [finding for finding, there in zip(FINDINGS, findings, strict=True) if there]
    signs = {finding: sample_sign(_stream(seed, index, finding), difficulty.severity) for finding in present}
    for finding, sign in signs.items():
        if finding in RESHAPE:
            RESHAPE[finding](body, sign)
    chest = Chest(Grid(size, sample_pose(_stream(seed, index, "pose"), difficulty.nuisance)), body)
    footprints = [
        (finding, footprint) for finding, sign in signs.items() for footprint in DRAW[finding](chest, sign)
    ]
    mimics.draw_mimics(chest, _stream(seed, index, "mimics"), difficulty.nuisance)
    attenuation = _attenuation(chest, patient, seed, index, difficulty.nuisance)
    exposure = _stream(seed, index, "acquisition")
    gray = acquisition.expose(attenuation, body, exposure, difficulty.noise, difficulty.nuisance)
    marker = _stream(seed, index, "marker")
    acquisition.collimate(gray, marker, difficulty.nuisance)
    acquisition.mark(gray, body, marker)
    return Phantom(
        image=(255 * np.clip(gray, 0.0, 1.0) + 0.5).astype(np.uint8),
        findings=np.asarray(findings, dtype=bool),
        labels=labels,
        boxes=_boxes(footprints),
        patient=patient,
        view="AP" if body.ap else "PA",
    )


def draw_findings(index: int, seed: int, difficulty: Difficulty) -> np.ndarray:
    """Draw the findings of one radiograph, (14,) bool, as `render` does."""
    patient = _stream(seed, index // IMAGES_A_PATIENT, "patient findings")
    return sample_findings(patient, _stream(seed, index, "findings"), difficulty)


def _stream(seed: int, number: int, purpose: str) -> np.random.Generator:
    """Return the random stream of one purpose; `number` is that of the image, or of the patient."""
    key = (_STREAMS.index(purpose),)
    return np.random.default_rng(np.random.SeedSequence([seed, number], spawn_key=key))


def _attenuation(chest: Chest, patient: Patient, seed: int, index: int, nuisance: float) -> Field:
    """Return the total attenuation: soft tissue less the air of the lungs, vessels, bones and signs."""
    tissue_stream = _stream(seed, index, "tissue")
    lung, heart, body = chest.lung, chest.heart, chest.body
    total, covered = tissue.soft_tissue(chest)
    air = chest.grid.by_side(np.float32(body.air[0]), np.float32(body.air[1]))
    # The lung is thickest in its middle third and thinner at wall, apex and diaphragm.
    depth = 0.62 + 0.38 * np.clip(chest.to_wall * 5.0, 0.0, 1.0) * np.clip(chest.to_floor * 4.0, 0.0, 1.0)
    aerated = lung * (1.0 - 0.88 * heart) * chest.aeration
    total -= 0.36 * aerated * depth * air
    total += 0.11 * heart * step(chest.to_floor + 0.03, 0.10) * covered
    trees = vessels.markings(chest, _stream(seed, index, "vessels")) * chest.markings
    total += (
        (0.11 * trees + 0.08 * vessels.hila(chest))
        * lung
        * (1.0 - 0.7 * heart)
        * (0.35 + 0.65 * chest.aeration)
    )
    total += tissue.bones(chest, _stream(seed, index, "bones"), nuisance) * covered * (1.0 - 0.35 * heart)
    total += tissue.trachea(chest) + tissue.stomach(chest, tissue_stream)
    total += tissue.muscle_grain(chest, tissue_stream) * covered
    if patient.female:
        total += tissue.breasts(chest, tissue_stream) * covered
    total += chest.density
    return blur(total, 0.0028)


def _boxes(footprints: list[tuple[str, Field]]) -> dict[str, list[Box]]:
    boxes: dict[str, list[Box]] = {}
    for finding, footprint in footprints:
        extent = bounds(footprint)
        if extent is not None:
            box = Box(*(round(length * BOX_SIDE, 1) for length in extent))
            boxes.setdefault(finding, []).append(box)
    return boxes
