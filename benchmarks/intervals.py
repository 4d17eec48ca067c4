"""Speed and coverage of the confidence intervals: how often they contain the truth where it is known.

    python -m benchmarks.intervals

Leaves benchmarks/results/intervals-cpu.json; about 5 minutes of one core. Coverage is simulated in lists of
250 patients with 2 to 5 radiographs each, of whom 2 to 50 have the finding, and percentiles of the same
resamples are measured for comparison. The loop over scikit-learn's roc_auc_score that the speed is compared
with covers a part of the resamples in the same process, and its time is scaled up.
"""

import resource
import time
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import tyro
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from benchmarks.common import Settings, keep_result
from cxr14.evaluation.bootstrap import bootstrap_auroc, bootstrap_average_precision, paired_difference
from cxr14.evaluation.delong import delong_interval
from cxr14.evaluation.intervals import LEVEL
from cxr14.evaluation.resamples import Resamples
from cxr14.settings import RESAMPLES

# NIH's official test list; the shares of its 14 findings are those among all radiographs of the release.
RADIOGRAPHS, PATIENTS = 25_596, 2_797
SHARES = (0.103, 0.025, 0.119, 0.177, 0.052, 0.056, 0.013, 0.047, 0.042, 0.021, 0.022, 0.015, 0.030, 0.002)
LOOPED = 20  # resamples that the loop is measured on

LISTS = 1000
PATIENTS_OF_A_LIST = 250
POSITIVE_PATIENTS = (2, 5, 10, 20, 50)
# Distance of the mean scores of positives and negatives: AUROC .71, .85, .955 and .99.
SEPARATIONS = (0.8, 1.47, 2.4, 3.3)
# A less favourable shape: a share of the positive patients scores much like negatives, the others far above.
ATYPICAL, ATYPICAL_SEPARATIONS = 0.4, (2.7, 0.2)
WEAKER = 0.4  # by so much is the separation of the weaker network lower
SHARE_OF_PATIENT = 0.5  # of the variance of a score, shared by a patient's radiographs
SHARE_OF_NETWORK = 0.25  # of the variance of a score, not shared by two networks
POSITIVE_RADIOGRAPHS = 0.6  # of a patient with the finding; at least one

MEANS_OF_LISTS = 400
PATIENTS_OF_MEANS = (60, 100, 250, 1000)


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


@dataclass(frozen=True)
class Simulated:
    """Many lists that share their patients, as the columns of one; a column is a finding to the bootstrap."""

    labels: np.ndarray
    """(N, lists) bool."""
    ours: np.ndarray
    """(N, lists) scores of a network."""
    theirs: np.ndarray
    """(N, lists) scores of another one, which is as good."""
    weaker: np.ndarray
    """(N, lists) scores of a network that separates less."""
    patients: np.ndarray
    """(N,)"""
    separations: tuple[float, float]
    """Of typical and of atypical positive patients."""

    def auroc(self, weaker: bool = False) -> float:
        """Return the true AUROC, of radiographs of different patients."""
        shift = WEAKER if weaker else 0
        typical, atypical = (norm.cdf((each - shift) / np.sqrt(2)) for each in self.separations)
        return float((1 - ATYPICAL) * typical + ATYPICAL * atypical)

    def average_precision(self) -> float:
        """Return the true average precision, at the prevalence of the lists."""
        cuts = np.linspace(12, -8, 200_001)
        typical, atypical = (norm.sf(cuts - each) for each in self.separations)
        recall = (1 - ATYPICAL) * typical + ATYPICAL * atypical
        prevalence = self.labels.mean()
        true, false = prevalence * recall, (1 - prevalence) * norm.sf(cuts)
        return float(np.sum(np.diff(recall) * (true / (true + false))[1:]))


