"""Each table of the report, made from the evidence."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from cxr14 import metrics
from cxr14.comparison import study
from cxr14.comparison.evidence import Evidence, Gain, Measured
from cxr14.comparison.runs import Run, Teaching
from cxr14.comparison.table import Cell, Column, Table
from cxr14.comparison.wording import ABSENT, LEVEL_TOLD, figure, p_value, signed, span, spoken, whole
from cxr14.intervals import Bootstrapped

_NETWORK, _MEAN, _WEIGHTED = Column("Network", numeric=False), "Mean of findings", "Weighted by positives"
_FINDING = Column("Finding", numeric=False)
_SHORT = 12  # digits of a fingerprint that tell files apart at a glance


def study_table(evidence: Evidence) -> Table:
    """Return the study's table, the published one beside it: size, AUROC alone, AUROC of its student."""
    ours = f"Measured here, {evidence.section.mark}"
    theirs = "Published by the study, another test list"
    heads = ("Parameters", "MACs", "AUROC alone", "Student taught by it")
    return Table(
        evidence.section.titled("Size and AUROC, networks alone and students taught by them"),
        [_NETWORK, *(Column(head, group) for group in (ours, theirs) for head in heads)],
        [
            [Cell(name), *_measured_here(evidence, alone, teaching), *_published(network)]
            for network, name, alone, teaching in _study_rows(evidence)
        ],
        remarks=[
            f"{study.SOURCE}. Other radiographs than here: the two halves of this table stand side by side "
            "for reference and are not to be ranked against each other.",
        ],
    )


def finding_table(evidence: Evidence, metric: str = metrics.AUROC) -> Table:
    """Return one figure of every finding and run, with the number of positives and negatives.

    Args:
        evidence: of a section.
        metric: AUROC, or average precision.
    """
    labels, findings = evidence.section.example.labels, evidence.section.example.findings
    positives = labels.sum(axis=0)
    figures = [_of(measured, metric) for measured in evidence.measured.values()]
    intervals = [each.interval() for each in figures]
    rows = [
        [
            Cell(spoken(finding)),
            Cell(whole(positives[index])),
            Cell(whole(len(labels) - positives[index])),
            *(Cell(figure(interval.value[index]), span(interval, index)) for interval in intervals),
        ]
        for index, finding in enumerate(findings)
    ]
    means = [each.macro().interval() for each in figures]
    covered = metrics.macro(figures[0].values)[1]
    mean_name = _MEAN if covered == len(findings) else f"Mean of {covered} of {len(findings)} findings"
    rows.append([Cell(mean_name), Cell(""), Cell(""), *(Cell(figure(m.value), span(m)) for m in means)])
    weighted = [metrics.weighted(each.values, labels) for each in figures]
    rows.append([Cell(_WEIGHTED), Cell(""), Cell(""), *(Cell(figure(value)) for value in weighted)])
    return Table(
        evidence.section.titled(f"{metric[0].upper()}{metric[1:]} of each finding"),
        [_FINDING, Column("Positive"), Column("Negative"), *_run_columns(evidence)],
        rows,
        means=2,
    )


def gain_table(evidence: Evidence) -> Table:
    """Return what teaching adds to the mean AUROC, a row a taught student."""
    rows = []
    for gain, adjusted in zip(evidence.gains, evidence.adjusted, strict=True):
        taught, alone = (evidence.measured[run].auroc for run in (gain.teaching.taught, gain.teaching.alone))
        resamples = len(taught.draws)
        better = [int(np.sum(beyond)) for beyond in (gain.findings.low > 0, gain.findings.high < 0)]
        rows.append(
            [
                Cell(gain.teaching.by),
                Cell(figure(alone.macro().values)),
                Cell(figure(taught.macro().values)),
                Cell(signed(gain.macro.value), span(gain.macro)),
                Cell(_bare(gain.macro.p_value, resamples)),
                Cell(_bare(adjusted, resamples)),
                *(Cell(str(count)) for count in better),
            ]
        )
    columns = [Column("Taught by", numeric=False), Column("Student alone"), Column("Student taught")]
    columns += [Column("Difference"), Column("p"), Column("p, adjusted")]
    columns += [Column("higher", "Findings with an interval"), Column("lower", "Findings with an interval")]
    return Table(evidence.section.titled("What teaching adds to the mean AUROC"), columns, rows)


