"""report.html: one file that holds everything it shows, and asks nothing of a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from cxr14.evaluation import metrics
from cxr14.evaluation.bootstrap import LEVEL
from cxr14.report import curves, figures, run_tables, style, tables, wording
from cxr14.report.evidence import AVERAGE_PRECISION, Evidence

_TEMPLATES = Path(__file__).parent


@dataclass(frozen=True)
class Shown:
    """A figure as the page holds it."""

    title: str
    alt: str
    svg: Markup


def render(sections: Sequence[Evidence], resamples: int, seed: int) -> str:
    """Return the page.

    Args:
        sections: one for each test list.
        resamples: how often patients were drawn.
        seed: of the draws.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        sections=[_content(evidence, number) for number, evidence in enumerate(sections, start=1)],
        title="Networks alone and taught",
        resamples=f"{resamples:,}",
        seed=seed,
        level=wording.LEVEL_TOLD,
        one_in=round(1 / (1 - LEVEL)),
        bins=metrics.CALIBRATION_BINS,
        study_threshold=metrics.STUDY_THRESHOLD,
        colours=style.COLOURS,
        css=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
    )


def _content(evidence: Evidence, number: int) -> dict[str, object]:
    """Return all that the template shows of one test list."""
    section = evidence.section
    first_taught = next((each.taught for each in section.teachings), section.runs[0])
    has_choices = any(measured.chosen for measured in evidence.measured.values())
    drawings = {
        "before_after": figures.before_and_after(evidence),
        "forest": figures.forest(evidence) if evidence.gains else None,
        "roc": curves.roc_curves(evidence),
        "precision_recall": curves.precision_recall_curves(evidence),
        "cost": figures.cost(evidence),
        "reliability": figures.reliability(evidence) if has_choices else None,
        "training": figures.training(evidence),
    }
    return {
        "number": number,
        "section": section,
        "finding": wording.main_finding(evidence),
        "cautions": wording.cautions(evidence),
        "tiles": _tiles(evidence),
        "figures": {
            name: Shown(drawing.title, drawing.alt, Markup(style.as_svg(drawing.figure, f"{name}-{number}")))
            if drawing
            else None
            for name, drawing in drawings.items()
        },
        "study": tables.study_table(evidence),
        "per_finding": tables.finding_table(evidence),
        "precision": tables.finding_table(evidence, AVERAGE_PRECISION),
        "gains": tables.gain_table(evidence) if evidence.gains else None,
        "gain_findings": tables.gain_finding_table(evidence) if evidence.gains else None,
        "summary": run_tables.summary_table(evidence),
        "operating": [
            (run.name, run_tables.operating_table(evidence, measured), run is first_taught)
            for run, measured in evidence.measured.items()
            if measured.chosen
        ],
        "calibration": run_tables.calibration_table(evidence) if has_choices else None,
        "provenance": run_tables.provenance_table(evidence),
    }


def _tiles(evidence: Evidence) -> list[tuple[str, str, str]]:
    """Return name, figure and interval of student, taught student and difference, where one was taught."""
    if len(evidence.gains) != 1:
        return []
    gain = evidence.gains[0]
    tiles = []
    for run in (gain.teaching.alone, gain.teaching.taught, gain.teaching.teacher):
        if run is not None:
            mean = evidence.measured[run].auroc.macro().interval()
            name = run.name if run is not gain.teaching.teacher else f"{run.name}, the teacher"
            tiles.append((name, wording.figure(mean.value), wording.span(mean)))
    tiles.insert(2, ("What teaching adds", wording.signed(gain.macro.value), wording.span(gain.macro)))
    return tiles
