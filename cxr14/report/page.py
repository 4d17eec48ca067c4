"""report.html: one file that holds everything it shows, and asks nothing of a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from cxr14.evaluation import metrics
from cxr14.evaluation.bootstrap import LEVEL
from cxr14.report import curves, figures, main_tables, run_tables, style, svg, wording
from cxr14.report.results import AVERAGE_PRECISION, SectionResults

_TEMPLATES = Path(__file__).parent


@dataclass(frozen=True)
class Shown:
    """A figure as the page holds it."""

    title: str
    alt: str
    svg: Markup


def render(sections: Sequence[SectionResults], resamples: int, seed: int) -> str:
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
        sections=[_content(results, number) for number, results in enumerate(sections, start=1)],
        title="Networks alone and taught",
        resamples=f"{resamples:,}",
        seed=seed,
        level=wording.LEVEL_TEXT,
        one_in=round(1 / (1 - LEVEL)),
        bins=metrics.CALIBRATION_BINS,
        study_threshold=metrics.STUDY_THRESHOLD,
        colours=style.COLOURS,
        css=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
    )


def _content(results: SectionResults, number: int) -> dict[str, object]:
    """Return all that the template shows of one test list."""
    section = results.section
    first_taught = next((each.taught for each in section.teachings), section.runs[0])
    has_validation = any(measured.chosen for measured in results.measured.values())
    drawings = {
        "before_after": figures.before_and_after(results),
        "forest": figures.forest(results) if results.gains else None,
        "roc": curves.roc_curves(results),
        "precision_recall": curves.precision_recall_curves(results),
        "cost": figures.cost(results),
        "reliability": figures.reliability(results) if has_validation else None,
        "training": figures.training(results),
    }
    return {
        "number": number,
        "section": section,
        "finding": wording.main_finding(results),
        "cautions": wording.cautions(results),
        "tiles": _tiles(results),
        "figures": {
            name: Shown(drawing.title, drawing.alt, Markup(svg.as_svg(drawing.figure, f"{name}-{number}")))
            if drawing
            else None
            for name, drawing in drawings.items()
        },
        "study": main_tables.study_table(results),
        "per_finding": main_tables.finding_table(results),
        "precision": main_tables.finding_table(results, AVERAGE_PRECISION),
        "gains": main_tables.gain_table(results) if results.gains else None,
        "gain_findings": main_tables.gain_finding_table(results) if results.gains else None,
        "summary": run_tables.summary_table(results),
        "operating": [
            (run.name, run_tables.operating_table(results, measured), run is first_taught)
            for run, measured in results.measured.items()
            if measured.chosen
        ],
        "calibration": run_tables.calibration_table(results) if has_validation else None,
        "provenance": run_tables.provenance_table(results),
    }


def _tiles(results: SectionResults) -> list[tuple[str, str, str]]:
    """Return name, figure and interval of student, taught student and difference, where one was taught."""
    if len(results.gains) != 1:
        return []
    gain = results.gains[0]
    tiles = []
    for run in (gain.teaching.alone, gain.teaching.taught, gain.teaching.teacher):
        if run is not None:
            mean = results.measured[run].auroc.macro().interval()
            name = run.name if run is not gain.teaching.teacher else f"{run.name}, the teacher"
            tiles.append((name, wording.figure(mean.value), wording.span(mean)))
    tiles.insert(2, ("What teaching adds", wording.signed(gain.macro.value), wording.span(gain.macro)))
    return tiles
