"""What the figures share: panels in rows, keys beneath them, and words for those who cannot see."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cxr14.report import style
from cxr14.report.results import SectionResults

COLUMNS = 5
"""Panels side by side that a page can hold."""


@dataclass(frozen=True)
class Drawing:
    """A figure with what it is called, and what it shows for those who cannot see it."""

    title: str
    alt: str
    figure: Figure


def panels(
    contents: Sequence[object],
    draw: Callable[[Axes, object], None],
    height: float,
    columns: int = COLUMNS,
    shared: bool = True,
) -> Figure:
    """Draw one panel for each of `contents`, in rows.

    Args:
        contents: what each panel shows.
        draw: puts it there.
        height: of a panel, in inches.
        columns: most panels side by side.
        shared: all panels have the same axes.
    """
    across = side_by_side(len(contents), columns)
    down = -(-len(contents) // across)
    width = style.WIDTH if across > 1 else 0.72 * style.WIDTH
    figure = Figure((width, height * down), layout="constrained")
    grid = figure.subplots(down, across, sharex=shared, sharey=shared, squeeze=False)
    for axes, content in zip(grid.flat, contents, strict=False):
        draw(axes, content)
    for axes in grid.flat[len(contents) :]:
        axes.set_axis_off()
    return figure


def side_by_side(count: int, columns: int = COLUMNS) -> int:
    """Return how many of `count` panels stand in a row, at most `columns`, so that rows are about equal."""
    rows = -(-count // columns)
    return -(-count // rows)


def key(label: str, **look: object) -> Line2D:
    """Return an entry of a legend.

    Args:
        label: its words.
        look: of its line and marker, as matplotlib calls them; no line unless a style is named.
    """
    return Line2D([], [], label=label, **({"linestyle": "none"} | look))


def run_keys(results: SectionResults, as_points: bool = False) -> list[Line2D]:
    """Return an entry for each run, in order: its line, or its point."""
    keys = []
    for run, look in style.run_styles(results.section).items():
        if as_points:
            point = {"markerfacecolor": look.face, "markeredgecolor": look.colour}
            keys.append(key(run.name, marker=look.marker, **point))
        else:
            keys.append(key(run.name, color=look.colour, linestyle=look.dash, linewidth=look.width))
    return keys


def legend(figure: Figure, keys: list[Line2D]) -> None:
    """Put entries beneath a figure."""
    figure.legend(handles=keys, loc="outside lower center", ncols=min(len(keys), 3), labelcolor=style.INK)
