"""Every figure of the report, with its interval: one draw of patients for all runs of a section."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from cxr14.evaluation import calibration, metrics
from cxr14.evaluation.bootstrap import (
    Bootstrapped,
    Difference,
    Resamples,
    bootstrap_auroc,
    bootstrap_average_precision,
    bootstrap_decisions,
    paired_difference,
)
from cxr14.report.runs import Run, Section, Teaching

AVERAGE_PRECISION = "average precision"
"""As `metrics` calls it."""

FEWEST_PATIENTS = 10
"""A finding with fewer patients on either side has too few to draw from: its interval is too narrow."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """What was chosen on validation, and what it does on the test list."""

    thresholds: np.ndarray
    """(F,) operating thresholds by Youden's index, 0 to 1; NaN where validation lacks a class."""
    decisions: dict[str, Bootstrapped]
    """Sensitivity, specificity, accuracy and F1 at these thresholds, by the names in `metrics`."""
    temperatures: np.ndarray
    """(F,), above 0; NaN where validation lacks a class."""
    tempered: np.ndarray
    """(N, F) probabilities on the test list after the temperatures."""


@dataclass(frozen=True, eq=False)
class RunResults:
    """One run's figures."""

    run: Run
    bootstrapped: dict[str, Bootstrapped]
    """AUROC and average precision, by their names."""
    chosen: Chosen | None
    """None where there are no predictions of a validation list."""
    figures: pd.DataFrame
    """What `metrics.table` tells, at the operating thresholds where they could be chosen."""

    @property
    def auroc(self) -> Bootstrapped:
        """The figure that the study compares networks by."""
        return self.bootstrapped[metrics.AUROC]


@dataclass(frozen=True, eq=False)
class Gain:
    """What teaching adds to a student: AUROC taught minus AUROC alone on the same draws of patients."""

    teaching: Teaching
    findings: Difference
    """Four (F,)."""
    adjusted: np.ndarray
    """(F,) p-values, adjusted for so many findings."""
    macro: Difference
    """Of the mean over findings."""


@dataclass(frozen=True, eq=False)
class SectionResults:
    """The figures of one section."""

    section: Section
    measured: dict[Run, RunResults]
    gains: tuple[Gain, ...]
    """Of every taught student that was tested alone too."""
    adjusted: np.ndarray
    """(gains,) p-values of the mean gains, adjusted for so many teachings."""
    trusted: np.ndarray
    """(F,) bool: enough patients with the finding and without it for an interval to be believed."""

    @property
    def undefined(self) -> tuple[str, ...]:
        """Findings of which the test list lacks positives or negatives."""
        first = next(iter(self.measured.values()))
        return metrics.undefined(first.auroc.values, self.section.example.findings)

    @property
    def scarce(self) -> tuple[str, ...]:
        """Findings that are defined, but whose intervals are not to be believed."""
        findings = zip(self.section.example.findings, self.trusted, strict=True)
        return tuple(name for name, trusted in findings if not trusted and name not in self.undefined)


def gather(section: Section, resamples: int, seed: int) -> SectionResults:
    """Measure all runs of a section.

    Args:
        section: runs on one test list.
        resamples: how often its patients are drawn.
        seed: fixes the draws.
    """
    draws = Resamples(section.example.patients, resamples, seed)
    bar = tqdm(section.runs, desc="resampling patients", unit="run", leave=False)
    measured = {run: _measure(run, draws) for run in bar}
    gains = tuple(
        _gain(teaching, measured[teaching.taught].auroc, measured[teaching.alone].auroc)
        for teaching in section.teachings
        if teaching.alone is not None
    )
    p_values = np.array([gain.macro.p_value for gain in gains], dtype=np.float64)
    return SectionResults(section, measured, gains, holm(p_values), _trusted(section))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values adjusted for having looked at all of them.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the k-th smallest of m is multiplied
    by m - k + 1, and none may fall below a smaller one's; at most 1.

    Args:
        p_values: (m,), 0 to 1; NaN, which was never a test, stays NaN and is not counted.
    """
    adjusted = np.full(len(p_values), np.nan)
    order = np.argsort(p_values)[: np.sum(~np.isnan(p_values))]  # NaN is sorted to the end
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return adjusted


def _measure(run: Run, draws: Resamples) -> RunResults:
    labels, probabilities = run.test.labels, run.test.probabilities
    chosen = _choose(run, draws) if run.val is not None else None
    return RunResults(
        run,
        {
            metrics.AUROC: bootstrap_auroc(labels, probabilities, draws),
            AVERAGE_PRECISION: bootstrap_average_precision(labels, probabilities, draws),
        },
        chosen,
        metrics.table(labels, probabilities, chosen.thresholds if chosen else None, run.test.findings),
    )


def _choose(run: Run, draws: Resamples) -> Chosen:
    thresholds = calibration.choose_thresholds(run.val)
    temperatures = calibration.fit_temperatures(run.val)
    return Chosen(
        thresholds,
        bootstrap_decisions(run.test.labels, run.test.probabilities, thresholds, draws),
        temperatures,
        calibration.at_temperatures(run.test.logits, temperatures),
    )


def _gain(teaching: Teaching, taught: Bootstrapped, alone: Bootstrapped) -> Gain:
    findings = paired_difference(taught, alone)
    return Gain(teaching, findings, holm(findings.p_value), paired_difference(taught.macro(), alone.macro()))


def _trusted(section: Section) -> np.ndarray:
    labels, patients = section.example.labels, section.example.patients
    with_either = [
        [len(np.unique(patients[labels[:, finding] == side])) for side in (0, 1)]
        for finding in range(labels.shape[1])
    ]
    return np.min(with_either, axis=1) >= FEWEST_PATIENTS
