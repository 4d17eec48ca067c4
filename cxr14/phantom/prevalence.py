"""Findings and labels: prevalence, co-occurrence, persistence, label noise."""

from functools import cache
from statistics import NormalDist

import numpy as np

from cxr14.findings import FINDINGS
from cxr14.phantom.difficulty import Difficulty

# Positives among the 112,120 radiographs of Data_Entry_2017.csv, in the order of FINDINGS.
NIH_POSITIVES = np.array(
    [11559, 2776, 13317, 19894, 5782, 6331, 1431, 5302, 4667, 2303, 2516, 1686, 3385, 227], dtype=float
)
NIH_RADIOGRAPHS = 112120

# Unless the prevalences are NIH's own: the mean number of findings on a radiograph, so that a small set has
# enough of them, and the lowest prevalence, so that a test list of a few hundred has each.
FINDINGS_AN_IMAGE = 1.15
LEAST_PREVALENCE = 0.03

# Tetrachoric correlations of pairs of findings, rounded, after the pair counts of ChestX-ray14 (Wang et al.
# 2017, co-occurrence figure); other pairs are uncorrelated.
CORRELATIONS = {
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
    """Return the prevalence of each finding.

    Args:
        tail: exponent of NIH's prevalences, 0 to 1; 1 gives NIH's own. Below 1 they are rescaled to
            FINDINGS_AN_IMAGE in sum, and then raised to LEAST_PREVALENCE where they are lower.

    Returns:
        (14,), 0 to 1.
    """
    nih = NIH_POSITIVES / NIH_RADIOGRAPHS
    if tail == 1:
        return nih
    flattened = nih**tail
    return np.maximum(flattened * FINDINGS_AN_IMAGE / flattened.sum(), LEAST_PREVALENCE)


def sample_findings(
    patient_rng: np.random.Generator, image_rng: np.random.Generator, difficulty: Difficulty
) -> np.ndarray:
    """Draw the findings of one phantom from a Gaussian copula.

    Correlated standard normals are cut at the thresholds that give each finding its prevalence, so that the
    prevalences are exact and NIH's pairs come together (Nelsen 2006, "An Introduction to Copulas"). The
    normals are the sum of a part of the patient, with variance `persistence`, and a part of the image, with
    the rest. Both parts have the same correlation matrix, so neither prevalences nor pairs depend on it.

    Args:
        patient_rng: random stream of the patient's findings, in the same state for each of the images.
        image_rng: random stream of the image's findings.
        difficulty: `tail` and `persistence` are used.

    Returns:
        (14,) bool.
    """
    patient, image = patient_rng.standard_normal(len(FINDINGS)), image_rng.standard_normal(len(FINDINGS))
    persistence = difficulty.persistence
    normals = np.sqrt(persistence) * patient + np.sqrt(1 - persistence) * image
    return _cholesky_factor() @ normals > _thresholds(difficulty.tail)


def add_label_noise(rng: np.random.Generator, findings: np.ndarray, difficulty: Difficulty) -> np.ndarray:
    """Return the labels of a reader who makes mistakes: some findings missed, some invented.

    Args:
        rng: random stream of the image's label noise.
        findings: (14,) bool, what was drawn.
        difficulty: `false_negatives`, `false_positives` and `tail` are used.

    Returns:
        (14,) bool.
    """
    missed, invented = rng.random((2, len(FINDINGS)))
    labelled = missed >= difficulty.false_negatives
    false_positive = invented < difficulty.false_positives * prevalence(difficulty.tail)
    return np.where(findings, labelled, false_positive)


@cache
def _cholesky_factor() -> np.ndarray:
    correlation = np.eye(len(FINDINGS))
    for (one, other), value in CORRELATIONS.items():
        row, column = FINDINGS.index(one), FINDINGS.index(other)
        correlation[row, column] = correlation[column, row] = value
    # Rounded pairwise correlations need not form a positive definite matrix: clip the eigenvalues.
    values, vectors = np.linalg.eigh(correlation)
    repaired = (vectors * np.clip(values, 1e-3, None)) @ vectors.T
    scale = np.sqrt(np.diag(repaired))
    return np.linalg.cholesky(repaired / scale[:, None] / scale)


@cache
def _thresholds(tail: float) -> np.ndarray:
    return np.array([NormalDist().inv_cdf(1 - share) for share in prevalence(tail)])