def gain_finding_table(evidence: Evidence) -> Table:
    """Return what teaching adds to each finding's AUROC, with intervals and adjusted p-values."""
    group = f"AUROC taught minus alone, {LEVEL_TOLD} interval, adjusted p"
    rows = [
        [Cell(spoken(finding)), *(_gain_cell(evidence, gain, index) for gain in evidence.gains)]
        for index, finding in enumerate(evidence.section.example.findings)
    ]
    return Table(
        evidence.section.titled("What teaching adds to each finding"),
        [_FINDING, *(Column(f"taught by {gain.teaching.by}", group) for gain in evidence.gains)],
        rows,
    )


def summary_table(evidence: Evidence) -> Table:
    """Return the means over findings of every figure, a row a run."""
    operating = any(measured.chosen for measured in evidence.measured.values())
    names = [
        *metrics.OF_PROBABILITIES,
        *(f"{name} {metrics.AT_STUDY_THRESHOLD}" for name in ("accuracy", "F1")),
    ]
    if operating:
        names += [f"{name} {metrics.AT_OPERATING_THRESHOLD}" for name in metrics.OF_DECISIONS]
    rows = []
    for run, measured in evidence.measured.items():
        thresholds = measured.chosen.thresholds if measured.chosen else None
        per_finding = metrics.table(run.test.labels, run.test.probabilities, thresholds, run.test.findings)
        means = metrics.means(per_finding).loc[metrics.MACRO]
        rows.append([Cell(run.name), *(Cell(figure(means.get(name, np.nan))) for name in names)])
    columns = [Column("Run", numeric=False), *(_metric_column(name) for name in names)]
    return Table(evidence.section.titled("Means over findings of all figures"), columns, rows)


def operating_table(evidence: Evidence, measured: Measured) -> Table:
    """Return one run's thresholds, chosen on validation, and its decisions on the test list."""
    chosen, run = measured.chosen, measured.run
    study_threshold = metrics.table(run.test.labels, run.test.probabilities, findings=run.test.findings)
    intervals = {name: each.interval() for name, each in chosen.decisions.items()}
    at_study = [f"{name} {metrics.AT_STUDY_THRESHOLD}" for name in ("accuracy", "F1")]
    rows = [
        [
            Cell(spoken(finding)),
            Cell(figure(chosen.thresholds[index])),
            *(
                Cell(figure(intervals[name].value[index]), span(intervals[name], index))
                for name in ("sensitivity", "specificity")
            ),
            *(Cell(figure(intervals[name].value[index])) for name in ("accuracy", "F1")),
            *(Cell(figure(study_threshold.loc[finding, name])) for name in at_study),
        ]
        for index, finding in enumerate(run.test.findings)
    ]
    decided = [chosen.decisions[name].values for name in ("sensitivity", "specificity", "accuracy", "F1")]
    decided += [study_threshold[name] for name in at_study]
    rows.append([Cell(_MEAN), Cell(""), *(Cell(figure(metrics.macro(values)[0])) for values in decided)])
    here, there = "At the operating threshold", f"At {metrics.STUDY_THRESHOLD}, the study's"
    return Table(
        evidence.section.titled(f"Decisions of {run.name}"),
        [
            _FINDING,
            *(Column(head, here) for head in ("Threshold", "Sensitivity", "Specificity", "Accuracy", "F1")),
            *(Column(head, there) for head in ("Accuracy", "F1")),
        ],
        rows,
        means=1,
    )


