"""The figures of docs/distillation.md, from the JSON files alone."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.distillation.arms import BY_NAME, is_contender
from benchmarks.distillation.differences import read_differences
from benchmarks.distillation.rates import at_best_rates
from benchmarks.distillation.regimes import Regime
from benchmarks.distillation.runs import CURVE, TRUE, VALIDATION, Run, read_results
from benchmarks.distillation.stages import FINALIST_RATES, FIT, SCREENED
from cxr14.files import atomic_write
from cxr14.settings import STUDENT

_COLOURS = dict(zip(FINALIST_RATES, (0, 2, 3), strict=True))
"""Colour of each finalist; the teachers have that which is left out."""


def write(results: Path, path: Path, plateau: Regime = FIT) -> Path:
    """Draw the finalists: AUROC by training length and rate, what each adds to labels alone, and curves.

    Args:
        results: folder of the JSON files, with the differences.
        path: the PNG file.
        plateau: regime of the finalists, who are drawn after twice its epochs too.

    Returns:
        `path`.
    """
    runs, rows = read_results(results), read_differences(results, "labels", "best")
    lengths = (plateau, plateau.times(2))
    figure, (by_length, gains, curves) = plt.subplots(1, 3, figsize=(15, 5), layout="constrained")
    _draw_lengths(by_length, runs, plateau)
    at_best = [*(run for run in runs if run["network"] != STUDENT), *at_best_rates(runs)]
    _draw_gains(gains, rows, at_best, lengths)
    _draw_curves(curves, at_best, lengths)
    return _save(figure, path)


def write_screening(results: Path, path: Path, regime: Regime = SCREENED) -> Path:
    """Draw the test AUROC of every arm of the screening, a dot a seed, the best arm on top.

    Args:
        results: folder of the JSON files.
        path: the PNG file.
        regime: where the arms are screened.

    Returns:
        `path`.
    """
    runs = read_results(results)
    by_arm = defaultdict(list)
    for run in runs:
        if run["network"] == STUDENT and run["regime"] == regime:
            by_arm[run["arm"]].append(run[TRUE]["mean AUROC"])
    order = sorted(by_arm, key=lambda arm: np.mean(by_arm[arm]))
    figure, axes = plt.subplots(figsize=(8, 1.5 + 0.25 * len(order)), layout="constrained")
    alone = float(np.mean(by_arm["labels"]))
    axes.axvline(alone, color="0.6", linewidth=1)
    teachers = _teachers(runs, regime, TRUE)
    for name, value in teachers.items():
        axes.axvline(value, color="C1", linestyle=":", label=f"{name}, teacher")
    lead = max([*teachers.values(), *map(max, by_arm.values())]) - alone
    left, right = alone - 1.5 * lead, alone + 1.1 * lead
    for height, arm in enumerate(order):
        colour = "C0" if is_contender(arm) else "0.5"
        inside = [value for value in by_arm[arm] if value >= left]
        axes.plot(inside, [height] * len(inside), "o", color=colour, alpha=0.7)
        outside = [f"{value:.3f}" for value in sorted(by_arm[arm]) if value < left]
        if outside:
            axes.annotate(f"◂ {', '.join(outside)}", (left, height), va="center", fontsize=8)
    axes.set_xlim(left, right)
    axes.set_ylim(-0.7, len(order) - 0.3)
    axes.set_yticks(range(len(order)), order, fontsize=8)
    axes.set_title(
        f"{regime.epochs} epochs at {Run(regime).learning_rate:g}; a dot a seed; gray: labels and controls",
        fontsize=10,
    )
    axes.set_xlabel("test AUROC (true labels, SYNTHETIC); gray line: labels alone", fontsize=9)
    if teachers:
        axes.legend(fontsize=8, loc="lower right")
    return _save(figure, path)


def _save(figure: Figure, path: Path) -> Path:
    with atomic_write(path) as part:
        figure.savefig(part, format="png", dpi=110)
    plt.close(figure)
    return path


def _draw_lengths(axes: Axes, runs: list[dict], regime: Regime) -> None:
    """Draw the test AUROC of the finalists by length of the training, a line of medians for each rate."""
    for name, value in _teachers(runs, regime, TRUE).items():
        axes.axhline(value, color="C1", linestyle=":")
        axes.annotate(
            f"{name}, teacher", (0.01, value), xycoords=("axes fraction", "data"), va="bottom", fontsize=8
        )
    lines = defaultdict(lambda: defaultdict(list))  # (arm, rate) -> epochs -> AUROC of each seed
    for run in runs:
        if run["network"] == STUDENT and run["arm"] in _COLOURS and run["regime"].data == regime.data:
            lines[run["arm"], run["learning rate"]][run["regime"].epochs].append(run[TRUE]["mean AUROC"])
    others = []  # where the line of another rate ends, the rate, and its colour
    for (arm, rate), values in sorted(lines.items(), key=lambda line: _COLOURS[line[0][0]]):
        epochs = sorted(values)
        medians = [np.median(values[length]) for length in epochs]
        is_chosen = rate == FINALIST_RATES[arm]
        for length in epochs:
            axes.plot(
                [length] * len(values[length]), values[length], ".", color=f"C{_COLOURS[arm]}", alpha=0.5
            )
        axes.plot(
            *(epochs, medians, "o-" if is_chosen else "o--"),
            color=f"C{_COLOURS[arm]}",
            linewidth=2 if is_chosen else 1,
            markerfacecolor=f"C{_COLOURS[arm]}" if is_chosen else "white",
            label=f"{arm}, {rate:g}" if is_chosen else None,
        )
        if not is_chosen:
            others.append((epochs[-1], medians[-1], rate, f"C{_COLOURS[arm]}"))
    _name_rates(axes, others)
    axes.set_xscale("log", base=2)
    lengths = sorted({length for values in lines.values() for length in values})
    axes.set_xticks(lengths, [str(length) for length in lengths])
    axes.minorticks_off()
    axes.margins(x=0.15)
    axes.set_title("each at its best rate; dashed: other learning rates; dots: seeds", fontsize=10)
    axes.set_xlabel("epochs of the training", fontsize=9)
    axes.set_ylabel("test AUROC (true labels, SYNTHETIC)", fontsize=9)
    axes.legend(fontsize=8, loc="lower right")


def _name_rates(axes: Axes, ends: list[tuple[int, float, float, str]]) -> None:
    """Write each rate beside the end of its line, one above the other where they would overlap."""
    line_height = 0.025 * np.ptp(axes.get_ylim())
    last = (0, 0.0)
    for epochs, height, rate, colour in sorted(ends):
        if epochs == last[0]:
            height = max(height, last[1] + line_height)
        axes.annotate(f"  {rate:g}", (epochs, height), va="center", fontsize=7, color=colour)
        last = (epochs, height)


def _draw_gains(axes: Axes, rows: list[dict], runs: list[dict], regimes: Sequence[Regime]) -> None:
    """Draw each arm's difference from labels alone with its interval, and the lead of its teacher."""
    order = list(BY_NAME)
    wanted = [row for row in rows if row["regime"] in regimes]
    wanted.sort(key=lambda row: (row["regime"].epochs, order.index(row["arm"])), reverse=True)
    leads = {}
    for regime in regimes:
        alone = _mean([run for run in runs if _is(run, regime, "labels")], TRUE)
        leads[regime] = {name: value - alone for name, value in _teachers(runs, regime, TRUE).items()}
    for height, row in enumerate(wanted):
        colour = "C0" if is_contender(row["arm"]) else "0.5"
        axes.plot([row["low"], row["high"]], [height, height], color=colour, linewidth=2)
        inside = colour if len(row["seeds"]) > 1 else "white"
        axes.plot(row["difference"], height, "o", color=colour, markerfacecolor=inside)
        for name, lead in leads[row["regime"]].items():
            label = f"{name} itself" if height == 0 else None
            axes.plot(lead, height, "|", color="C1", markersize=14, markeredgewidth=2, label=label)
    names = [f"{row['arm']}{_length(row['regime'], regimes)} ({len(row['seeds'])})" for row in wanted]
    axes.set_yticks(range(len(wanted)), names, fontsize=8)
    axes.set_ylim(-0.7, len(wanted) - 0.3)
    axes.axvline(0, color="0.6", linewidth=1)
    axes.set_title(
        f"each at its best rate, {' and '.join(str(regime.epochs) for regime in regimes)} epochs", fontsize=10
    )
    axes.set_xlabel(
        "test AUROC minus labels alone (true labels, SYNTHETIC; number of seeds)\n"
        "95 % intervals: over patients and seeds; hollow: patients alone",
        fontsize=8,
    )
    if wanted:
        axes.legend(fontsize=8)


