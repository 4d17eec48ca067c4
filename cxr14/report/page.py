"""report.html: one file without any external resource."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from cxr14.evaluation import metrics
from cxr14.evaluation.intervals import LEVEL
from cxr14.report import (
    curves,
    figures,
    formatting,
    gain_tables,
    main_tables,
    run_tables,
    style,
    training_figures,
)
from cxr14.report.conditions import PLATEAU_GAIN
from cxr14.report.headline import cautions, headline
from cxr14.report.results import AVERAGE_PRECISION, SectionResults
from cxr14.report.svg import as_svg

TITLE = "Networks alone and taught"
_TEMPLATES = Path(__file__).parent


@dataclass(frozen=True)
class PageFigure:
    """A figure as the template shows it."""

    title: str
    alt: str
    svg: Markup


def render(sections: Sequence[SectionResults], resamples: int, seed: int) -> str:
    """Return the page.

    Args:
        sections: one for each test list.
        resamples: number of resamples of the patients.
        seed: of the resamples.
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
        title=TITLE,
        resamples=f"{resamples:,}",
        seed=seed,
        level=formatting.LEVEL_TEXT,
        one_in=round(1 / (1 - LEVEL)),
        bins=metrics.CALIBRATION_BINS,
        plateau_gain=PLATEAU_GAIN,
        study_threshold=metrics.STUDY_THRESHOLD,
        colours=style.COLOURS,
        css=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
    )


def _content(results: SectionResults, number: int) -> dict[str, object]:
    """Return all that the template shows of one test list."""
    section = results.section
    first_taught = next((teaching.taught.runs[0] for teaching in section.teachings), section.runs[0])
    has_validation = any(measured.validated for measured in results.runs.values())
    is_taught = bool(results.gains)
    drawings = {
        "before_after": figures.before_and_after(results),
        "forest": figures.forest(results) if is_taught else None,
        "learning": training_figures.learning_curves(results),
        "roc": curves.roc_curves(results),
        "precision_recall": curves.precision_recall_curves(results),
        "cost": figures.cost(results),
        "reliability": figures.reliability(results) if has_validation else None,
        "training": training_figures.training(results),
    }
    return {
        "number": number,
        "section": section,
        "headline": headline(results),
        "cautions": cautions(results),
        "tiles": _tiles(results),
        "figures": {
            name: PageFigure(drawing.title, drawing.alt, Markup(as_svg(drawing.figure, f"{name}-{number}")))
            if drawing
            else None
            for name, drawing in drawings.items()
        },
        "study": main_tables.study_table(results),
        "per_finding": main_tables.finding_table(results),
        "precision": main_tables.finding_table(results, AVERAGE_PRECISION),
        "seeds": main_tables.seed_table(results) if section.has_several_seeds else None,
        "gains": gain_tables.gain_table(results) if is_taught else None,
        "gain_findings": gain_tables.gain_finding_table(results) if is_taught else None,
        "summary": run_tables.summary_table(results),
        "operating": [
            (run.name, run_tables.operating_table(results, measured), run is first_taught)
            for run, measured in results.runs.items()
            if measured.validated
        ],
        "calibration": run_tables.calibration_table(results) if has_validation else None,
        "provenance": run_tables.provenance_table(results),
    }


def _tiles(results: SectionResults) -> list[tuple[str, str, str]]:
    """Return name, value and interval of student, taught student, difference and teacher, if there is one."""
    if len(results.gains) != 1:
        return []
    gain, teaching = results.gains[0], results.gains[0].teaching
    alone, taught = (each.macro().interval() for each in (gain.alone, gain.taught))
    difference = "What teaching adds" if teaching.is_fair and teaching.is_rising is False else "Difference"
    tiles = [
        (teaching.alone.name, formatting.figure(alone.value), formatting.span(alone)),
        (teaching.taught.name, formatting.figure(taught.value), formatting.span(taught)),
        (difference, formatting.signed(gain.macro.value), formatting.span(gain.macro)),
    ]
    if teaching.teacher is not None:
        mean = results.arms[teaching.teacher].auroc.macro().interval()
        name = f"{teaching.teacher.name}, the teacher"
        tiles.append((name, formatting.figure(mean.value), formatting.span(mean)))
    return tiles
