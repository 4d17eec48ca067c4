"""Figures of the results."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from cxr14.evaluation import calibration
from cxr14.report import formatting, style
from cxr14.report.formatting import readable, signed, span
from cxr14.report.panels import Drawing, arm_keys, key, legend, panels, side_by_side
from cxr14.report.results import ArmResults, SectionResults
from cxr14.report.runs import Arm


def with_title(drawing: Drawing) -> Figure:
    """Return a drawing's figure with its title drawn on it, for a file of its own."""
    drawing.figure.suptitle(drawing.title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return drawing.figure


def before_and_after(results: SectionResults) -> Drawing:
    """Draw each finding's AUROC alone and taught, a panel for each teacher, and the teacher's own AUROC."""
    section = results.section
    title = section.titled(
        "AUROC before and after teaching" if section.teachings else "AUROC of each finding"
    )
    names = [*map(readable, section.example.findings), "Mean"]
    rows = _row_heights(len(names))
    styles = style.arm_styles(section)
    shown = [(each.by, each.alone, each.taught, each.teacher) for each in section.teachings]
    shown = shown or [(arm.name, arm, None, None) for arm in section.alone]
    across = side_by_side(len(shown))

    def draw(axes: Axes, panel: tuple[str, Arm | None, Arm | None, Arm | None]) -> None:
        by, alone, taught, teacher = panel
        colour = styles[taught or alone].colour
        before, after, own = (_with_mean(results, arm) for arm in (alone, taught, teacher))
        if before is not None and after is not None:
            axes.hlines(rows, before, after, color=colour, linewidth=2.2, alpha=0.55)
        if own is not None and teacher is not alone:
            axes.scatter(own, rows, marker="|", s=70, linewidth=1.3, color=style.MUTED)
        if after is not None:
            axes.scatter(after, rows, s=26, color=colour, zorder=3)
        if before is not None:
            axes.scatter(
                before, rows, s=24, zorder=4, facecolor=style.GROUND, edgecolor=style.INK, linewidth=1.1
            )
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
            hollow = key("student alone", marker="o", markerfacecolor=style.GROUND, markeredgecolor=style.INK)
            keys.insert(0, hollow)
        if any(each.teacher for each in section.teachings):
            keys.append(key("the teacher itself", marker="|", color=style.MUTED, markersize=9))
        legend(drawn, keys)
    means = "; ".join(f"{arm.name} {_mean(measured)}" for arm, measured in results.arms.items())
    text = f"{title}. One row for each finding, one point for each network. Mean AUROC: {means}."
    return Drawing(title, text, drawn)


def forest(results: SectionResults) -> Drawing:
    """Draw AUROC taught minus alone of each finding and of the mean, with intervals."""
    section = results.section
    title = section.titled("AUROC taught minus alone, with intervals")
    across = side_by_side(len(results.gains))
    names = [*map(readable, section.example.findings), "Mean"]
    rows = _row_heights(len(names))
    styles = style.arm_styles(section)

    def draw(axes: Axes, number: int) -> None:
        gain = results.gains[number]
        value, low, high = (
            np.append(getattr(gain.findings, end), getattr(gain.macro, end))
            for end in ("value", "low", "high")
        )
        colour = styles[gain.teaching.taught].colour
        axes.axvline(0, color=style.MUTED, linewidth=1)
        axes.axhline(0.5, color=style.RULE, linewidth=1)
        axes.hlines(rows, low, high, color=colour, linewidth=1.5)
        is_clear = ((low > 0) | (high < 0)) & np.append(results.is_trusted, True)
        axes.scatter(value[is_clear], rows[is_clear], s=26, color=colour, zorder=3)
        unclear = (value[~is_clear], rows[~is_clear])
        axes.scatter(*unclear, s=24, zorder=3, facecolor=style.GROUND, edgecolor=colour, linewidth=1.2)
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


def cost(results: SectionResults) -> Drawing | None:
    """Draw mean AUROC against MACs, and against latency if it was measured; None if no AUROC is defined."""
    section = results.section
    if len(results.undefined) == len(section.example.findings):
        return None
    title = section.titled("Mean AUROC against cost")
    scales: list[tuple[str, str, float]] = [("macs", "MACs of one radiograph, 10⁹", 1e-9)]
    if any(run.about("latency_seconds") for run in section.runs):
        scales.append(("latency_seconds", "latency of one radiograph, ms", 1e3))

    def draw(axes: Axes, scale: tuple[str, str, float]) -> None:
        key, label, factor = scale
        _draw_costs(axes, results, {arm: _cost(arm, key, factor) for arm in section.arms})
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.minorticks_off()
        axes.margins(x=0.38)
        axes.set_xlabel(label)
        axes.set_ylabel("mean AUROC")

    drawn = panels(scales, draw, height=3.4, columns=2, shared=False)
    legend(drawn, arm_keys(results, as_points=True))
    costs = "; ".join(
        f"{arm.name} {1e-9 * float(arm.about('macs')):.2f} billion MACs, {_mean(measured)}"
        for arm, measured in results.arms.items()
    )
    return Drawing(title, f"{title}. {costs}.", drawn)


def reliability(results: SectionResults) -> Drawing:
    """Draw observed against predicted probability over all findings, before and after calibration."""
    title = results.section.titled("Predicted probability and observed frequency")
    styles = style.arm_styles(results.section)
    validated = {
        arm: [results.runs[run] for run in arm.runs if results.runs[run].validated] for arm in results.arms
    }
    shown = [arm for arm in validated if validated[arm]]

    def draw(axes: Axes, arm: Arm) -> None:
        axes.plot([0, 1], [0, 1], color=style.RULE, linewidth=1)
        before = [each.run.test.probabilities for each in validated[arm]]
        after = [each.validated.calibrated for each in validated[arm]]
        for probabilities, colour, dash in (
            (before, style.MUTED, (0, (2, 1.5))),
            (after, styles[arm].colour, "solid"),
        ):
            # The runs of an arm are pooled like its findings.
            labels = np.concatenate([results.section.example.labels] * len(probabilities))
            pooled = calibration.reliability(labels, np.concatenate(probabilities))
            predicted, observed, counts = _pooled(pooled)
            axes.plot(predicted, observed, color=colour, linestyle=dash)
            axes.scatter(predicted, observed, s=5 + 6 * np.log10(counts), color=colour, zorder=3)
        axes.set_title(arm.short_name.replace(" (", "\n("))
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axes.set(xlabel="predicted probability", ylabel="observed frequency")
        axes.label_outer()
        axes.set_aspect("equal")

    drawn = panels(shown, draw, height=2.45, columns=4)
    dashed = (0, (2, 1.5))
    before = key("as predicted", color=style.MUTED, linestyle=dashed, marker="o", markersize=4)
    after = key("calibrated", color=style.HUES[0], linestyle="solid", marker="o", markersize=4)
    legend(drawn, [before, after])
    return Drawing(title, f"{title}. One panel for each network; the diagonal is perfect calibration.", drawn)


def _cost(arm: Arm, key: str, factor: float) -> float | None:
    """Return the median over runs, which matters for a measured latency alone."""
    values = [float(run.about(key)) for run in arm.runs if run.about(key)]
    return factor * float(np.median(values)) if values else None


def _draw_costs(axes: Axes, results: SectionResults, costs: dict[Arm, float | None]) -> None:
    styles = style.arm_styles(results.section)
    number_at_cost: dict[str, int] = {}
    for arm, cost_of_arm in costs.items():
        if cost_of_arm is None:
            continue
        mean = results.arms[arm].auroc.macro().interval()
        # Students of one network cost the same; drawn at one place they would hide each other.
        number = number_at_cost[arm.network] = number_at_cost.get(arm.network, -1) + 1
        x = cost_of_arm * 1.045**number
        colour, face = styles[arm].colour, styles[arm].face
        axes.vlines(x, mean.low, mean.high, color=colour, linewidth=1.3)
        axes.scatter(
            x,
            mean.value,
            s=32,
            linewidth=1.3,
            zorder=3,
            facecolor=face,
            edgecolor=colour,
            marker=styles[arm].marker,
        )
        if not arm.teacher:
            # The taught students are drawn to the right of the student alone, so its name goes to the left.
            is_student = face == colour
            axes.annotate(
                f"{arm.network}{arm.suffix}",
                (x, mean.value),
                xytext=(-6 if is_student else 6, 0),
                textcoords="offset points",
                color=style.MUTED,
                fontsize=8.5,
                ha="right" if is_student else "left",
                va="center",
            )


def _name_rows(figure: Figure, rows: np.ndarray, names: Sequence[str]) -> None:
    for axes in figure.axes:
        axes.set_yticks(rows, names)
        axes.grid(axis="y", visible=False)
        axes.tick_params(left=False, labelbottom=True)
        axes.spines["left"].set_visible(False)


def _heading(taught: Arm, gain: str, across: int) -> str:
    by = "taught by" if across <= 3 else "by"  # narrow panels have no space for more
    lines = textwrap.wrap(taught.suffix.strip(), 96 // across)
    return "\n".join([f"{by} {taught.teacher}", *lines, gain]).rstrip()


def _row_heights(count: int) -> np.ndarray:
    """Return the heights of rows; the mean, at the bottom, is set a little apart."""
    return np.append(np.arange(count - 1, 0, -1), 0.0)


def _with_mean(results: SectionResults, arm: Arm | None) -> np.ndarray | None:
    if arm is None:
        return None
    auroc = results.arms[arm].auroc
    return np.append(auroc.values, auroc.macro().values)


def _pooled(binned: calibration.Reliability) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return predicted and observed over all findings, and the number of predictions, of non-empty bins."""
    counts = binned.counts.sum(axis=1)
    is_filled = counts > 0
    sums = (np.nansum(values * binned.counts, axis=1) for values in (binned.predicted, binned.observed))
    predicted, observed = (total[is_filled] / counts[is_filled] for total in sums)
    return predicted, observed, counts[is_filled]


def _mean(measured: ArmResults) -> str:
    return formatting.figure(measured.auroc.macro().values)
