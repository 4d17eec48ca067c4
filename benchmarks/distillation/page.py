"""The tables of docs/distillation.md and of README, from the JSON files of the runs alone."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.distillation.arms import BY_NAME, DEFAULT
from benchmarks.distillation.differences import Rates, Than, read_differences
from benchmarks.distillation.rates import at_best_rates
from benchmarks.distillation.regimes import Regime
from benchmarks.distillation.rule import verdicts
from benchmarks.distillation.runs import CURVE, NOISY, TRUE, VALIDATION, Run, read_results
from benchmarks.distillation.stages import FINALIST_RATES, FINALIST_SEEDS, FIT, maps, screening, several
from cxr14.evaluation.intervals import difference
from cxr14.report.conditions import epochs_to_reach
from cxr14.settings import STUDENT
from docs import markdown

Rows = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""The head of a table, and its rows."""


def distillation_map(results: Path, planned: Iterable[Run] = ()) -> Rows:
    """Return each network alone by regime: AUROC, gain of twice the epochs, lead over the student at the
    length and rate that are best on validation.

    Args:
        results: folder of the JSON files.
        planned: runs that have a row also before they have ended.

    Returns:
        The head of the table, and its rows, means over seeds; the gain is that of the seeds that have both
        lengths. The cells of a run that has not ended are empty.
    """
    alone = defaultdict(dict)  # (regime, network) -> seed -> run
    for run in read_results(results):
        if run["arm"] == "labels":
            alone[run["regime"], run["network"]][run["seed"]] = run
    rows = []
    # The lengths of a training beside one another.
    for regime, network in sorted(
        {(run.regime, run.network) for run in planned} | alone.keys(),
        key=lambda key: (key[0].times(0).name, key[0].epochs, key[1]),
    ):
        seeds = alone.get((regime, network), {})
        longer = alone.get((regime.times(2), network), {})
        rate = f"{Run(regime, network).learning_rate:g}"
        cells = (*_regime_cells(regime), network.partition("-")[2], rate, str(regime.epochs))
        if not seeds:
            rows.append((*cells, "", "", "", "", "", ""))
            continue
        means = [_mean_over(seeds.values(), name) for name in (VALIDATION, NOISY, TRUE)]
        gains = [
            _mean_auroc(longer[seed], VALIDATION) - _mean_auroc(seeds[seed], VALIDATION)
            for seed in seeds.keys() & longer.keys()
        ]
        lead = means[-1] - _best_student(alone, regime)
        rows.append(
            (
                *(*cells, str(len(seeds))),
                *(f"{mean:.3f}" for mean in means),
                f"{np.mean(gains):+.3f} ({_count(len(gains))})" if gains else "",
                "" if math.isnan(lead) or network == STUDENT else f"{lead:+.3f}",
            )
        )
    head = ("signs", "radiographs", "px", "network", "rate", "epochs", "seeds")
    scores = ("validation", "test", "test, true labels")
    return (
        *head,
        *scores,
        "gain of twice the epochs",
        "lead over the student at its best, true labels",
    ), rows


def _best_student(alone: Mapping[tuple[Regime, str], dict[int, dict]], regime: Regime) -> float:
    """Return the test AUROC of the student alone on a list, at its best validation AUROC; NaN without one."""
    scored = [
        tuple(_mean_over(seeds.values(), name) for name in (VALIDATION, TRUE))
        for (other, network), seeds in alone.items()
        if network == STUDENT and other.data == regime.data
    ]
    return max(scored, default=(math.nan, math.nan))[1]


def distillation_arms(results: Path) -> Rows:
    """Return the arms of each regime: mean AUROC over seeds, differences from labels alone and teacher."""
    students = defaultdict(list)  # (regime, arm) -> runs
    for run in read_results(results):
        if run["network"] == STUDENT:
            students[run["regime"], run["arm"]].append(run)
    found = _differences(results)
    compared = {regime for regime, arm in students if arm != "labels"}
    order = list(BY_NAME)
    rows = []
    for regime, arm in sorted(students, key=lambda key: (key[0].name, order.index(key[1]))):
        runs = students[regime, arm]
        if regime not in compared:
            continue
        means = [_mean_over(runs, name) for name in (VALIDATION, NOISY, TRUE)]
        error = np.mean([run[NOISY]["mean calibration error"] for run in runs])
        rows.append(
            (
                *(*_regime_cells(regime), f"{Run(regime).learning_rate:g}", str(regime.epochs)),
                *(arm, str(len(runs))),
                *(f"{mean:.3f}" for mean in means),
                f"{error:.3f}",
                *(_span(found[than].get((regime, arm))) for than in ("labels", "teacher", "default")),
                "" if arm == "labels" else _epochs_saved(runs, students[regime, "labels"]),
            )
        )
    head = ("signs", "radiographs", "px", "rate", "epochs", "arm", "seeds")
    scores = ("validation", "test", "test, true labels", "calibration error")
    others = ("minus labels alone", "minus its best teacher", f"minus {DEFAULT}, the default")
    return (*head, *scores, *others, "epochs saved"), rows


def distillation_finalists(results: Path, to: str) -> list[tuple[str, ...]]:
    """Return arm, rates, epochs, seeds and differences of the finalists, each at its best rate.

    Args:
        results: folder of the JSON files.
        to: the word between the ends of an interval.
    """
    found = _differences(results, "best")
    rows = []
    for regime in (FIT, FIT.times(2)):
        for arm in FINALIST_RATES:
            row = found["labels"].get((regime, arm))
            if row:
                rates = " / ".join(f"{rate:g}" for rate in row["learning rates"])
                spans = (_span(row, to), _span(found["teacher"].get((regime, arm)), to))
                rows.append((arm, rates, str(regime.epochs), str(len(row["seeds"])), *spans))
    return rows


