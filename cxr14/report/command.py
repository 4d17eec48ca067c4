"""What compare-results.py calls: read all runs, measure, write the report and print its tables."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cxr14.files import atomic_write
from cxr14.report import figures, main_tables, page, results, style, wording
from cxr14.report.csv_table import csv_table
from cxr14.report.results import SectionResults
from cxr14.report.runs import read_sections
from cxr14.settings import CompareSettings

REPORT, MARKDOWN, TABLE, FIGURE = "report.html", "comparison.md", "comparison.csv", "comparison{number}.png"


def compare(settings: CompareSettings) -> None:
    """Read all results, write the report and print its tables: what compare-results.py does.

    Raises:
        InputError: there are no results, or a file is damaged.
    """
    sections = read_sections(settings.results_dir)
    gathered = [results.gather(section, settings.resamples, settings.seed) for section in sections]
    for measured in gathered:
        print(_told(measured))
    written = _write(gathered, settings)
    print(
        "The report is " + "; beside it are ".join((str(written[0]), ", ".join(p.name for p in written[1:])))
    )


def _told(measured: SectionResults) -> str:
    parts = [main_tables.study_table(measured).text(), main_tables.finding_table(measured).text()]
    parts += [main_tables.gain_table(measured).text()] if measured.gains else []
    return "\n" + "\n\n\n".join((wording.main_finding(measured), *parts, *wording.cautions(measured))) + "\n"


def _write(gathered: Sequence[SectionResults], settings: CompareSettings) -> list[Path]:
    """Write all files, the report last, so that what it points to is there."""
    with style.report_style():
        report = page.render(gathered, settings.resamples, settings.seed)
        pictures = [figures.titled(figures.before_and_after(measured)) for measured in gathered]
    folder = settings.results_dir
    paths = [folder / REPORT, folder / MARKDOWN, folder / TABLE]
    for number, picture in enumerate(pictures, start=1):
        paths.append(folder / FIGURE.format(number=f"-{number}" if number > 1 else ""))
        with atomic_write(paths[-1]) as aside:
            picture.savefig(aside, format="png", dpi=160, facecolor=style.GROUND)
    with atomic_write(folder / TABLE) as aside:
        pd.concat([csv_table(measured) for measured in gathered]).to_csv(aside, index=False)
    with atomic_write(folder / MARKDOWN) as aside:
        aside.write_text("\n\n".join(map(_markdown, gathered)) + "\n", encoding="utf-8")
    with atomic_write(folder / REPORT) as aside:
        aside.write_text(report, encoding="utf-8")
    return paths


def _markdown(measured: SectionResults) -> str:
    section = measured.section
    parts = [f"## {section.titled('Networks alone and taught')}", wording.main_finding(measured)]
    parts += [section.worth] if section.worth else []
    parts += [f"> {caution}" for caution in wording.cautions(measured)]
    parts += [main_tables.study_table(measured).markdown(), main_tables.finding_table(measured).markdown()]
    parts += [main_tables.gain_table(measured).markdown()] if measured.gains else []
    return "\n\n".join(parts)