def calibration_table(evidence: Evidence) -> Table:
    """Return how honest probabilities are before and after the temperatures, means over findings."""
    rows = []
    for run, measured in evidence.measured.items():
        if measured.chosen is None:
            continue
        cells = [Cell(run.name)]
        for metric in (metrics.expected_calibration_error, metrics.brier):
            for probabilities in (run.test.probabilities, measured.chosen.tempered):
                cells.append(Cell(figure(metrics.macro(metric(run.test.labels, probabilities))[0], 4)))
        fitted = measured.chosen.temperatures[~np.isnan(measured.chosen.temperatures)]
        cells += [Cell(figure(end, 2)) for end in (fitted.min(), fitted.max())] if len(fitted) else []
        rows.append(cells + [Cell(ABSENT)] * (7 - len(cells)))
    groups = ("Expected calibration error", "Brier score", "Temperatures")
    heads = (("before", "after"), ("before", "after"), ("least", "greatest"))
    columns = [Column(head, group) for group, pair in zip(groups, heads, strict=True) for head in pair]
    return Table(
        evidence.section.titled("Honesty of the probabilities"),
        [Column("Run", numeric=False), *columns],
        rows,
    )


def provenance_table(evidence: Evidence) -> Table:
    """Return where each row of the report comes from."""
    heads = ("Run", "Data", "Test list", "Trained on", "Validated on", "Split", "Seed", "Epoch", "Loss")
    heads += ("Image, px", "Crops", "Latency", "Device", "Checkpoint", "Versions")
    rows = []
    for run in evidence.section.runs:
        versions = run.about("versions") or {}
        told = ", ".join(f"{name} {version}" for name, version in versions.items())
        latency = run.about("latency_seconds")
        revision = run.about("revision")
        rows.append(
            [
                Cell(run.name),
                Cell(evidence.section.kind),
                _fingerprint(run.test.list_fingerprint),
                _fingerprint(run.told("splits", "train")),
                _fingerprint(run.told("splits", "val")),
                Cell(run.test.split),
                _plain(run.about("seed")),
                _plain(run.about("epoch")),
                _plain(run.told("settings", "distill_loss") or ("labels alone" if not run.teacher else None)),
                _plain(run.about("image_size")),
                _plain(run.about("crops")),
                Cell(f"{1e3 * latency:.1f} ms" if latency else ABSENT),
                _plain(run.about("device")),
                _fingerprint(run.test.checkpoint_fingerprint),
                Cell(f"{told}, revision {revision}" if revision else told or ABSENT),
            ]
        )
    numeric = {"Seed", "Epoch", "Image, px", "Crops", "Latency"}
    columns = [Column(head, numeric=head in numeric) for head in heads]
    return Table(evidence.section.titled("Where each row comes from"), columns, rows)


def tidy(evidence: Evidence, adjusted_from: tuple[str, ...] = ("difference",)) -> pd.DataFrame:
    """Return every figure as plain numbers: a row for each run and finding, and one for the run's mean."""
    gains = {gain.teaching.taught: gain for gain in evidence.gains}
    rows = []
    for run, measured in evidence.measured.items():
        gain = gains.get(run)
        labels = run.test.labels
        per_finding = metrics.table(
            labels,
            run.test.probabilities,
            measured.chosen.thresholds if measured.chosen else None,
            run.test.findings,
        )
        means = metrics.means(per_finding).loc[metrics.MACRO]
        about = {
            "test_list": run.test.list_fingerprint,
            "data": evidence.section.kind,
            "run": run.name,
            "network": run.test.network,
            "teacher": run.test.teacher,
            "parameters": run.about("parameters"),
            "MACs": run.about("macs"),
            "latency_seconds": run.about("latency_seconds"),
            "seed": run.about("seed"),
            "checkpoint": run.test.checkpoint_fingerprint,
        }
        for index, finding in enumerate([*run.test.findings, metrics.MACRO]):
            is_mean = finding == metrics.MACRO
            row = about | {"finding": finding} | (means if is_mean else per_finding.loc[finding]).to_dict()
            for name in (metrics.AUROC, "average precision"):
                bootstrapped = _of(measured, name)
                interval = bootstrapped.macro().interval() if is_mean else bootstrapped.interval()
                where = () if is_mean else index
                row |= {f"{name} low": interval.low[where], f"{name} high": interval.high[where]}
            if gain:
                difference, where = (gain.macro, ()) if is_mean else (gain.findings, index)
                row |= {"AUROC alone": row[metrics.AUROC] - difference.value[where]}
                row |= {f"difference {key}": getattr(difference, key)[where] for key in difference._fields}
            rows.append(row)
    return pd.DataFrame(rows)


