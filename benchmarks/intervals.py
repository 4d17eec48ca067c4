"""Speed and honesty of the intervals: how fast patients are resampled, how often an interval holds truth.

    python -m benchmarks.intervals

Leaves benchmarks/results/intervals-cpu.json; about a minute on 2 cores. The loop over scikit-learn's
roc_auc_score that the speed is compared with runs over a part of the resamples in the same process, and its
time is scaled up.
"""

import resource
import time

import numpy as np
import torch
import tyro
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from benchmarks.common import Settings, keep_result
from cxr14.evaluation.bootstrap import LEVEL, RESAMPLES, Resamples, bootstrap_auroc, paired_difference
from cxr14.evaluation.delong import delong_interval

# NIH's official test list; the shares of its 14 findings are those among all radiographs of the release.
RADIOGRAPHS, PATIENTS = 25_596, 2_797
SHARES = (0.103, 0.025, 0.119, 0.177, 0.052, 0.056, 0.013, 0.047, 0.042, 0.021, 0.022, 0.015, 0.030, 0.002)
LOOPED = 20  # resamples that the loop is measured on

SETS = 500
SET_PATIENTS = 200
SEPARATIONS = (0.8, 1.2, 1.6)  # of positives' and negatives' mean scores: AUROC .71, .80, .87


def nih_like_list(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, float32 probabilities and patients of a list like NIH's official test list."""
    draw = np.random.default_rng(seed)
    labels = draw.random((RADIOGRAPHS, len(SHARES))) < SHARES
    probabilities = 1 / (1 + np.exp(3 - labels - draw.normal(size=labels.shape)))
    return (
        labels.astype(np.uint8),
        probabilities.astype(np.float32),
        draw.integers(PATIENTS, size=RADIOGRAPHS),
    )


def simulated_set(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, scores of two equally good networks, and patients, whose true AUROCs are known.

    A patient has 1 to 8 radiographs, which mostly agree in a finding, and the two networks see much the same
    in them: scores share a part of the patient and a part of the radiograph. Scores of different patients
    are normal with variance 1, so a positive outscores a negative with probability Phi(separation / sqrt 2).
    """
    draw = np.random.default_rng(seed)
    patients = np.repeat(np.arange(SET_PATIENTS), draw.integers(1, 9, SET_PATIENTS))
    findings = len(SEPARATIONS)
    leaning = draw.beta(0.3, 1.2, (SET_PATIENTS, findings))[patients]  # a fifth is positive
    labels = draw.random(leaning.shape) < leaning
    of_patient, of_radiograph, ours, theirs = draw.normal(size=(4, *labels.shape))
    of_patient = of_patient[patients]  # the first rows, one for each patient
    shared = np.sqrt(0.5) * of_patient + np.sqrt(0.3) * of_radiograph + labels * SEPARATIONS
    return labels, shared + np.sqrt(0.2) * ours, shared + np.sqrt(0.2) * theirs, patients


def coverage(sets: int = SETS) -> dict[str, float]:
    """Return how often the intervals hold the truth, for the patients' bootstrap and for simpler ones."""
    truth = norm.cdf(np.array(SEPARATIONS) / np.sqrt(2))
    held: dict[str, list[float]] = {}
    for seed in tqdm(range(sets), desc="coverage", unit="set"):
        labels, ours, theirs, patients = simulated_set(seed)
        resamples = Resamples(patients, seed=seed)
        first, second = (bootstrap_auroc(labels, scores, resamples) for scores in (ours, theirs))
        each_alone = bootstrap_auroc(labels, ours, Resamples(np.arange(len(patients)), 200, seed))
        for name, true, (_, low, high, *_) in (
            ("patients resampled, a finding", truth, first.interval()),
            ("patients resampled, macro", truth.mean(), first.macro().interval()),
            ("patients resampled, paired difference, a finding", 0, paired_difference(first, second)),
            (
                "patients resampled, paired macro difference",
                0,
                paired_difference(first.macro(), second.macro()),
            ),
            ("radiographs resampled, a finding", truth, each_alone.interval()),
            ("DeLong, a finding", truth, delong_interval(labels, ours)),
            ("DeLong summed by patient, a finding", truth, delong_interval(labels, ours, patients)),
        ):
            held.setdefault(name, []).append(float(np.mean((low <= true) & (true <= high))))
    return {name: float(np.mean(shares)) for name, shares in held.items()}


def speed() -> dict[str, float]:
    """Return seconds for all resamples, ours and a loop's, and the largest gap between the two's AUROCs."""
    labels, probabilities, patients = nih_like_list(0)
    started = time.perf_counter()
    resamples = Resamples(patients)
    ours = bootstrap_auroc(labels, probabilities, resamples)
    seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    rows_of = np.split(np.argsort(patients, kind="stable"), np.cumsum(np.bincount(patients))[:-1])
    gap = 0.0
    started = time.perf_counter()
    for resample in tqdm(range(LOOPED), desc="loop", unit="resample"):
        people = np.repeat(np.arange(len(rows_of)), resamples.weights[:, resample].astype(int))
        rows = np.concatenate([rows_of[person] for person in people])
        for finding in range(len(SHARES)):
            auroc = roc_auc_score(labels[rows, finding], probabilities[rows, finding])
            gap = max(gap, abs(auroc - ours.draws[resample, finding]))
    loop = (time.perf_counter() - started) * RESAMPLES / LOOPED
    return {
        "seconds": seconds,
        f"seconds of a loop over roc_auc_score, scaled from {LOOPED} resamples": loop,
        "times faster": loop / seconds,
        "largest gap between the two": gap,
        "peak memory of the process, GiB": memory,
    }


def main(settings: Settings) -> None:
    """Measure, print and keep."""
    figures = {
        "resamples, patients": [RESAMPLES, PATIENTS],
        "radiographs, findings": [RADIOGRAPHS, len(SHARES)],
        "speed": speed(),
        f"coverage of {LEVEL:.0%} intervals over {SETS} simulated sets": coverage(),
    }
    keep_result(settings, "intervals", torch.device("cpu"), figures)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
