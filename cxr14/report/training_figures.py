"""Figures of the trainings: losses and AUROC by epoch."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cxr14.report import style
from cxr14.report.headline import speed
from cxr14.report.panels import Drawing, arm_keys, key, legend, panels, side_by_side
from cxr14.report.results import Gain, SectionResults
from cxr14.report.runs import Run


def training(results: SectionResults) -> Drawing | None:
    """Draw loss and validation AUROC by epoch, or nothing if no run recorded them."""
    logged = {arm: [run for run in arm.runs if run.about("history")] for arm in results.section.arms}
    if not any(logged.values()):
        return None
    title = results.section.titled("Training")
    styles = style.arm_styles(results.section)

    def draw(axes: Axes, panel: tuple[str, str]) -> None:
        column, label = panel
        for arm, runs in logged.items():
            colour, dash, width = styles[arm][:3]
            for run in runs:
                epochs, values = _column(run, column)
                marker = "o" if len(epochs) == 1 else None
                axes.plot(
                    epochs, values, color=colour, linestyle=dash, linewidth=width, marker=marker, markersize=4
                )
                kept = epochs == run.about("epoch")
                axes.scatter(epochs[kept], values[kept], s=30, color=colour, zorder=3)
        axes.set(title=label, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    columns = [
        ("val_auroc", "AUROC, validation"),
        ("val_loss", "loss, validation"),
        ("train_loss", "loss, training"),
    ]
    drawn = panels(columns, draw, height=2.7, columns=3, shared=False)
    keys = zip(results.section.arms, arm_keys(results), strict=True)
    legend(drawn, [entry for arm, entry in keys if logged[arm]])
    best = "; ".join(
        f"{run.name} epoch {run.about('epoch')} of {len(run.about('history'))}"
        for runs in logged.values()
        for run in runs
    )
    return Drawing(title, f"{title}. Loss and validation AUROC by epoch. Kept: {best}.", drawn)


def learning_curves(results: SectionResults) -> Drawing | None:
    """Draw validation AUROC by epoch, alone and taught, a panel for each teacher; None without records.

    The epochs of a checkpoint that a training started from are counted, where they are known.
    """
    shown = [
        gain
        for gain in results.gains
        if any(len(run.validation_auroc) for pair in gain.teaching.pairs for run in pair)
    ]
    if not shown:
        return None
    title = results.section.titled("Validation AUROC by epoch, alone and taught")
    styles = style.arm_styles(results.section)
    across = side_by_side(len(shown), 3)

    def draw(axes: Axes, gain: Gain) -> None:
        teaching = gain.teaching
        for side, arm in ((1, teaching.alone), (0, teaching.taught)):
            colour = styles[arm].colour
            runs = [pair[side] for pair in teaching.pairs]
            for run in runs:
                epochs, values = _column(run, "val_auroc")
                epochs = epochs + (run.epochs_before or 0)
                is_single = len(runs) == 1
                marker = "o" if len(epochs) == 1 else None
                axes.plot(epochs, values, color=colour, linewidth=1.8 if is_single else 0.9, marker=marker)
        suffix = textwrap.wrap(teaching.taught.suffix.strip(), 96 // across)
        axes.set_title("\n".join([f"taught by {teaching.taught.teacher}", *suffix]))
        axes.set(xlabel="epoch", ylabel="AUROC, validation")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.label_outer()

    drawn = panels(shown, draw, height=2.6, columns=3)
    alone = key("student alone", color=style.INK, linestyle="solid")
    taught = key("student taught, in its teacher’s colour", color=style.HUES[0], linestyle="solid")
    legend(drawn, [alone, taught])
    paces = [f"Taught by {gain.teaching.by}: {speed(gain)}" for gain in shown if speed(gain)]
    return Drawing(title, ". ".join([title, *paces]) + ".", drawn)


def _column(run: Run, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the epochs that a run recorded, and the values of a column, NaN where it is missing."""
    rows = run.about("history") or []
    values = [row.get(column) for row in rows]
    return (
        np.array([row["epoch"] for row in rows], dtype=np.float64),
        np.array([np.nan if value is None else value for value in values], dtype=np.float64),
    )
