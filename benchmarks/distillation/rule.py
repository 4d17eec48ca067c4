"""The rule of docs/distillation.md, applied to the measured differences: does an arm become the default?"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.distillation.arms import is_contender
from benchmarks.distillation.differences import LARGEST_P, read_differences
from benchmarks.distillation.rates import at_best_rates
from benchmarks.distillation.regimes import Regime
from benchmarks.distillation.runs import NOISY, read_results
from benchmarks.distillation.stages import FINALIST_REGIMES, FINALIST_SEEDS
from cxr14.evaluation.intervals import holm

SMALLEST_GAIN = 0.003
"""Difference in the mean AUROC that is worth a change of the default."""
LARGEST_CALIBRATION_LOSS = 0.01


@dataclass(frozen=True)
class Verdict:
    """What the rule says of an arm in a regime."""

    regime: Regime
    arm: str
    seeds: int
    difference: float
    """From labels alone, in the mean AUROC on the true labels."""
    learning_rates: tuple[float, float]
    """That of the arm, and that of labels alone."""
    p_value: float
    """Holm-adjusted over the arms with all seeds."""
    of_twice_the_epochs: float
    """The same difference after twice the epochs; NaN where it was not measured."""
    seeds_of_twice_the_epochs: int
    worse_findings: tuple[str, ...]
    calibration_loss: float
    """Mean calibration error minus that of labels alone."""

    @property
    def passes(self) -> bool | None:
        """Whether the rule takes the arm; None where a length or seeds are missing."""
        holds = (
            self.p_value < LARGEST_P
            and self.difference >= SMALLEST_GAIN
            and not self.worse_findings
            and self.calibration_loss < LARGEST_CALIBRATION_LOSS
        )
        if not holds:
            return False
        if min(self.seeds, self.seeds_of_twice_the_epochs) < FINALIST_SEEDS:
            return None
        return self.of_twice_the_epochs > 0


def verdicts(results: Path, regimes: Iterable[Regime] = FINALIST_REGIMES) -> list[Verdict]:
    """Apply the rule to every arm that was compared with several seeds, each at its best learning rate.

    Args:
        results: folder of the JSON files, with the differences.
        regimes: those whose arms are also trained for twice the epochs.

    Returns:
        A verdict for each regime and arm.
    """
    by_regime = defaultdict(dict)  # regime -> arm -> row
    for row in read_differences(results, "labels", "best"):
        if is_contender(row["arm"]) and len(row["seeds"]) > 1:
            by_regime[row["regime"]][row["arm"]] = row
    errors = _calibration_errors(results)
    found = []
    for regime in regimes:
        arms = by_regime.get(regime, {})
        longer = by_regime.get(regime.times(2), {})
        adjusted = holm(np.array([row["p"] for row in arms.values()], dtype=float))
        for (arm, row), p_value in zip(arms.items(), adjusted, strict=True):
            loss = [errors[regime, arm, seed] - errors[regime, "labels", seed] for seed in row["seeds"]]
            found.append(
                Verdict(
                    regime,
                    arm,
                    len(row["seeds"]),
                    row["difference"],
                    tuple(row["learning rates"]),
                    float(p_value),
                    longer[arm]["difference"] if arm in longer else math.nan,
                    len(longer[arm]["seeds"]) if arm in longer else 0,
                    tuple(row["findings that are worse"]),
                    float(np.mean(loss)),
                )
            )
    return found


def _calibration_errors(results: Path) -> dict[tuple[Regime, str, int], float]:
    """Return the mean calibration error of students at their best rates, by regime, arm and seed."""
    return {
        (run["regime"], run["arm"], run["seed"]): run[NOISY]["mean calibration error"]
        for run in at_best_rates(read_results(results))
    }
