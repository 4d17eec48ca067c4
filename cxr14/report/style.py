"""Fonts, lines and colours of all figures.

A colour has a light and a dark value and a name; in the page a figure refers to the name, so that one SVG
serves both. The hues are those of Okabe and Ito 2008, "Color Universal Design", which colour-blind
readers can tell apart, darkened or lightened a little for contrast with the background.
"""

from collections import Counter
from contextlib import AbstractContextManager
from typing import NamedTuple

import matplotlib

from cxr14.report.runs import Run, Section


class Colour(NamedTuple):
    """One colour on a light and on a dark ground."""

    light: str
    dark: str


COLOURS = {
    "ground": Colour("#fdfdfc", "#14171a"),
    "raised": Colour("#f4f4f1", "#1c2024"),
    "ink": Colour("#1c2126", "#e8e9e6"),
    "muted": Colour("#5c656d", "#a3abb2"),
    "rule": Colour("#d9dcdd", "#353b41"),
    "warning": Colour("#8a5300", "#f0b14a"),
    "warning-ground": Colour("#fdf3e0", "#2c2415"),
    "hue-1": Colour("#0070b0", "#5ab4e8"),
    "hue-2": Colour("#c85200", "#f08a4b"),
    "hue-3": Colour("#00835f", "#35c39c"),
    "hue-4": Colour("#b0558a", "#dd94bf"),
    "hue-5": Colour("#a87900", "#e3b341"),
    "hue-6": Colour("#5a4fcf", "#9d95f5"),
}
INK, MUTED, RULE, GROUND = (COLOURS[name].light for name in ("ink", "muted", "rule", "ground"))
HUES = tuple(colour.light for name, colour in COLOURS.items() if name.startswith("hue"))

_RC = {
    "svg.fonttype": "none",  # text stays text: it takes the page's type, can be searched and read aloud
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "text.color": INK,
    "axes.titlecolor": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "patch.linewidth": 0,
}
WIDTH = 9.6
"""Inches of a figure that fills the page."""


class RunStyle(NamedTuple):
    """How a run is drawn, in every figure alike."""

    colour: str
    dash: str | tuple[int, tuple[int, ...]]
    width: float
    face: str
    """What fills its points: nothing for a teacher, its colour for a student."""
    marker: str


def report_style() -> AbstractContextManager[None]:
    """Return a context in which matplotlib draws as the report does."""
    return matplotlib.rc_context(_RC)


def run_styles(section: Section) -> dict[Run, RunStyle]:
    """Return each look: the student alone in ink, every teacher dashed in a hue, its pupil solid in it."""
    students = {teaching.taught.test.network for teaching in section.teachings}
    teachers = dict.fromkeys(
        run.test.teacher or run.test.network
        for run in section.runs
        if run.test.teacher or run.test.network not in students
    )
    hues = {teacher: HUES[number % len(HUES)] for number, teacher in enumerate(teachers)}
    seen: Counter[tuple[str, str | None]] = Counter()
    found = {}
    for run in section.runs:
        network, teacher = key = (run.test.network, run.test.teacher)
        colour = hues[teacher] if teacher else INK if network in students else hues[network]
        is_student = bool(teacher) or network in students
        again = seen[key] % len(_MARKERS)
        seen[key] += 1
        if is_student:
            found[run] = RunStyle(colour, _STUDENTS[again], 1.8, colour, _MARKERS[again])
        else:
            found[run] = RunStyle(colour, _TEACHERS[again], 1.1, GROUND, _MARKERS[again])
    return found


# Runs of one network and one teacher follow these in turn.
_STUDENTS = ("solid", (0, (6, 1)), (0, (8, 1, 1, 1)))
_TEACHERS = ((0, (2, 1.5)), (0, (1, 2)), (0, (3, 2, 1, 2)))
_MARKERS = ("o", "s", "D")