def _draw_curves(axes: Axes, runs: list[dict], regimes: Sequence[Regime]) -> None:
    """Draw the validation AUROC by epoch of the finalists, means over seeds, and the teachers' best."""
    for name, value in _teachers(runs, regimes[0], VALIDATION).items():
        axes.axhline(value, color="C1", linestyle=":")
        axes.annotate(f"{name} at its best", (1, value), va="bottom", fontsize=8)
    for arm, number in _COLOURS.items():
        for regime in regimes:
            curves = [run[CURVE] for run in runs if _is(run, regime, arm)]
            if curves:
                epochs = 1 + np.arange(len(curves[0]))
                axes.plot(
                    *(epochs, np.mean(curves, axis=0), "-" if is_contender(arm) else "--"),
                    color=f"C{number}",
                    alpha=1 if regime == regimes[0] else 0.45,
                    label=f"{arm}{_length(regime, regimes)} ({len(curves)})",
                )
    axes.set_title("each at its best rate, mean over seeds (their number)", fontsize=10)
    axes.set_xlabel("epoch", fontsize=9)
    axes.set_ylabel("validation AUROC (noisy labels, SYNTHETIC)", fontsize=9)
    if axes.lines:
        axes.set_ylim(bottom=max(0.5, axes.get_ylim()[1] - 0.12))
    axes.legend(fontsize=8, loc="lower right")


def _length(regime: Regime, regimes: Sequence[Regime]) -> str:
    """Return the length of a training where the figure has several."""
    return f", {regime.epochs} epochs" if len(regimes) > 1 else ""


def _is(run: dict, regime: Regime, arm: str) -> bool:
    return run["network"] == STUDENT and run["arm"] == arm and run["regime"] == regime


def _teachers(runs: list[dict], regime: Regime, name: str) -> dict[str, float]:
    """Return the AUROC of each single teacher of the regime, by its network's name."""
    taught = [run["teachers"] for run in runs if run["regime"] == regime]
    alone = {teachers[0] for teachers in taught if len(teachers) == 1}
    return {
        run["network"].partition("-")[2]: run[name]["mean AUROC"]
        for run in runs
        if run["run"] in alone and run["network"] != STUDENT
    }


def _mean(runs: list[dict], name: str) -> float:
    return float(np.mean([run[name]["mean AUROC"] for run in runs])) if runs else float("nan")
