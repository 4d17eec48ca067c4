"""The figure of docs/distillation.md, from the JSON files alone: what each arm adds, and curves."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from benchmarks.distillation.arms import BY_NAME, is_contender
from benchmarks.distillation.differences import read_differences
from benchmarks.distillation.regimes import Regime
from benchmarks.distillation.runs import CURVE, TRUE, VALIDATION, read_results
from benchmarks.distillation.stages import FINALISTS, FIT, SCREENED
from cxr14.files import atomic_write
from cxr14.settings import STUDENT


def write(results: Path, path: Path, regimes: tuple[Regime, Regime] = (SCREENED, FIT)) -> Path:
    """Draw what each arm adds to labels alone, and the curves of the finalists.

    Args:
        results: folder of the JSON files, with the differences.
        path: the PNG file.
        regimes: of the screening and of the finalists.

    Returns:
        `path`.
    """
    runs = read_results(results)
    figure, (screened, plateau, curves) = plt.subplots(
        1, 3, figsize=(15, 5), width_ratios=(1, 1, 1.1), layout="constrained"
    )
    _draw_gains(screened, read_differences(results, "labels"), runs, regimes[0])
    _draw_gains(plateau, read_differences(results, "labels"), runs, regimes[1])
    _draw_curves(curves, runs, regimes[1])
    with atomic_write(path) as part:
        figure.savefig(part, format="png", dpi=110)
    plt.close(figure)
    return path


def _draw_gains(axes: Axes, rows: list[dict], runs: list[dict], regime: Regime) -> None:
    """Draw each arm's difference from labels alone with its interval, and the teachers' lead as lines."""
    wanted = [row for row in rows if Regime(**row["regime"]) == regime]
    order = list(BY_NAME)
    wanted.sort(key=lambda row: order.index(row["arm"]), reverse=True)
    for height, row in enumerate(wanted):
        colour = "C0" if is_contender(row["arm"]) else "0.5"
        axes.plot([row["low"], row["high"]], [height, height], color=colour, linewidth=2)
        inside = colour if len(row["seeds"]) > 1 else "white"
        axes.plot(row["difference"], height, "o", color=colour, markerfacecolor=inside)
    names = [f"{row['arm']} ({len(row['seeds'])})" for row in wanted]
    axes.set_yticks(range(len(wanted)), names, fontsize=8)
    axes.set_ylim(-1, max(len(wanted), 4))
    axes.axvline(0, color="0.6", linewidth=1)
    alone = _mean([run for run in runs if _is(run, regime, "labels")], TRUE)
    for name, value in _teachers(runs, regime, TRUE).items():
        axes.axvline(value - alone, color="C1", linestyle=":")
        place = {"xycoords": ("data", "axes fraction"), "rotation": 90, "ha": "right", "va": "top"}
        axes.annotate(f"{name} itself ", (value - alone, 1), fontsize=8, **place)
    axes.set_title(f"{regime.epochs} epochs (seeds)", fontsize=10)
    axes.set_xlabel(
        "test AUROC minus labels alone (true labels, SYNTHETIC)\n"
        "95 % intervals: over patients and seeds; hollow: patients alone",
        fontsize=8,
    )


def _draw_curves(axes: Axes, runs: list[dict], regime: Regime) -> None:
    """Draw the validation AUROC by epoch of the finalists, means over seeds, and the teachers' best."""
    for name, value in _teachers(runs, regime, VALIDATION).items():
        axes.axhline(value, color="C1", linestyle=":")
        axes.annotate(f"{name} at its best", (1, value), va="bottom", fontsize=8)
    for arm in FINALISTS:
        curves = [run[CURVE] for run in runs if _is(run, regime, arm)]
        if curves:
            style = "-" if is_contender(arm) else "--"
            epochs = 1 + np.arange(len(curves[0]))
            axes.plot(epochs, np.mean(curves, axis=0), style, label=f"{arm} ({len(curves)})")
    axes.set_title(f"{regime.epochs} epochs, mean over (seeds)", fontsize=10)
    axes.set_xlabel("epoch", fontsize=9)
    axes.set_ylabel("validation AUROC (noisy labels, SYNTHETIC)", fontsize=9)
    if axes.lines:
        axes.set_ylim(bottom=max(0.5, axes.get_ylim()[1] - 0.15))
    axes.legend(fontsize=8, loc="lower right")


def _is(run: dict, regime: Regime, arm: str) -> bool:
    return run["network"] == STUDENT and run["arm"] == arm and Regime(**run["regime"]) == regime


def _teachers(runs: list[dict], regime: Regime, name: str) -> dict[str, float]:
    """Return the AUROC of each single teacher of the regime, by its network's name."""
    taught = [run["teachers"] for run in runs if Regime(**run["regime"]) == regime]
    alone = {teachers[0] for teachers in taught if len(teachers) == 1}
    return {
        run["network"].partition("-")[2]: run[name]["mean AUROC"]
        for run in runs
        if run["run"] in alone and run["network"] != STUDENT
    }


def _mean(runs: list[dict], name: str) -> float:
    return float(np.mean([run[name]["mean AUROC"] for run in runs])) if runs else float("nan")