def _study_rows(evidence: Evidence) -> Iterator[tuple[str, str, Run | None, Teaching | None]]:
    """Yield the network, its name in the table, its run alone, and a teaching by it; None where untested."""
    section = evidence.section
    tested = [run.network for run in section.alone] + [each.taught.teacher for each in section.teachings]
    for network in dict.fromkeys([*study.TABLE, *tested]):
        alone: list[Run | None] = [run for run in section.alone if run.network == network]
        orphans = any(each.taught.teacher == network and each.teacher is None for each in section.teachings)
        for run in alone + [None] * (orphans or not alone):
            lessons = [
                each for each in section.teachings if each.taught.teacher == network and each.teacher is run
            ]
            for lesson in lessons or [None]:
                yield network, network + (run.suffix if run else ""), run, lesson


def _measured_here(evidence: Evidence, alone: Run | None, teaching: Teaching | None) -> list[Cell]:
    cells = [Cell(whole(alone.about(key) if alone else None)) for key in ("parameters", "macs")]
    for run in (alone, teaching.taught if teaching else None):
        if run is None:
            cells.append(Cell(ABSENT))
        else:
            mean = evidence.measured[run].auroc.macro().interval()
            cells.append(Cell(figure(mean.value) + (run.suffix if run.teacher else ""), span(mean)))
    return cells


def _published(network: str) -> list[Cell]:
    row = study.TABLE.get(network)
    if row is None:
        return [Cell(ABSENT)] * 4
    told = [" to ".join(figure(value) for value in values) for values in (row.alone, row.taught)]
    return [Cell(whole(row.parameters)), Cell(whole(row.macs)), *map(Cell, told)]


def _run_columns(evidence: Evidence) -> list[Column]:
    return [
        Column(f"{run.teacher}{run.suffix}", f"{run.network} taught by")
        if run.teacher
        else Column(f"{run.network}{run.suffix}", "Networks alone")
        for run in evidence.section.runs
    ]


def _gain_cell(evidence: Evidence, gain: Gain, index: int) -> Cell:
    resamples = len(evidence.measured[gain.teaching.taught].auroc.draws)
    notes = (span(gain.findings, index), p_value(gain.adjusted[index], resamples))
    return Cell(signed(gain.findings.value[index]), ", ".join(filter(None, notes)))


def _of(measured: Measured, metric: str) -> Bootstrapped:
    return measured.auroc if metric == metrics.AUROC else measured.average_precision


def _metric_column(name: str) -> Column:
    for where in (metrics.AT_STUDY_THRESHOLD, metrics.AT_OPERATING_THRESHOLD):
        if name.endswith(where):
            return Column(name.removesuffix(where).strip(), where[0].upper() + where[1:])
    return Column(name, "Of the probabilities")


def _bare(value: float, resamples: int) -> str:
    return p_value(float(value), resamples).removeprefix("p = ").removeprefix("p ") or ABSENT


def _fingerprint(value: object) -> Cell:
    return Cell(str(value)[:_SHORT], hint=str(value)) if value else Cell(ABSENT)


def _plain(value: object) -> Cell:
    return Cell(ABSENT if value is None else str(value))
