"""Each table of the report, made from the results."""

from collections.abc import Iterator

import numpy as np

from cxr14.evaluation import metrics
from cxr14.report import published_results
from cxr14.report.results import Gain, SectionResults
from cxr14.report.runs import Run, Teaching
from cxr14.report.table import Cell, Column, Table
from cxr14.report.wording import (
    ABSENT,
    LEVEL_TEXT,
    SIGNIFICANT,
    figure,
    listed,
    p_value,
    readable,
    signed,
    span,
    whole,
)

MEAN, _WEIGHTED = "Mean of findings", "Weighted by positives"
FINDING = Column("Finding", numeric=False)


def study_table(results: SectionResults) -> Table:
    """Return the study's table, the published one beside it: size, AUROC alone, AUROC of its student."""
    ours, theirs = "RunResults here", "Published, another test list"
    heads = ("Parameters", "MACs", "AUROC alone", "Student taught by it")
    columns = [Column(head, group) for group in (ours, theirs) for head in heads]
    return Table(
        results.section.titled("Size and AUROC, networks alone and students taught by them"),
        [Column("Network", numeric=False), *columns],
        [
            [Cell(name), *_measured_here(results, alone, teaching), *_published(network)]
            for network, name, alone, teaching in _study_rows(results)
        ],
        remarks=[
            f"{published_results.SOURCE}. Those are other radiographs than here: the two halves of this "
            "table are for reference and must not be ranked against each other.",
            *_counted_at(results),
        ],
    )


def finding_table(results: SectionResults, metric: str = metrics.AUROC) -> Table:
    """Return one figure of every finding and run, with the number of positives and negatives.

    Args:
        results: of a section.
        metric: AUROC, or average precision.
    """
    labels, findings = results.section.example.labels, results.section.example.findings
    positives = labels.sum(axis=0)
    figures = [measured.bootstrapped[metric] for measured in results.measured.values()]
    intervals = [each.interval() for each in figures]
    rows = [
        [
            Cell(readable(finding)),
            Cell(whole(positives[index])),
            Cell(whole(len(labels) - positives[index])),
            *(Cell(figure(interval.value[index]), span(interval, index)) for interval in intervals),
        ]
        for index, finding in enumerate(findings)
    ]
    means = [each.macro().interval() for each in figures]
    covered = metrics.macro(figures[0].values)[1]
    mean_name = MEAN if covered == len(findings) else f"Mean of {covered} of {len(findings)} findings"
    rows.append([Cell(mean_name), Cell(""), Cell(""), *(Cell(figure(m.value), span(m)) for m in means)])
    weighted = [metrics.weighted(each.values, labels) for each in figures]
    rows.append([Cell(_WEIGHTED), Cell(""), Cell(""), *(Cell(figure(value)) for value in weighted)])
    return Table(
        results.section.titled(f"{metric[0].upper()}{metric[1:]} of each finding"),
        [FINDING, Column("Positive"), Column("Negative"), *_run_columns(results)],
        rows,
        means=2,
    )


def gain_table(results: SectionResults) -> Table:
    """Return what teaching adds to the mean AUROC, a row a taught student."""
    rows = []
    for gain, adjusted in zip(results.gains, results.adjusted, strict=True):
        taught, alone = (results.measured[run].auroc for run in (gain.teaching.taught, gain.teaching.alone))
        resamples = len(taught.draws)
        clear = (gain.adjusted <= SIGNIFICANT) & results.trusted
        clearly = [int(np.sum(clear & sign)) for sign in (gain.findings.value > 0, gain.findings.value < 0)]
        rows.append(
            [
                Cell(gain.teaching.by),
                Cell(figure(alone.macro().values)),
                Cell(figure(taught.macro().values)),
                Cell(signed(gain.macro.value), span(gain.macro)),
                Cell(_bare(gain.macro.p_value, resamples)),
                Cell(_bare(adjusted, resamples)),
                *(Cell(str(count)) for count in clearly),
            ]
        )
    columns = [Column("Taught by", numeric=False), Column("Student alone"), Column("Student taught")]
    columns += [Column("Difference"), Column("p"), Column("p, adjusted")]
    columns += [Column("higher", "Findings clearly"), Column("lower", "Findings clearly")]
    return Table(results.section.titled("What teaching adds to the mean AUROC"), columns, rows)


