"""Which findings a phantom has: prevalence, what comes together, and what the reader got wrong."""

from functools import cache
from statistics import NormalDist

import numpy as np

from cxr14.findings import FINDINGS
from cxr14.phantom.knobs import Knobs

# Positives among the 112,120 radiographs of Data_Entry_2017.csv, in the order of FINDINGS.
NIH_POSITIVES = np.array(
    [11559, 2776, 13317, 19894, 5782, 6331, 1431, 5302, 4667, 2303, 2516, 1686, 3385, 227], dtype=float
)
NIH_RADIOGRAPHS = 112120

# Away from NIH's own tail: enough findings on a radiograph that a small set teaches them,
FINDINGS_AN_IMAGE = 1.15
# and none so rare that a test list of a few hundred would miss it.
LEAST_PREVALENCE = 0.03

# Correlations of the latent normals (tetrachoric), rounded, after the pair counts of ChestX-ray14
# (Wang et al. 2017, co-occurrence figure); pairs that are not here come together by chance alone.
TOGETHER = {
    ("Atelectasis", "Effusion"): 0.45,
    ("Atelectasis", "Infiltration"): 0.25,
    ("Cardiomegaly", "Edema"): 0.35,
    ("Cardiomegaly", "Effusion"): 0.35,
    ("Consolidation", "Atelectasis"): 0.25,
    ("Consolidation", "Effusion"): 0.30,
    ("Consolidation", "Infiltration"): 0.15,
    ("Consolidation", "Mass"): 0.15,
    ("Edema", "Effusion"): 0.35,
    ("Edema", "Infiltration"): 0.40,
    ("Effusion", "Infiltration"): 0.30,
    ("Emphysema", "Pneumothorax"): 0.40,
    ("Hernia", "Atelectasis"): 0.10,
    ("Infiltration", "Nodule"): 0.10,
    ("Mass", "Nodule"): 0.30,
    ("Pleural_Thickening", "Effusion"): 0.25,
    ("Pleural_Thickening", "Fibrosis"): 0.35,
    ("Pneumonia", "Consolidation"): 0.20,
    ("Pneumonia", "Edema"): 0.30,
    ("Pneumonia", "Infiltration"): 0.35,
    ("Pneumothorax", "Effusion"): 0.10,
}


@cache
def prevalence(tail: float) -> np.ndarray:
    """Return how common each finding is among the phantoms.

    Args:
        tail: power of NIH's prevalences, 0 to 1. Below 1 they are rescaled to FINDINGS_AN_IMAGE in sum and no
            finding is rarer than LEAST_PREVALENCE; 1 gives NIH's own.

    Returns:
        (14,) shares, 0 to 1.
    """
    nih = NIH_POSITIVES / NIH_RADIOGRAPHS
    if tail == 1:
        return nih
    flattened = nih**tail
    return np.maximum(flattened * FINDINGS_AN_IMAGE / flattened.sum(), LEAST_PREVALENCE)


def sample_findings(rng: np.random.Generator, knobs: Knobs) -> np.ndarray:
    """Draw the findings that a phantom truly has, by a Gaussian copula.

    Correlated normals are cut at the thresholds that give each finding its prevalence, so that the
    prevalences hold exactly and NIH's pairs come together (Nelsen 2006, "An Introduction to Copulas").

    Args:
        rng: the image's stream for findings.
        knobs: `tail` is used.

    Returns:
        (14,) bool.
    """
    latent = _mixing() @ rng.standard_normal(len(FINDINGS))
    return latent > _thresholds(knobs.tail)


def misread(rng: np.random.Generator, findings: np.ndarray, knobs: Knobs) -> np.ndarray:
    """Return the labels that a fallible reader gives: some findings missed, some seen where there are none.

    Args:
        rng: the image's stream for label noise.
        findings: (14,) bool, what was drawn.
        knobs: `false_negatives`, `false_positives` and `tail` are used.

    Returns:
        (14,) bool.
    """
    missed, invented = rng.random((2, len(FINDINGS)))
    return np.where(
        findings, missed >= knobs.false_negatives, invented < knobs.false_positives * prevalence(knobs.tail)
    )


@cache
def _mixing() -> np.ndarray:
    correlation = np.eye(len(FINDINGS))
    for (one, other), value in TOGETHER.items():
        row, column = FINDINGS.index(one), FINDINGS.index(other)
        correlation[row, column] = correlation[column, row] = value
    # Rounded pairwise figures need not fit together: move to the nearest matrix that is a correlation.
    values, vectors = np.linalg.eigh(correlation)
    repaired = (vectors * np.clip(values, 1e-3, None)) @ vectors.T
    scale = np.sqrt(np.diag(repaired))
    return np.linalg.cholesky(repaired / scale[:, None] / scale)


@cache
def _thresholds(tail: float) -> np.ndarray:
    return np.array([NormalDist().inv_cdf(1 - share) for share in prevalence(tail)])
