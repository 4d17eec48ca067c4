"""Which learning rate is the best for each arm."""

from collections import defaultdict

import numpy as np

from benchmarks.distillation.runs import VALIDATION
from benchmarks.distillation.stages import RATE_SEEDS
from cxr14.settings import STUDENT


def at_best_rates(runs: list[dict]) -> list[dict]:
    """Return the students of each arm at the learning rate with the best validation AUROC, a mean over seeds.

    Args:
        runs: any, as `read_results` returns them.

    Returns:
        The runs at the chosen rates, with a regime that is the same at all of them; none of an arm that has
        fewer than `RATE_SEEDS` seeds at every rate.
    """
    by_rate = defaultdict(lambda: defaultdict(list))  # (regime, arm) -> rate -> runs
    for run in runs:
        if run["network"] == STUDENT:
            regime = run["regime"].at_any_rate
            by_rate[regime, run["arm"]][run["learning rate"]].append(run | {"regime": regime})
    chosen = []
    for rates in by_rate.values():
        tried = [of for of in rates.values() if len(of) >= RATE_SEEDS]
        chosen += max(tried, key=_mean_validation, default=[])
    return chosen


def _mean_validation(runs: list[dict]) -> float:
    return float(np.mean([run[VALIDATION]["mean AUROC"] for run in runs]))
