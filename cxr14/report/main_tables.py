"""The tables that compare arms: size and AUROC, one metric of each finding, seeds."""

from collections.abc import Callable, Iterator

import numpy as np

from cxr14.evaluation import metrics
from cxr14.report import published_results
from cxr14.report.formatting import ABSENT, figure, listed, readable, signed, span, whole
from cxr14.report.results import SectionResults
from cxr14.report.runs import Arm, Teaching
from cxr14.report.table import Cell, Column, Table

MEAN, _WEIGHTED = "Mean of findings", "Weighted by positives"
FINDING = Column("Finding", numeric=False)


def study_table(results: SectionResults) -> Table:
    """Return size and AUROC of each network and of its student, beside the published values."""
    ours, theirs = "Measured here", "Published, another test list"
    heads = ("Parameters", "MACs", "AUROC alone", "Student taught by it")
    columns = [Column(head, group) for group in (ours, theirs) for head in heads]
    remarks = [
        f"{published_results.SOURCE}. Those are other radiographs than here: the two halves of this table "
        "are for reference and must not be ranked against each other.",
        *_image_size_remark(results),
    ]
    if results.section.has_several_seeds:
        remarks.append("An AUROC is the mean over the training seeds of its row.")
    return Table(
        results.section.titled("Size and AUROC, networks alone and students taught by them"),
        [Column("Network", numeric=False), *columns],
        [
            [Cell(name), *_measured_here(results, alone, teaching), *_published(network)]
            for network, name, alone, teaching in _study_rows(results)
        ],
        remarks=remarks,
    )


def finding_table(results: SectionResults, metric: str = metrics.AUROC) -> Table:
    """Return one metric of each finding and arm, with the number of positives and negatives.

    Args:
        results: of a section.
        metric: AUROC, or average precision.
    """
    labels, findings = results.section.example.labels, results.section.example.findings
    positives = labels.sum(axis=0)
    found = [each.bootstrapped[metric] for each in results.arms.values()]
    intervals = [each.interval() for each in found]
    rows = [
        [
            Cell(readable(finding)),
            Cell(whole(positives[index])),
            Cell(whole(len(labels) - positives[index])),
            *(Cell(figure(interval.value[index]), span(interval, index)) for interval in intervals),
        ]
        for index, finding in enumerate(findings)
    ]
    means = [each.macro().interval() for each in found]
    covered = metrics.macro(found[0].values)[1]
    mean_name = MEAN if covered == len(findings) else f"Mean of {covered} of {len(findings)} findings"
    rows.append([Cell(mean_name), Cell(""), Cell(""), *(Cell(figure(m.value), span(m)) for m in means)])
    weighted = [metrics.weighted(each.values, labels) for each in found]
    rows.append([Cell(_WEIGHTED), Cell(""), Cell(""), *(Cell(figure(value)) for value in weighted)])
    several = results.section.has_several_seeds
    return Table(
        results.section.titled(f"{metric[0].upper()}{metric[1:]} of each finding"),
        [FINDING, Column("Positive"), Column("Negative"), *_arm_columns(results)],
        rows,
        means=2,
        remarks=["With several training seeds, a value is their mean."] if several else [],
    )


def seed_table(results: SectionResults) -> Table:
    """Return the mean AUROC of each arm over its training seeds, and the differences paired by seed."""
    rows = []
    for arm, each in results.arms.items():
        seeds = listed([str(run.seed) for run in arm.runs])
        rows.append([Cell(arm.name), Cell(seeds), *_spread_cells(each.mean_aurocs, figure)])
    for gain in results.gains:
        seeds = listed([str(taught.seed) for taught, _ in gain.teaching.pairs])
        name = f"Difference, taught by {gain.teaching.by}"
        rows.append([Cell(name), Cell(seeds), *_spread_cells(gain.by_seed, signed)])
    heads = ("Mean", "SD", "Least", "Greatest")
    return Table(
        results.section.titled("Spread over training seeds"),
        [
            Column("Run", numeric=False),
            Column("Seeds", numeric=False),
            *(Column(head, "Mean AUROC") for head in heads),
        ],
        rows,
        remarks=[
            "SD is the standard deviation over seeds (n − 1). A difference is that of two runs of one seed, "
            "taught and alone."
        ],
    )


def _spread_cells(values: np.ndarray, text: Callable[[float], str]) -> list[Cell]:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    shown = (float(np.mean(values)), float(np.min(values)), float(np.max(values)))
    mean, least, greatest = (Cell(text(value)) for value in shown)
    return [mean, Cell(figure(deviation, 4)), least, greatest]


def _image_size_remark(results: SectionResults) -> list[str]:
    sizes = {run.about("image_size") for run in results.section.runs} - {None}
    if not sizes:
        return []
    shown = listed([str(size) for size in sorted(sizes)])
    return [
        f"MACs grow with the image: ours are counted at {shown} px, the published ones at "
        f"{published_results.IMAGE_SIZE} px."
    ]


def _study_rows(results: SectionResults) -> Iterator[tuple[str, str, Arm | None, Teaching | None]]:
    """Yield the network, its name in the table, its arm alone, and a teaching by it; None where untested."""
    section = results.section
    tested = [arm.network for arm in section.alone] + [each.taught.teacher for each in section.teachings]
    for network in dict.fromkeys([*published_results.TABLE, *tested]):
        alone: list[Arm | None] = [arm for arm in section.alone if arm.network == network]
        by_it = [each for each in section.teachings if each.taught.teacher == network]
        if not alone or any(each.teacher is None for each in by_it):
            alone.append(None)
        for arm in alone:
            lessons = [each for each in by_it if each.teacher is arm]
            for lesson in lessons or [None]:
                yield network, network + _suffixes(arm, lesson), arm, lesson


def _suffixes(alone: Arm | None, teaching: Teaching | None) -> str:
    suffixes = [arm.suffix for arm in (alone, teaching.taught if teaching else None) if arm]
    return "".join(dict.fromkeys(suffixes))


def _measured_here(results: SectionResults, alone: Arm | None, teaching: Teaching | None) -> list[Cell]:
    cells = [Cell(whole(alone.about(key) if alone else None)) for key in ("parameters", "macs")]
    for arm in (alone, teaching.taught if teaching else None):
        if arm is None:
            cells.append(Cell(ABSENT))
        else:
            mean = results.arms[arm].auroc.macro().interval()
            cells.append(Cell(figure(mean.value), span(mean)))
    return cells


def _published(network: str) -> list[Cell]:
    row = published_results.TABLE.get(network)
    if row is None:
        return [Cell(ABSENT)] * 4
    aurocs = [" to ".join(figure(value) for value in values) for values in (row.alone, row.taught)]
    return [Cell(whole(row.parameters)), Cell(whole(row.macs)), *map(Cell, aurocs)]


def _arm_columns(results: SectionResults) -> list[Column]:
    columns = []
    for arm in results.section.arms:
        seeds = f" · {len(arm.runs)} seeds" if len(arm.runs) > 1 else ""
        if arm.teacher:
            columns.append(Column(f"{arm.teacher}{arm.suffix}{seeds}", f"{arm.network} taught by"))
        else:
            columns.append(Column(f"{arm.network}{arm.suffix}{seeds}", "Networks alone"))
    return columns