def simulate(positive_patients: int, separations: tuple[float, float], lists: int, seed: int) -> Simulated:
    """Draw lists in which so many patients have the finding.

    Args:
        positive_patients: in each list.
        separations: of the mean scores of positive and negative radiographs, in standard deviations, for
            typical and for atypical positive patients.
        lists: how many.
        seed: of the draw.
    """
    draw = np.random.default_rng(seed)
    sizes = draw.integers(2, 6, PATIENTS_OF_A_LIST)
    patients = np.repeat(np.arange(PATIENTS_OF_A_LIST), sizes)
    first = np.cumsum(sizes) - sizes
    ranks = draw.random((PATIENTS_OF_A_LIST, lists)).argsort(axis=0).argsort(axis=0)
    chosen = ranks < positive_patients  # (patients, lists)
    labels = chosen[patients] & (draw.random((len(patients), lists)) < POSITIVE_RADIOGRAPHS)
    labels[first] |= chosen & ~np.logical_or.reduceat(labels, first)
    of_patient = draw.normal(size=chosen.shape)[patients]
    of_radiograph, ours, theirs = draw.normal(size=(3, *labels.shape))
    is_atypical = (draw.random(chosen.shape) < ATYPICAL)[patients]
    shared = np.sqrt(SHARE_OF_PATIENT) * of_patient + np.where(is_atypical, *separations[::-1]) * labels
    shared += np.sqrt(1 - SHARE_OF_PATIENT - SHARE_OF_NETWORK) * of_radiograph
    own = np.sqrt(SHARE_OF_NETWORK)
    ours, theirs = shared + own * ours, shared + own * theirs
    return Simulated(labels, ours, theirs, theirs - WEAKER * labels, patients, separations)


def coverage(
    positive_patients: int, separations: tuple[float, float], lists: int = LISTS, seed: int = 0
) -> dict[str, float]:
    """Return shares of intervals that contain the truth, and their mean widths.

    Args:
        positive_patients: in each list.
        separations: as in `simulate`.
        lists: how many are simulated.
        seed: of lists and resamples.
    """
    simulated = simulate(positive_patients, separations, lists, seed)
    labels, ours = simulated.labels, simulated.ours
    resamples = Resamples(simulated.patients, seed=seed)
    first, second = (bootstrap_auroc(labels, scores, resamples) for scores in (ours, simulated.theirs))
    precision = bootstrap_average_precision(labels, ours, resamples)
    auroc, ap = simulated.auroc(), simulated.average_precision()
    difference = paired_difference(first, second)
    weaker = bootstrap_auroc(labels, simulated.weaker, resamples)
    gaps = first.draws - second.draws
    figures = {
        "positive patients": positive_patients,
        "normal": separations[0] == separations[1],
        "true AUROC": auroc,
        "true average precision": ap,
    }
    for name, (low, high), truth in (
        ("AUROC", first.interval()[1:], auroc),
        ("AUROC, percentiles", percentiles(first.draws), auroc),
        ("AUROC, DeLong by patient", delong_interval(labels, ours, simulated.patients)[1:], auroc),
        ("average precision", precision.interval()[1:], ap),
        ("average precision, percentiles", percentiles(precision.draws), ap),
        ("difference of AUROC", difference[1:3], 0),
        (
            "difference of AUROC, unequal networks",
            paired_difference(first, weaker)[1:3],
            auroc - simulated.auroc(weaker=True),
        ),
        ("difference of AUROC, percentiles", percentiles(gaps), 0),
    ):
        figures[f"{name}: contains the truth"] = contains(low, high, truth)
        figures[f"{name}: mean width"] = float(np.nanmean(high - low))
    figures["difference of AUROC: p below 0.05"] = float(np.mean(difference.p_value < 1 - LEVEL))
    return figures


