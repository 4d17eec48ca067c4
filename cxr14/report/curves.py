"""ROC and precision-recall curves, reduced to as many points as a screen can show."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from cxr14.report import style
from cxr14.report.formatting import readable
from cxr14.report.panels import Drawing, arm_keys, legend, panels
from cxr14.report.results import SectionResults

MOST_POINTS = 200


def roc(labels: np.ndarray, scores: np.ndarray, most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Return the ROC curve of one finding.

    Args:
        labels: (N,), 0 or 1, both present.
        scores: (N,), any finite numbers.
        most: number of points to keep.

    Returns:
        False-positive rate and true-positive rate, up to (most,) each, from (0, 0) to (1, 1).
    """
    false_rate, true_rate, _ = roc_curve(labels, scores)
    return thinned(false_rate, true_rate, most)


def precision_recall(
    labels: np.ndarray, scores: np.ndarray, most: int = MOST_POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision of one finding, recall rising; arguments as in `roc`."""
    precision, recall, _ = precision_recall_curve(labels, scores, drop_intermediate=True)
    # scikit-learn's last point, precision 1 at recall 0, belongs to no threshold.
    return thinned(recall[-2::-1], precision[-2::-1], most)


def thinned(x: np.ndarray, y: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `most` of a curve's points, evenly spaced along it, with both ends.

    Args:
        x, y: (P,) each, 0 to 1.
        most: 2 or more.
    """
    if len(x) <= most:
        return x, y
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], most)).clip(0, len(x) - 1))
    kept[-1] = len(x) - 1
    return x[kept], y[kept]


def roc_curves(results: SectionResults) -> Drawing:
    """Draw the ROC curve of each finding and arm."""
    title = results.section.titled("ROC curves")

    def draw_reference(axes: Axes, _: float) -> None:
        axes.plot([0, 1], [0, 1], color=style.RULE, linewidth=1)

    return Drawing(
        title,
        f"{title}. One panel for each finding, one line for each run; the area under a line is its AUROC.",
        _curve_grid(results, roc, draw_reference, ("1 − specificity", "sensitivity")),
    )


def precision_recall_curves(results: SectionResults) -> Drawing:
    """Draw the precision-recall curve of each finding and arm."""
    title = results.section.titled("Precision-recall curves")

    def draw_reference(axes: Axes, prevalence: float) -> None:
        axes.axhline(prevalence, color=style.RULE, linewidth=1)

    return Drawing(
        title,
        f"{title}. One panel for each finding, one line for each run; gray: the share of positives.",
        _curve_grid(results, precision_recall, draw_reference, ("recall (sensitivity)", "precision")),
    )


def _curve_grid(
    results: SectionResults,
    curve: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    draw_reference: Callable[[Axes, float], None],
    axis_names: tuple[str, str],
) -> Figure:
    section = results.section
    styles = style.arm_styles(section)
    labels = section.example.labels

    def draw(axes: Axes, index: int) -> None:
        positives = labels[:, index]
        draw_reference(axes, positives.mean())
        axes.set_title(readable(section.example.findings[index]))
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axes.set(xlabel=axis_names[0], ylabel=axis_names[1])
        axes.label_outer()
        axes.set_aspect("equal")
        if not 0 < positives.sum() < len(positives):
            axes.text(
                0.5, 0.5, "undefined: one class only", ha="center", va="center", color=style.MUTED, fontsize=8
            )
            return
        for arm, arm_style in styles.items():
            colour, dash, width = arm_style[:3]
            for run in arm.runs:
                x, y = curve(positives, run.test.probabilities[:, index])
                alpha = 1 if len(arm.runs) == 1 else 0.5
                axes.plot(x, y, color=colour, linestyle=dash, linewidth=0.75 * width, alpha=alpha)

    drawn = panels(range(len(section.example.findings)), draw, height=2.15)
    legend(drawn, arm_keys(results))
    return drawn
