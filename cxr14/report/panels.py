"""What the figures share: panels in rows, legends, and alternative text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cxr14.report.results import SectionResults
from cxr14.report.style import INK, WIDTH, arm_styles

COLUMNS = 5
"""Most panels in a row."""


@dataclass(frozen=True)
class Drawing:
    """A figure with its title and its alternative text."""

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
        draw: draws one of them on the axes of its panel.
        height: of a panel, in inches.
        columns: most panels in a row.
        shared: whether all panels have the same axes.
    """
    across = side_by_side(len(contents), columns)
    down = -(-len(contents) // across)
    width = WIDTH if across > 1 else 0.72 * WIDTH
    figure = Figure((width, height * down), layout="constrained")
    grid = figure.subplots(down, across, sharex=shared, sharey=shared, squeeze=False)
    for axes, content in zip(grid.flat, contents, strict=False):
        draw(axes, content)
    for axes in grid.flat[len(contents) :]:
        axes.set_axis_off()
    return figure


def side_by_side(count: int, columns: int = COLUMNS) -> int:
    """Return how many of `count` panels go in a row, at most `columns`, so that rows are about equal."""
    rows = -(-count // columns)
    return -(-count // rows)


def key(label: str, **properties: object) -> Line2D:
    """Return an entry of a legend.

    Args:
        label: its text.
        properties: of its line and marker, as matplotlib names them; no line unless a style is given.
    """
    return Line2D([], [], label=label, **{"linestyle": "none", **properties})


def arm_keys(results: SectionResults, as_points: bool = False) -> list[Line2D]:
    """Return an entry for each arm, in order: its line, or its point."""
    keys = []
    for arm, style in arm_styles(results.section).items():
        if as_points:
            face, edge = style.face, style.colour
            keys.append(key(arm.name, marker=style.marker, markerfacecolor=face, markeredgecolor=edge))
        else:
            keys.append(key(arm.name, color=style.colour, linestyle=style.dash, linewidth=style.width))
    return keys


def legend(figure: Figure, keys: list[Line2D]) -> None:
    """Put entries below a figure."""
    figure.legend(handles=keys, loc="outside lower center", ncols=min(len(keys), 3), labelcolor=INK)
