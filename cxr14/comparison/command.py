"""What compare-results.py calls: read all runs, measure, write the report and print its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd

from cxr14.comparison import evidence, figures, page, style, tables, wording
from cxr14.comparison.evidence import Evidence
from cxr14.comparison.runs import read_sections
from cxr14.comparison.tidy import tidy
from cxr14.errors import spoken_errors
from cxr14.files import written_aside
from cxr14.intervals import RESAMPLES
from cxr14.settings import Range, Whole, from_script

REPORT, MARKDOWN, TABLE, FIGURE = "report.html", "comparison.md", "comparison.csv", "comparison{number}.png"


@dataclass(kw_only=True)
class CompareSettings:
    """What compare-results.py can be told."""

    results_dir: Path
    """Folder below which the test scripts left their predictions; the report is written into it."""
    resamples: Annotated[int, Range(20)] = RESAMPLES
    """How often the patients are drawn for the intervals; fewer than 600 leave no p-value of a finding small
    enough to stay below 0.05 once it is adjusted."""
    seed: Whole = 0
    """Fixes the draws of patients."""


def main(script: Mapping[str, Any]) -> None:
    """Compare all results, as the constants of `script` and the command line say.

    Args:
        script: the script's ``globals()``.
    """
    with spoken_errors():
        settings = from_script(CompareSettings, script)
        sections = read_sections(settings.results_dir)
        gathered = [evidence.gather(section, settings.resamples, settings.seed) for section in sections]
        for measured in gathered:
            print(_told(measured))
        written = _write(gathered, settings)
        print(
            "The report is "
            + "; beside it are ".join((str(written[0]), ", ".join(p.name for p in written[1:])))
        )


def _told(measured: Evidence) -> str:
    parts = [tables.study_table(measured).text(), tables.finding_table(measured).text()]
    parts += [tables.gain_table(measured).text()] if measured.gains else []
    return "\n" + "\n\n\n".join((wording.main_finding(measured), *parts, *wording.cautions(measured))) + "\n"


def _write(gathered: Sequence[Evidence], settings: CompareSettings) -> list[Path]:
    """Write all files, the report last, so that what it points to is there."""
    with style.styled():
        report = page.render(gathered, settings.resamples, settings.seed)
        pictures = [figures.titled(figures.before_and_after(measured)) for measured in gathered]
    folder = settings.results_dir
    paths = [folder / REPORT, folder / MARKDOWN, folder / TABLE]
    for number, picture in enumerate(pictures, start=1):
        paths.append(folder / FIGURE.format(number=f"-{number}" if number > 1 else ""))
        with written_aside(paths[-1]) as aside:
            picture.savefig(aside, format="png", dpi=160, facecolor=style.GROUND)
    with written_aside(folder / TABLE) as aside:
        pd.concat([tidy(measured) for measured in gathered]).to_csv(aside, index=False)
    with written_aside(folder / MARKDOWN) as aside:
        aside.write_text("\n\n".join(map(_markdown, gathered)) + "\n", encoding="utf-8")
    with written_aside(folder / REPORT) as aside:
        aside.write_text(report, encoding="utf-8")
    return paths


def _markdown(measured: Evidence) -> str:
    section = measured.section
    parts = [f"## {section.titled('Networks alone and taught')}", wording.main_finding(measured)]
    parts += [section.worth] if section.worth else []
    parts += [f"> {caution}" for caution in wording.cautions(measured)]
    parts += [tables.study_table(measured).markdown(), tables.finding_table(measured).markdown()]
    parts += [tables.gain_table(measured).markdown()] if measured.gains else []
    return "\n\n".join(parts)