def gain_finding_table(results: SectionResults) -> Table:
    """Return what teaching adds to each finding's AUROC, with intervals and adjusted p-values."""
    group = f"AUROC taught minus alone, {LEVEL_TEXT} interval, adjusted p"
    rows = [
        [Cell(readable(finding)), *(_gain_cell(results, gain, index) for gain in results.gains)]
        for index, finding in enumerate(results.section.example.findings)
    ]
    return Table(
        results.section.titled("What teaching adds to each finding"),
        [FINDING, *(Column(f"taught by {gain.teaching.by}", group) for gain in results.gains)],
        rows,
    )


def _counted_at(results: SectionResults) -> list[str]:
    sizes = sorted({str(run.about("image_size")) for run in results.section.runs if run.about("image_size")})
    told = f"MACs grow with the image: ours are counted at {listed(sizes)} px, the published ones at"
    return [f"{told} {published_results.IMAGE_SIZE} px."] if sizes else []


def _study_rows(results: SectionResults) -> Iterator[tuple[str, str, Run | None, Teaching | None]]:
    """Yield the network, its name in the table, its run alone, and a teaching by it; None where untested."""
    section = results.section
    tested = [run.network for run in section.alone] + [each.taught.teacher for each in section.teachings]
    for network in dict.fromkeys([*published_results.TABLE, *tested]):
        alone: list[Run | None] = [run for run in section.alone if run.network == network]
        orphans = any(each.taught.teacher == network and each.teacher is None for each in section.teachings)
        for run in alone + [None] * (orphans or not alone):
            lessons = [
                each for each in section.teachings if each.taught.teacher == network and each.teacher is run
            ]
            for lesson in lessons or [None]:
                yield network, network + _suffixes(run, lesson), run, lesson


def _suffixes(alone: Run | None, teaching: Teaching | None) -> str:
    suffixes = [run.suffix for run in (alone, teaching.taught if teaching else None) if run]
    return "".join(dict.fromkeys(suffixes))


def _measured_here(results: SectionResults, alone: Run | None, teaching: Teaching | None) -> list[Cell]:
    cells = [Cell(whole(alone.about(key) if alone else None)) for key in ("parameters", "macs")]
    for run in (alone, teaching.taught if teaching else None):
        if run is None:
            cells.append(Cell(ABSENT))
        else:
            mean = results.measured[run].auroc.macro().interval()
            cells.append(Cell(figure(mean.value), span(mean)))
    return cells


def _published(network: str) -> list[Cell]:
    row = published_results.TABLE.get(network)
    if row is None:
        return [Cell(ABSENT)] * 4
    told = [" to ".join(figure(value) for value in values) for values in (row.alone, row.taught)]
    return [Cell(whole(row.parameters)), Cell(whole(row.macs)), *map(Cell, told)]


def _run_columns(results: SectionResults) -> list[Column]:
    return [
        Column(f"{run.teacher}{run.suffix}", f"{run.network} taught by")
        if run.teacher
        else Column(f"{run.network}{run.suffix}", "Networks alone")
        for run in results.section.runs
    ]


def _gain_cell(results: SectionResults, gain: Gain, index: int) -> Cell:
    resamples = len(results.measured[gain.teaching.taught].auroc.draws)
    notes = (span(gain.findings, index), p_value(gain.adjusted[index], resamples))
    return Cell(signed(gain.findings.value[index]), ", ".join(filter(None, notes)))


def _bare(value: float, resamples: int) -> str:
    return p_value(float(value), resamples).removeprefix("p = ").removeprefix("p ") or ABSENT
