"""Each figure of the report, made from the results."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from cxr14.evaluation import calibration
from cxr14.report import style
from cxr14.report.panels import Drawing, key, legend, panels, run_keys, side_by_side
from cxr14.report.results import RunResults, SectionResults
from cxr14.report.runs import Run
from cxr14.report.wording import figure as told
from cxr14.report.wording import readable, signed, span


def titled(drawing: Drawing) -> Figure:
    """Return a drawing's figure with the title on it, for a file that is shown by itself."""
    drawing.figure.suptitle(drawing.title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return drawing.figure


def before_and_after(results: SectionResults) -> Drawing:
    """Draw each finding's AUROC alone and taught, a panel a teacher, with the teacher's own as a tick."""
    section = results.section
    title = section.titled(
        "AUROC before and after teaching" if section.teachings else "AUROC of each finding"
    )
    names = [*map(readable, section.example.findings), "Mean"]
    rows = _rows(len(names))
    look = style.run_styles(section)
    shown = [(each.by, each.alone, each.taught, each.teacher) for each in section.teachings]
    shown = shown or [(run.name, run, None, None) for run in section.alone]
    across = side_by_side(len(shown))

    def draw(axes: Axes, panel: tuple[str, Run | None, Run | None, Run | None]) -> None:
        by, alone, taught, teacher = panel
        colour = look[taught or alone].colour
        before, after, own = (_with_mean(results, run) for run in (alone, taught, teacher))
        if before is not None and after is not None:
            axes.hlines(rows, before, after, color=colour, linewidth=2.2, alpha=0.55)
        if own is not None and teacher is not alone:
            axes.scatter(own, rows, marker="|", s=70, linewidth=1.3, color=style.MUTED)
        if after is not None:
            axes.scatter(after, rows, s=26, color=colour, zorder=3)
        if before is not None:
            hollow = {"facecolor": style.GROUND, "edgecolor": style.INK, "linewidth": 1.1}
            axes.scatter(before, rows, s=24, zorder=4, **hollow)
        gain = signed(after[-1] - before[-1]) if after is not None and before is not None else ""
        axes.set_title(_heading(taught, gain, across) if taught else by)
        axes.axhline(0.5, color=style.RULE, linewidth=1)
        axes.set_xlabel("AUROC")
        axes.xaxis.set_major_locator(MaxNLocator(4 if across > 1 else 8, steps=[1, 2, 5, 10]))

    drawn = panels(shown, draw, height=0.235 * len(names) + 1.1)
    _name_rows(drawn, rows, names)
    if section.teachings:
        keys = [key("student taught", marker="o", color=style.HUES[0], markeredgewidth=0)]
        if results.gains:
            hollow = {"markerfacecolor": style.GROUND, "markeredgecolor": style.INK}
            keys.insert(0, key("student alone", marker="o", **hollow))
        if any(each.teacher for each in section.teachings):
            keys.append(key("the teacher itself", marker="|", color=style.MUTED, markersize=9))
        legend(drawn, keys)
    means = "; ".join(f"{run.name} {_mean(measured)}" for run, measured in results.measured.items())
    return Drawing(title, f"{title}. A row a finding, a point a network. Mean AUROC: {means}.", drawn)


def forest(results: SectionResults) -> Drawing:
    """Draw what teaching adds to each finding and to the mean, with intervals."""
    section = results.section
    title = section.titled("AUROC taught minus alone, with intervals")
    across = side_by_side(len(results.gains))
    names = [*map(readable, section.example.findings), "Mean"]
    rows = _rows(len(names))
    look = style.run_styles(section)

    def draw(axes: Axes, number: int) -> None:
        gain = results.gains[number]
        value, low, high = (
            np.append(getattr(gain.findings, end), getattr(gain.macro, end))
            for end in ("value", "low", "high")
        )
        colour = look[gain.teaching.taught].colour
        axes.axvline(0, color=style.MUTED, linewidth=1)
        axes.axhline(0.5, color=style.RULE, linewidth=1)
        axes.hlines(rows, low, high, color=colour, linewidth=1.5)
        beyond = ((low > 0) | (high < 0)) & np.append(results.trusted, True)
        axes.scatter(value[beyond], rows[beyond], s=26, color=colour, zorder=3)
        hollow = {"facecolor": style.GROUND, "edgecolor": colour, "linewidth": 1.2}
        axes.scatter(value[~beyond], rows[~beyond], s=24, zorder=3, **hollow)
        axes.set_title(_heading(gain.teaching.taught, signed(gain.macro.value), across))
        axes.set_xlabel("difference in AUROC")
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda x, _: f"{x:+.2f}".replace("-", "−") if x else "0")
        )

    drawn = panels(range(len(results.gains)), draw, height=0.235 * len(names) + 1.0)
    _name_rows(drawn, rows, names)
    macro = "; ".join(
        f"by {gain.teaching.by} {signed(gain.macro.value)} ({span(gain.macro)})" for gain in results.gains
    )
    return Drawing(title, f"{title}. Mean difference when taught {macro}.", drawn)