def distillation_seeds(results: Path) -> Rows:
    """Return the test AUROC on the true labels of each training of the finalists, at both lengths."""
    lengths, order = (FIT.epochs, FIT.times(2).epochs), list(FINALIST_RATES)
    by_seed = defaultdict(dict)  # (epochs, arm, rate) -> seed -> AUROC
    for run in read_results(results):
        regime, arm = run["regime"], run["arm"]
        if (
            run["network"] == STUDENT
            and arm in order
            and regime.data == FIT.data
            and regime.epochs in lengths
        ):
            by_seed[regime.epochs, order.index(arm), run["learning rate"]][run["seed"]] = _mean_auroc(
                run, TRUE
            )
    seeds = range(FINALIST_SEEDS)
    rows = [
        (order[arm], f"{rate:g}", str(epochs), *(f"{of[seed]:.3f}" if seed in of else "" for seed in seeds))
        for (epochs, arm, rate), of in sorted(by_seed.items())
    ]
    return ("arm", "rate", "epochs", *(f"seed {seed}" for seed in seeds)), rows


def distillation_several(results: Path) -> Rows:
    """Return what several teachers, a sharper one or maps add to the student of the best teacher.

    Args:
        results: folder of the JSON files.

    Returns:
        The head of the table, and its rows; the cells of an arm that has not ended are empty.
    """
    found = _differences(results)["default"]
    planned = [run for stage in (screening, several, maps) for run in stage("cores")]
    rows = []
    for regime, arm in dict.fromkeys([*((run.regime, run.arm) for run in planned), *found]):
        if not BY_NAME[arm].adds_to_one_teacher:
            continue
        row = found.get((regime, arm))
        seeds = str(len(row["seeds"])) if row else ""
        rate = f"{Run(regime).learning_rate:g}"
        rows.append((*_regime_cells(regime), rate, str(regime.epochs), arm, seeds, _span(row)))
    head = ("signs", "radiographs", "px", "rate", "epochs", "arm", "seeds")
    return (*head, f"minus {DEFAULT}, taught by CheXNet alone"), rows


def distillation_rule(results: Path) -> Rows:
    """Return what the rule says of each arm that has several seeds.

    Args:
        results: folder of the JSON files.
    """
    trained = defaultdict(list)  # (regime, arm) -> runs
    for run in at_best_rates(read_results(results)):
        trained[run["regime"], run["arm"]].append(run)
    rows = []
    for each in verdicts(results):
        longer, seeds = each.of_twice_the_epochs, each.seeds_of_twice_the_epochs
        rows.append(
            (
                *(*_regime_cells(each.regime), str(each.regime.epochs), each.arm),
                *(f"{rate:g}" for rate in each.learning_rates),
                str(each.seeds),
                f"{each.difference:+.3f}",
                f"{each.p_value:.2g}",
                "" if math.isnan(longer) else f"{longer:+.3f} ({_count(seeds)})",
                ", ".join(each.worse_findings) or "none",
                f"{each.calibration_loss:+.3f}",
                _epochs_saved(trained[each.regime, each.arm], trained[each.regime, "labels"]),
                {True: "yes", False: "no", None: "open"}[each.passes],
            )
        )
    head = ("signs", "radiographs", "px", "epochs", "arm", "rate", "rate of labels alone", "seeds")
    found = ("minus labels alone", "adjusted p")
    checks = ("after twice the epochs", "findings that are worse", "calibration error")
    return (*head, *found, *checks, "epochs saved", "passes"), rows


def _epochs_saved(taught: list[dict], alone: list[dict]) -> str:
    """Return how many epochs earlier the validation AUROC is there that the student alone reaches at best."""
    curves = {run["seed"]: np.array(run[CURVE]) for run in alone}
    saved = []
    for run in taught:
        if run["seed"] in curves:
            curve = curves[run["seed"]]
            epochs = epochs_to_reach(np.array(run[CURVE]), curve.max())
            saved.append(math.nan if epochs is None else int(curve.argmax()) + 1 - epochs)
    if not saved:
        return ""
    if np.isnan(saved).any():
        return f"never there in {np.isnan(saved).sum()} of {len(saved)}"
    if len(saved) == 1:
        return f"{saved[0]:.0f}"
    degrees = len(saved) - 1
    found = difference(np.mean(saved), np.var(saved, ddof=1) / len(saved), degrees)
    return f"{found.value:.1f} ({found.low:.1f} to {found.high:.1f})"


def _differences(results: Path, rates: Rates = "equal") -> dict[Than, dict[tuple[Regime, str], dict]]:
    """Return the differences by what an arm is compared with, and by regime and arm."""
    return {
        than: {(row["regime"], row["arm"]): row for row in read_differences(results, than, rates)}
        for than in get_args(Than)
    }


def _regime_cells(regime: Regime) -> tuple[str, str, str]:
    signs = regime.difficulty + ("" if regime.label_noise else ", no label noise")
    return signs, f"{regime.train_count:,}", str(regime.image_size)


def _span(row: Mapping | None, to: str = " to ") -> str:
    return markdown.difference(row["difference"], row["low"], row["high"], to) if row else ""


def _count(seeds: int) -> str:
    return f"{seeds} seed{'s' * (seeds > 1)}"


def _mean_over(runs: Iterable[Mapping], name: str) -> float:
    return float(np.mean([_mean_auroc(run, name) for run in runs] or [math.nan]))


def _mean_auroc(run: Mapping, name: str) -> float:
    return run[name]["mean AUROC"]
