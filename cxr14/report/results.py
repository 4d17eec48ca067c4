"""Every number of the report, with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from cxr14.evaluation import calibration, metrics
from cxr14.evaluation.bootstrap import (
    Bootstrapped,
    bootstrap_auroc,
    bootstrap_average_precision,
    bootstrap_decisions,
    paired_difference,
)
from cxr14.evaluation.intervals import FEWEST_PATIENTS, Difference, holm, patients_of_each_class
from cxr14.evaluation.resamples import Resamples
from cxr14.evaluation.seeds import mean_over_seeds
from cxr14.report.runs import Arm, Run, Section, Teaching

AVERAGE_PRECISION = "average precision"
"""As `metrics` calls it."""


@dataclass(frozen=True, eq=False)
class Validated:
    """Thresholds and calibrations chosen on the validation list, and their results on the test list."""

    thresholds: np.ndarray
    """(F,) operating thresholds by the run's own rule, 0 to 1; NaN where validation lacks a class."""
    decisions: dict[str, Bootstrapped]
    """Sensitivity, specificity, accuracy and F1 at these thresholds, by their names in `metrics`."""
    calibrations: tuple[calibration.Calibration, ...]
    """Of the F findings."""
    calibrated: np.ndarray
    """(N, F) calibrated probabilities on the test list."""


@dataclass(frozen=True, eq=False)
class RunResults:
    """The results of one run."""

    run: Run
    bootstrapped: dict[str, Bootstrapped]
    """AUROC and average precision, by their names."""
    validated: Validated | None
    """None without predictions of a validation list."""
    metrics: pd.DataFrame
    """What `metrics.table` returns, at the operating thresholds if there are any."""

    @property
    def auroc(self) -> Bootstrapped:
        """The metric that networks are compared by."""
        return self.bootstrapped[metrics.AUROC]


@dataclass(frozen=True, eq=False)
class ArmResults:
    """The results of one arm: means over its seeds."""

    arm: Arm
    bootstrapped: dict[str, Bootstrapped]
    """AUROC and average precision, averaged over seeds."""
    mean_aurocs: np.ndarray
    """(seeds,) mean AUROC of each run, in the arm's order."""

    @property
    def auroc(self) -> Bootstrapped:
        """The metric that networks are compared by."""
        return self.bootstrapped[metrics.AUROC]


@dataclass(frozen=True, eq=False)
class Gain:
    """AUROC taught minus AUROC alone on the same resamples, paired by seed."""

    teaching: Teaching
    taught: Bootstrapped
    """AUROC of the paired runs taught, averaged over seeds."""
    alone: Bootstrapped
    findings: Difference
    """Of each finding; four (F,). Its p-values are NaN where the comparison is not fair."""
    adjusted: np.ndarray
    """(F,) p-values, adjusted for the number of findings."""
    macro: Difference
    """Of the mean over findings; its p-value is NaN where the comparison is not fair."""
    by_seed: np.ndarray
    """(pairs,) difference of the mean AUROC of each pair of runs."""


@dataclass(frozen=True, eq=False)
class SectionResults:
    """The results of one section."""

    section: Section
    runs: dict[Run, RunResults]
    arms: dict[Arm, ArmResults]
    gains: tuple[Gain, ...]
    """Of every taught student that was tested alone too."""
    adjusted: np.ndarray
    """(gains,) p-values of the mean gains, adjusted for the number of fair ones; NaN for the others."""
    is_trusted: np.ndarray
    """(F,) bool: enough patients with the finding and without it for an interval."""

    @property
    def undefined(self) -> tuple[str, ...]:
        """Findings of which the test list lacks positives or negatives."""
        first = next(iter(self.runs.values()))
        return metrics.undefined(first.auroc.values, self.section.example.findings)

    @property
    def scarce(self) -> tuple[str, ...]:
        """Findings that are defined, but have too few patients for an interval."""
        findings = zip(self.section.example.findings, self.is_trusted, strict=True)
        return tuple(name for name, trusted in findings if not trusted and name not in self.undefined)


def measure(section: Section, resamples: int, seed: int) -> SectionResults:
    """Compute all results of a section.

    Args:
        section: arms that were tested on one image list.
        resamples: number of resamples of its patients.
        seed: of the resamples.
    """
    draws = Resamples(section.example.patients, resamples, seed)
    bar = tqdm(section.runs, desc="resampling patients", unit="run", leave=False)
    runs = {run: _measure(run, draws) for run in bar}
    arms = {arm: _summarise(arm, [runs[run] for run in arm.runs]) for arm in section.arms}
    gains = tuple(_gain(teaching, runs) for teaching in section.teachings if teaching.alone is not None)
    p_values = np.array([gain.macro.p_value for gain in gains], dtype=np.float64)
    return SectionResults(section, runs, arms, gains, holm(p_values), _is_trusted(section))


def _measure(run: Run, draws: Resamples) -> RunResults:
    labels, probabilities = run.test.labels, run.test.probabilities
    validated = _validate(run, draws) if run.val is not None else None
    return RunResults(
        run,
        {
            metrics.AUROC: bootstrap_auroc(labels, probabilities, draws),
            AVERAGE_PRECISION: bootstrap_average_precision(labels, probabilities, draws),
        },
        validated,
        metrics.table(labels, probabilities, validated.thresholds if validated else None, run.test.findings),
    )


def _validate(run: Run, draws: Resamples) -> Validated:
    thresholds = calibration.choose_thresholds(run.val, run.threshold_rule, run.target_sensitivity)
    calibrations = calibration.fit_calibrations(run.val)
    return Validated(
        thresholds,
        bootstrap_decisions(run.test.labels, run.test.probabilities, thresholds, draws),
        calibrations,
        calibration.calibrated(run.test.logits, calibrations),
    )


def _summarise(arm: Arm, results: Sequence[RunResults]) -> ArmResults:
    means = {
        name: mean_over_seeds([each.bootstrapped[name] for each in results])
        for name in (metrics.AUROC, AVERAGE_PRECISION)
    }
    return ArmResults(arm, means, np.array([metrics.macro(each.auroc.values)[0] for each in results]))


def _gain(teaching: Teaching, runs: dict[Run, RunResults]) -> Gain:
    taught = mean_over_seeds([runs[run].auroc for run, _ in teaching.pairs])
    alone = mean_over_seeds([runs[run].auroc for _, run in teaching.pairs])
    findings, macro = paired_difference(taught, alone), paired_difference(taught.macro(), alone.macro())
    if not teaching.is_fair:
        findings = findings._replace(p_value=np.full_like(findings.p_value, np.nan))
        macro = macro._replace(p_value=np.float64(np.nan))
    by_seed = [
        metrics.macro(runs[mine].auroc.values)[0] - metrics.macro(runs[theirs].auroc.values)[0]
        for mine, theirs in teaching.pairs
    ]
    return Gain(teaching, taught, alone, findings, holm(findings.p_value), macro, np.array(by_seed))


def _is_trusted(section: Section) -> np.ndarray:
    example = section.example
    counts = patients_of_each_class(example.labels == 1, example.patients)
    return np.min(counts, axis=0) >= FEWEST_PATIENTS