def cost(results: SectionResults) -> Drawing:
    """Draw mean AUROC against MACs, and against latency where it was measured."""
    section = results.section
    title = section.titled("Mean AUROC against cost")
    look = style.run_styles(section)
    scales: list[tuple[str, str, float]] = [("macs", "MACs of one radiograph, 10⁹", 1e-9)]
    if any(run.about("latency_seconds") for run in section.runs):
        scales.append(("latency_seconds", "latency of one radiograph, ms", 1e3))

    def draw(axes: Axes, scale: tuple[str, str, float]) -> None:
        key, label, factor = scale
        at_cost: dict[float, int] = {}
        for run, measured in results.measured.items():
            if not run.about(key):
                continue
            x, mean = factor * float(run.about(key)), measured.auroc.macro().interval()
            # Pupils of one network cost the same: they are set a little apart, or they would hide each other.
            apart = at_cost[run.network] = at_cost.get(run.network, -1) + 1
            x *= 1.045**apart
            colour, face = look[run].colour, look[run].face
            axes.vlines(x, mean.low, mean.high, color=colour, linewidth=1.3)
            point = {"facecolor": face, "edgecolor": colour, "marker": look[run].marker}
            axes.scatter(x, mean.value, s=32, linewidth=1.3, zorder=3, **point)
            if not run.teacher:
                # Its pupils stand to the right of the student, and nothing to the right of another network.
                way, side = (-6, "right") if look[run].face == colour else (6, "left")
                words = {"color": style.MUTED, "fontsize": 8.5, "ha": side, "va": "center"}
                where = {"xytext": (way, 0), "textcoords": "offset points"}
                axes.annotate(f"{run.network}{run.suffix}", (x, mean.value), **where, **words)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.minorticks_off()
        axes.margins(x=0.38)
        axes.set_xlabel(label)
        axes.set_ylabel("mean AUROC")

    drawn = panels(scales, draw, height=3.4, columns=2, shared=False)
    legend(drawn, run_keys(results, as_points=True))
    costs = "; ".join(
        f"{run.name} {1e-9 * float(run.about('macs')):.2f} billion MACs, {_mean(measured)}"
        for run, measured in results.measured.items()
    )
    return Drawing(title, f"{title}. {costs}.", drawn)


