"""The tables that tell about runs one by one: all figures, decisions, honesty of probabilities, origin."""

import numpy as np

from cxr14.evaluation import metrics
from cxr14.report.main_tables import FINDING, MEAN
from cxr14.report.results import RunResults, SectionResults
from cxr14.report.table import Cell, Column, Table
from cxr14.report.wording import ABSENT, figure, readable, span

_SHORT = 12  # digits of a fingerprint that tell files apart at a glance


def summary_table(results: SectionResults) -> Table:
    """Return the means over findings of every figure, a row a run."""
    operating = any(measured.chosen for measured in results.measured.values())
    names = [
        *metrics.OF_PROBABILITIES,
        *(f"{name} {metrics.AT_STUDY_THRESHOLD}" for name in ("accuracy", "F1")),
    ]
    if operating:
        names += [f"{name} {metrics.AT_OPERATING_THRESHOLD}" for name in metrics.OF_DECISIONS]
    rows = []
    for run, measured in results.measured.items():
        means = metrics.means(measured.figures).loc[metrics.MACRO]
        rows.append([Cell(run.name), *(Cell(figure(means.get(name, np.nan))) for name in names)])
    columns = [Column("Run", numeric=False), *(_metric_column(name) for name in names)]
    return Table(results.section.titled("Means over findings of all figures"), columns, rows)


def operating_table(results: SectionResults, measured: RunResults) -> Table:
    """Return one run's thresholds, chosen on validation, and its decisions on the test list."""
    chosen, run = measured.chosen, measured.run
    intervals = {name: each.interval() for name, each in chosen.decisions.items()}
    at_study = [f"{name} {metrics.AT_STUDY_THRESHOLD}" for name in ("accuracy", "F1")]
    rows = [
        [
            Cell(readable(finding)),
            Cell(figure(chosen.thresholds[index])),
            *(
                Cell(figure(intervals[name].value[index]), span(intervals[name], index))
                for name in ("sensitivity", "specificity")
            ),
            *(Cell(figure(intervals[name].value[index])) for name in ("accuracy", "F1")),
            *(Cell(figure(measured.figures.loc[finding, name])) for name in at_study),
        ]
        for index, finding in enumerate(run.test.findings)
    ]
    decided = [chosen.decisions[name].values for name in ("sensitivity", "specificity", "accuracy", "F1")]
    decided += [measured.figures[name] for name in at_study]
    rows.append([Cell(MEAN), Cell(""), *(Cell(figure(metrics.macro(values)[0])) for values in decided)])
    here, there = "At the operating threshold", f"At {metrics.STUDY_THRESHOLD}, the study's"
    return Table(
        results.section.titled(f"Decisions of {run.name}"),
        [
            FINDING,
            *(Column(head, here) for head in ("Threshold", "Sensitivity", "Specificity", "Accuracy", "F1")),
            *(Column(head, there) for head in ("Accuracy", "F1")),
        ],
        rows,
        means=1,
    )


def calibration_table(results: SectionResults) -> Table:
    """Return how honest probabilities are before and after the temperatures, means over findings."""
    rows = []
    for run, measured in results.measured.items():
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
        results.section.titled("Honesty of the probabilities"),
        [Column("Run", numeric=False), *columns],
        rows,
    )


def provenance_table(results: SectionResults) -> Table:
    """Return where each row of the report comes from."""
    heads = ("Run", "Data", "Test list", "Trained on", "Validated on", "Split", "Seed", "Epoch", "Loss")
    heads += ("Image, px", "Crops", "Latency", "Device", "Checkpoint", "Versions")
    rows = []
    for run in results.section.runs:
        versions = run.about("versions") or {}
        told = ", ".join(f"{name} {version}" for name, version in versions.items())
        latency = run.about("latency_seconds")
        rows.append(
            [
                Cell(run.name),
                Cell(results.section.kind),
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
                Cell(told or ABSENT),
            ]
        )
    numeric = {"Seed", "Epoch", "Image, px", "Crops", "Latency"}
    columns = [Column(head, numeric=head in numeric) for head in heads]
    return Table(results.section.titled("Where each row comes from"), columns, rows)


def _metric_column(name: str) -> Column:
    for where in (metrics.AT_STUDY_THRESHOLD, metrics.AT_OPERATING_THRESHOLD):
        if name.endswith(where):
            return Column(name.removesuffix(where).strip(), where[0].upper() + where[1:])
    return Column(name, "Of the probabilities")


def _fingerprint(value: object) -> Cell:
    return Cell(str(value)[:_SHORT], hint=str(value)) if value else Cell(ABSENT)


def _plain(value: object) -> Cell:
    return Cell(ABSENT if value is None else str(value))