def coverage_of_means(patients: int, lists: int = MEANS_OF_LISTS) -> dict[str, float]:
    """Return shares of intervals of the mean over 14 findings, and of its difference, that contain the truth.

    The findings have the shares of NIH's release, so that some are absent and some have one or two patients;
    findings and scores of a patient are correlated over findings too.

    Args:
        patients: in each list.
        lists: how many are simulated.
    """
    separations = np.linspace(0.8, 2.4, len(SHARES))
    truths = norm.cdf(separations / np.sqrt(2))
    contained: dict[str, list[bool]] = {}
    for seed in tqdm(range(lists), desc=f"means, {patients} patients", unit="list"):
        draw = np.random.default_rng([patients, seed])
        of_patient = np.repeat(np.arange(patients), draw.integers(2, 6, patients))
        labels = _correlated(draw, of_patient, 0.7) > norm.isf(np.array(SHARES))
        shared = np.sqrt(1 - SHARE_OF_NETWORK) * _correlated(draw, of_patient, 0.6) + labels * separations
        own = np.sqrt(SHARE_OF_NETWORK) * draw.normal(size=(2, *labels.shape))
        resamples = Resamples(of_patient, 400, seed)
        first, second = (bootstrap_auroc(labels, shared + each, resamples) for each in own)
        defined = ~np.isnan(first.values)
        truth = truths[defined].mean()
        mean, difference = first.macro().interval(), paired_difference(first.macro(), second.macro())
        of_draws = percentiles(first.draws[:, defined].mean(axis=1))
        for name, low, high, true in (
            ("mean AUROC", mean.low, mean.high, truth),
            ("mean AUROC, percentiles", *of_draws, truth),
            ("difference of the mean AUROC", difference.low, difference.high, 0),
        ):
            contained.setdefault(name, []).append(contains(low, high, true))
    shares = {f"{name}: contains the truth": float(np.mean(each)) for name, each in contained.items()}
    return {"patients": patients} | shares


def _correlated(draw: np.random.Generator, patients: np.ndarray, share: float) -> np.ndarray:
    """Return (N, findings) standard normals; a share is the patient's, half is common to all findings."""
    rows, findings = len(patients), len(SHARES)
    people = patients[-1] + 1
    of_patient = draw.normal(size=(people, 1)) + draw.normal(size=(people, findings))
    of_radiograph = draw.normal(size=(rows, 1)) + draw.normal(size=(rows, findings))
    return np.sqrt(share / 2) * of_patient[patients] + np.sqrt((1 - share) / 2) * of_radiograph


def percentiles(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the percentile interval of draws, (R, ...); those without a value are left out."""
    draws = np.where(np.isnan(draws).all(axis=0), 0, draws)
    low, high = np.nanquantile(draws, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
    return low, high


def contains(low: np.ndarray, high: np.ndarray, truth: float) -> float:
    """Return the share of intervals that contain the truth."""
    return float(np.mean((low <= truth) & (truth <= high)))


def speed(count: int = RESAMPLES, looped: int = LOOPED) -> dict[str, float]:
    """Return seconds for all resamples, ours and a loop's, and the largest gap between the two's AUROCs.

    Args:
        count: number of resamples.
        looped: how many of them the loop computes too.
    """
    labels, probabilities, patients = nih_like_list(0)
    started = time.perf_counter()
    resamples = Resamples(patients, count)
    ours = bootstrap_auroc(labels, probabilities, resamples)
    seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    rows_of = np.split(np.argsort(patients, kind="stable"), np.cumsum(np.bincount(patients))[:-1])
    gap = 0.0
    started = time.perf_counter()
    for resample in tqdm(range(looped), desc="loop", unit="resample"):
        people = np.repeat(np.arange(len(rows_of)), resamples.weights[:, resample].astype(int))
        rows = np.concatenate([rows_of[person] for person in people])
        for finding in range(len(SHARES)):
            auroc = roc_auc_score(labels[rows, finding], probabilities[rows, finding])
            gap = max(gap, abs(auroc - ours.draws[resample, finding]))
    loop = (time.perf_counter() - started) * count / looped
    return {
        "seconds": seconds,
        f"seconds of a loop over roc_auc_score, scaled from {looped} resamples": loop,
        "times faster": loop / seconds,
        "largest gap between the two": gap,
        "peak memory of the process, GiB": memory,
    }


def main(settings: Settings) -> None:
    """Measure, print and keep."""
    shapes = [*((each, each) for each in SEPARATIONS), ATYPICAL_SEPARATIONS]
    cases = list(product(POSITIVE_PATIENTS, shapes))
    rows = [coverage(*case) for case in tqdm(cases, desc="coverage", unit="case")]
    figures = {
        "resamples, patients": [RESAMPLES, PATIENTS],
        "radiographs, findings": [RADIOGRAPHS, len(SHARES)],
        "speed": speed(),
        "level": LEVEL,
        "lists simulated for each row of findings": LISTS,
        "findings": rows,
        "lists simulated for each row of means": MEANS_OF_LISTS,
        "means": [coverage_of_means(patients) for patients in PATIENTS_OF_MEANS],
    }
    keep_result(settings, "intervals", torch.device("cpu"), figures)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