def reliability(results: SectionResults) -> Drawing:
    """Draw observed against stated probability over all findings, before and after the temperatures."""
    title = results.section.titled("Stated probability and observed frequency")
    look = style.run_styles(results.section)
    shown = [measured for measured in results.measured.values() if measured.chosen]

    def draw(axes: Axes, number: int) -> None:
        measured = shown[number]
        run = measured.run
        axes.plot([0, 1], [0, 1], color=style.RULE, linewidth=1)
        for probabilities, colour, dash in (
            (run.test.probabilities, style.MUTED, (0, (2, 1.5))),
            (measured.chosen.tempered, look[run].colour, "solid"),
        ):
            stated, observed, counts = _pooled(calibration.reliability(run.test.labels, probabilities))
            axes.plot(stated, observed, color=colour, linestyle=dash)
            axes.scatter(stated, observed, s=5 + 6 * np.log10(counts), color=colour, zorder=3)
        axes.set_title(run.short.replace(" (", "\n("))
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axes.set(xlabel="stated probability", ylabel="observed frequency")
        axes.label_outer()
        axes.set_aspect("equal")

    drawn = panels(range(len(shown)), draw, height=2.45, columns=4)
    legend(
        drawn,
        [
            key(
                "as the network says it", color=style.MUTED, linestyle=(0, (2, 1.5)), marker="o", markersize=4
            ),
            key("after the temperatures", color=style.HUES[0], linestyle="solid", marker="o", markersize=4),
        ],
    )
    return Drawing(title, f"{title}. A panel a run; on the diagonal a probability keeps its word.", drawn)


def training(results: SectionResults) -> Drawing | None:
    """Draw loss and validation AUROC by epoch, or nothing where no run kept its log."""
    logged = {run: run.about("history") for run in results.section.runs if run.about("history")}
    if not logged:
        return None
    title = results.section.titled("Training")
    look = style.run_styles(results.section)

    def draw(axes: Axes, what: tuple[str, str]) -> None:
        column, label = what
        for run, rows in logged.items():
            epochs, values = [row["epoch"] for row in rows], [row.get(column, np.nan) for row in rows]
            colour, dash, width = look[run][:3]
            marker = "o" if len(rows) == 1 else None
            axes.plot(
                epochs, values, color=colour, linestyle=dash, linewidth=width, marker=marker, markersize=4
            )
            if run.about("epoch") in epochs:
                kept = epochs.index(run.about("epoch"))
                axes.scatter(epochs[kept], values[kept], s=30, color=colour, zorder=3)
        axes.set(title=label, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    columns = [
        ("val_auroc", "AUROC, validation"),
        ("val_loss", "loss, validation"),
        ("train_loss", "loss, training"),
    ]
    drawn = panels(columns, draw, height=2.7, columns=3, shared=False)
    legend(
        drawn,
        [key for run, key in zip(results.section.runs, run_keys(results), strict=True) if run in logged],
    )
    best = "; ".join(f"{run.name} epoch {run.about('epoch')} of {len(rows)}" for run, rows in logged.items())
    return Drawing(title, f"{title}. Loss and validation AUROC by epoch. Kept: {best}.", drawn)


def _name_rows(figure: Figure, rows: np.ndarray, names: Sequence[str]) -> None:
    for axes in figure.axes:
        axes.set_yticks(rows, names)
        axes.grid(axis="y", visible=False)
        axes.tick_params(left=False, labelbottom=True)
        axes.spines["left"].set_visible(False)


def _heading(taught: Run, gain: str, across: int) -> str:
    by = "taught by" if across <= 3 else "by"  # more panels leave no room for the longer words
    return f"{by} {taught.teacher}\n{' '.join(filter(None, (taught.suffix.strip(), gain)))}"


def _rows(count: int) -> np.ndarray:
    """Return the heights of rows, the mean at the bottom a little apart."""
    return np.append(np.arange(count - 1, 0, -1), 0.0)


def _with_mean(results: SectionResults, run: Run | None) -> np.ndarray | None:
    if run is None:
        return None
    auroc = results.measured[run].auroc
    return np.append(auroc.values, auroc.macro().values)


def _pooled(told: calibration.Reliability) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return stated and observed over all findings, and the number of answers, of the bins that hold any."""
    counts = told.counts.sum(axis=1)
    sums = (np.nansum(values * told.counts, axis=1) for values in (told.stated, told.observed))
    stated, observed = (total[counts > 0] / counts[counts > 0] for total in sums)
    return stated, observed, counts[counts > 0]


def _mean(measured: RunResults) -> str:
    return told(measured.auroc.macro().values)
