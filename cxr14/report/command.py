"""The entry of compare-results.py."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cxr14.files import atomic_write
from cxr14.report import figures, gain_tables, main_tables, page, results, style
from cxr14.report.csv_table import csv_table
from cxr14.report.headline import cautions, headline
from cxr14.report.reading import read_sections
from cxr14.report.results import SectionResults
from cxr14.report.table import Table, escaped
from cxr14.settings import CompareSettings

REPORT, MARKDOWN, TABLE, FIGURE = "report.html", "comparison.md", "comparison.csv", "comparison{number}.png"


def compare(settings: CompareSettings) -> None:
    """Read all results, write the report and print its main tables: what compare-results.py does.

    Raises:
        InputError: there are no predictions, or a file is damaged.
    """
    sections = read_sections(settings.results_dir)
    measured = [results.measure(section, settings.resamples, settings.seed) for section in sections]
    for each in measured:
        parts = [headline(each), *(table.text() for table in _tables(each)), *cautions(each)]
        print("\n" + "\n\n\n".join(parts) + "\n")
    report, *others = _write(measured, settings)
    print(f"The report is {report}; beside it are {', '.join(path.name for path in others)}")


def _tables(measured: SectionResults) -> list[Table]:
    tables = [main_tables.study_table(measured), main_tables.finding_table(measured)]
    if measured.gains:
        tables.append(gain_tables.gain_table(measured))
    if measured.section.has_several_seeds:
        tables.append(main_tables.seed_table(measured))
    return tables


def _write(measured: Sequence[SectionResults], settings: CompareSettings) -> list[Path]:
    """Write all files, the report last, so that a complete report has all files beside it."""
    with style.report_style():
        report = page.render(measured, settings.resamples, settings.seed)
        drawn = [figures.with_title(figures.before_and_after(each)) for each in measured]
    folder = settings.results_dir
    paths = [folder / REPORT, folder / MARKDOWN, folder / TABLE]
    for number, figure in enumerate(drawn, start=1):
        paths.append(folder / FIGURE.format(number=f"-{number}" if number > 1 else ""))
        with atomic_write(paths[-1]) as aside:
            figure.savefig(aside, format="png", dpi=160, facecolor=style.GROUND)
    with atomic_write(folder / TABLE) as aside:
        pd.concat([csv_table(each) for each in measured]).to_csv(aside, index=False)
    with atomic_write(folder / MARKDOWN) as aside:
        aside.write_text("\n\n".join(map(_markdown, measured)) + "\n", encoding="utf-8")
    with atomic_write(folder / REPORT) as aside:
        aside.write_text(report, encoding="utf-8")
    return paths


def _markdown(measured: SectionResults) -> str:
    section = measured.section
    parts = [f"## {escaped(section.titled(page.TITLE))}", escaped(headline(measured))]
    parts += [escaped(section.limit)] if section.limit else []
    parts += [f"> {escaped(caution)}" for caution in cautions(measured)]
    return "\n\n".join(parts + [table.markdown() for table in _tables(measured)])
