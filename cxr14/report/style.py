"""Fonts, lines and colours of all figures.

A colour has a light and a dark value and a name; in the page a figure refers to the name, so that one SVG
serves both. The hues are those of Okabe and Ito 2008, "Color Universal Design", which colour-blind
readers can tell apart, darkened or lightened a little for contrast with the background.
"""

from collections import Counter
from contextlib import AbstractContextManager
from typing import NamedTuple

import matplotlib

from cxr14.report.runs import Arm, Section


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
    "svg.fonttype": "none",  # text stays text: it takes the page's font, can be searched and read aloud
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
"""Width in inches of a figure that fills the page."""


class ArmStyle(NamedTuple):
    """How an arm is drawn in every figure."""

    colour: str
    dash: str | tuple[int, tuple[int, ...]]
    width: float
    face: str
    """Fill of its points: the background for a teacher, its colour for a student."""
    marker: str


def report_style() -> AbstractContextManager[None]:
    """Return a context in which matplotlib draws in the style of the report."""
    return matplotlib.rc_context(_RC)


def arm_styles(section: Section) -> dict[Arm, ArmStyle]:
    """Return the style of each arm: each teacher dashed in a colour, its student solid in the same colour.

    The student alone is drawn in the colour of the text. Arms of one network and teacher differ in dashes
    and markers.
    """
    students = {teaching.taught.network for teaching in section.teachings}
    teachers = dict.fromkeys(
        arm.teacher or arm.network for arm in section.arms if arm.teacher or arm.network not in students
    )
    hues = {teacher: HUES[number % len(HUES)] for number, teacher in enumerate(teachers)}
    seen: Counter[tuple[str, str | None]] = Counter()
    styles = {}
    for arm in section.arms:
        key = (arm.network, arm.teacher)
        number = seen[key] % len(_MARKERS)
        seen[key] += 1
        if arm.teacher or arm.network in students:
            colour = hues[arm.teacher] if arm.teacher else INK
            styles[arm] = ArmStyle(colour, _STUDENT_DASHES[number], 1.8, colour, _MARKERS[number])
        else:
            colour = hues[arm.network]
            styles[arm] = ArmStyle(colour, _TEACHER_DASHES[number], 1.1, GROUND, _MARKERS[number])
    return styles


# Arms of one network and one teacher take these in turn.
_STUDENT_DASHES = ("solid", (0, (6, 1)), (0, (8, 1, 1, 1)))
_TEACHER_DASHES = ((0, (2, 1.5)), (0, (1, 2)), (0, (3, 2, 1, 2)))
_MARKERS = ("o", "s", "D")
