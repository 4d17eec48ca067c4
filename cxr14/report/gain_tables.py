"""Tables of distilled minus alone, and what the difference means."""

import numpy as np

from cxr14.report.conditions import PLATEAU_GAIN
from cxr14.report.formatting import (
    ABSENT,
    LEVEL_TEXT,
    SIGNIFICANT,
    bare_p_value,
    figure,
    listed,
    p_value,
    readable,
    signed,
    span,
)
from cxr14.report.headline import speed
from cxr14.report.main_tables import FINDING
from cxr14.report.results import Gain, SectionResults
from cxr14.report.runs import any_true
from cxr14.report.table import Cell, Column, Table


def gain_table(results: SectionResults) -> Table:
    """Return the difference of the mean AUROC, taught minus alone, a row for each taught arm."""
    rows = []
    for gain, adjusted in zip(results.gains, results.adjusted, strict=True):
        resamples = len(gain.taught.draws)
        rows.append(
            [
                Cell(gain.teaching.by),
                Cell(figure(gain.alone.macro().values)),
                Cell(figure(gain.taught.macro().values)),
                Cell(signed(gain.macro.value), span(gain.macro)),
                Cell(bare_p_value(gain.macro.p_value, resamples)),
                Cell(bare_p_value(adjusted, resamples)),
                *_clear_findings(results, gain),
                Cell(str(len(gain.teaching.pairs))),
                Cell(_meaning(gain)),
            ]
        )
    columns = [Column("Taught by", numeric=False), Column("Student alone"), Column("Student taught")]
    columns += [Column("Difference"), Column("p"), Column("p, adjusted")]
    columns += [Column("higher", "Findings clearly"), Column("lower", "Findings clearly"), Column("Seeds")]
    columns += [Column("What the difference shows", numeric=False)]
    return Table(
        results.section.titled("AUROC of the student taught minus alone"),
        columns,
        rows,
        remarks=_remarks(results),
    )


def gain_finding_table(results: SectionResults) -> Table:
    """Return the difference of each finding's AUROC, with intervals and adjusted p-values."""
    group = f"AUROC taught minus alone, {LEVEL_TEXT} interval, adjusted p"
    rows = [
        [Cell(readable(finding)), *(_gain_cell(gain, index) for gain in results.gains)]
        for index, finding in enumerate(results.section.example.findings)
    ]
    return Table(
        results.section.titled("AUROC of each finding, taught minus alone"),
        [FINDING, *(Column(f"taught by {gain.teaching.by}", group) for gain in results.gains)],
        rows,
    )


def _clear_findings(results: SectionResults, gain: Gain) -> list[Cell]:
    """Count the findings that are clearly higher and clearly lower; dashes where nothing was tested."""
    if np.isnan(gain.adjusted).all():
        return [Cell(ABSENT), Cell(ABSENT)]
    is_clear = (gain.adjusted <= SIGNIFICANT) & results.is_trusted
    signs = (gain.findings.value > 0, gain.findings.value < 0)
    return [Cell(str(int(np.sum(is_clear & sign)))) for sign in signs]


def _meaning(gain: Gain) -> str:
    """Return in a few words what a difference shows, and why it shows no more."""
    teaching = gain.teaching
    if not teaching.is_fair:
        return f"more than teaching: {'; '.join(teaching.differences)}"
    sides = {"taught": 0, "alone": 1}
    rising = {name: any_true(pair[side].is_rising for pair in teaching.pairs) for name, side in sides.items()}
    if teaching.is_rising is None:
        return "teaching; epochs not recorded"
    if teaching.is_rising:
        return f"speed of learning: {listed([name for name in rising if rising[name]])} still rising"
    return "what teaching adds"


def _remarks(results: SectionResults) -> list[str]:
    remarks = [
        "A p-value is given only where the two trainings differ by the teacher alone. Validation AUROC was "
        f"still rising if the last third of the epochs gained more than {PLATEAU_GAIN}, or if an otherwise "
        "equal training of at least twice the epochs did. The longer training is the better evidence, "
        "because the learning rate falls to 0 at the end of each training, which flattens its curve as well."
    ]
    for gain in results.gains:
        pace = speed(gain) if gain.teaching.is_fair else ""
        if pace:
            remarks.append(f"Taught by {gain.teaching.by}: {pace}.")
    return remarks


def _gain_cell(gain: Gain, index: int) -> Cell:
    notes = (span(gain.findings, index), p_value(gain.adjusted[index], len(gain.taught.draws)))
    return Cell(signed(gain.findings.value[index]), ", ".join(filter(None, notes)))
