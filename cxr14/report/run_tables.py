"""The tables with a row for each run: all metrics, decisions, calibration, origin."""

from typing import get_args

import numpy as np

from cxr14.evaluation import metrics
from cxr14.evaluation.calibration import Method
from cxr14.report.formatting import ABSENT, figure, readable, rule_text, span
from cxr14.report.main_tables import FINDING, MEAN
from cxr14.report.results import RunResults, SectionResults
from cxr14.report.runs import Run
from cxr14.report.table import Cell, Column, Table

_SHORT = 12  # digits of a fingerprint that tell files apart at a glance


def summary_table(results: SectionResults) -> Table:
    """Return the means over findings of all metrics, a row for each run."""
    names = [
        *metrics.OF_PROBABILITIES,
        *(f"{name} {metrics.AT_STUDY_THRESHOLD}" for name in ("accuracy", "F1")),
    ]
    has_thresholds = any(measured.validated for measured in results.runs.values())
    if has_thresholds:
        names += [f"{name} {metrics.AT_OPERATING_THRESHOLD}" for name in metrics.OF_DECISIONS]
    rows = []
    for run, measured in results.runs.items():
        means = metrics.means(measured.metrics).loc[metrics.MACRO]
        cells = [Cell(run.name), *(Cell(figure(means.get(name, np.nan))) for name in names)]
        rows.append(cells + ([Cell(_rule(measured))] if has_thresholds else []))
    columns = [Column("Run", numeric=False), *(_metric_column(name) for name in names)]
    columns += [Column("Threshold rule", numeric=False)] if has_thresholds else []
    return Table(results.section.titled("Means over findings of all metrics"), columns, rows)


def operating_table(results: SectionResults, measured: RunResults) -> Table:
    """Return one run's thresholds, chosen on validation by its rule, and its decisions on the test list."""
    validated, run = measured.validated, measured.run
    intervals = {name: each.interval() for name, each in validated.decisions.items()}
    at_study = [f"{name} {metrics.AT_STUDY_THRESHOLD}" for name in ("accuracy", "F1")]
    rows = [
        [
            Cell(readable(finding)),
            Cell(figure(validated.thresholds[index])),
            *(
                Cell(figure(intervals[name].value[index]), span(intervals[name], index))
                for name in ("sensitivity", "specificity")
            ),
            *(Cell(figure(intervals[name].value[index])) for name in ("accuracy", "F1")),
            *(Cell(figure(measured.metrics.loc[finding, name])) for name in at_study),
        ]
        for index, finding in enumerate(run.test.findings)
    ]
    columns = [validated.decisions[name].values for name in ("sensitivity", "specificity", "accuracy", "F1")]
    columns += [measured.metrics[name] for name in at_study]
    rows.append([Cell(MEAN), Cell(""), *(Cell(figure(metrics.macro(values)[0])) for values in columns)])
    here, there = (
        f"At the operating threshold ({_rule(measured)})",
        f"At {metrics.STUDY_THRESHOLD}, the study’s",
    )
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
    """Return calibration errors before and after calibration, means over findings, and the methods chosen."""
    rows = []
    for run, measured in results.runs.items():
        if measured.validated is None:
            continue
        cells = [Cell(run.name)]
        for metric in (metrics.expected_calibration_error, metrics.brier):
            for probabilities in (run.test.probabilities, measured.validated.calibrated):
                cells.append(Cell(figure(metrics.macro(metric(run.test.labels, probabilities))[0], 4)))
        methods = [each.method for each in measured.validated.calibrations]
        rows.append(cells + [Cell(str(methods.count(method))) for method in get_args(Method)])
    columns = [
        Column(head, group)
        for group in ("Expected calibration error", "Brier score")
        for head in ("before", "after")
    ]
    columns += [Column(method, "Findings calibrated by") for method in get_args(Method)]
    return Table(
        results.section.titled("Calibration of the probabilities"),
        [Column("Run", numeric=False), *columns],
        rows,
    )


def provenance_table(results: SectionResults) -> Table:
    """Return data, settings, device and software of each run."""
    heads = ("Run", "Data", "Test list", "Trained on", "Validated on", "Split", "Seed", "Epoch", "Loss")
    heads += ("Image, px", "Crops", "Latency", "Device", "Checkpoint", "Versions", "Unknown origin")
    rows = []
    for run in results.section.runs:
        versions = run.about("versions") or {}
        latency = run.about("latency_seconds")
        labels_alone = None if run.teacher else "labels alone"
        rows.append(
            [
                Cell(run.name),
                Cell(results.section.kind),
                _fingerprint(run.test.list_fingerprint),
                _fingerprint(run.about("splits", "train")),
                _fingerprint(run.about("splits", "val")),
                Cell(run.test.split),
                _plain(run.seed),
                _epoch(run),
                _plain(run.about("settings", "distill_loss") or labels_alone),
                _plain(run.about("image_size")),
                _plain(run.about("crops")),
                Cell(f"{1e3 * latency:.1f} ms" if latency else ABSENT),
                _plain(run.about("device")),
                _fingerprint(run.test.weights_hash),
                Cell(", ".join(f"{name} {version}" for name, version in versions.items()) or ABSENT),
                Cell(", ".join(map(str, run.about("unknown_origin") or [])) or ABSENT),
            ]
        )
    numeric = {"Seed", "Epoch", "Image, px", "Crops", "Latency"}
    columns = [Column(head, numeric=head in numeric) for head in heads]
    return Table(results.section.titled("Origin of each row"), columns, rows)


def _rule(measured: RunResults) -> str:
    run = measured.run
    return rule_text(run.threshold_rule, run.target_sensitivity) if measured.validated else ABSENT


def _epoch(run: Run) -> Cell:
    """Return the epoch that was kept, of how many, and whether validation AUROC was still rising then."""
    epoch, epochs = run.about("epoch"), len(run.validation_auroc)
    text = ABSENT if epoch is None else f"{epoch} of {epochs}" if epochs else str(epoch)
    return Cell(text, "still rising" if run.is_rising else "")


def _metric_column(name: str) -> Column:
    for where in (metrics.AT_STUDY_THRESHOLD, metrics.AT_OPERATING_THRESHOLD):
        if name.endswith(where):
            return Column(name.removesuffix(where).strip(), where[0].upper() + where[1:])
    return Column(name, "Of the probabilities")


def _fingerprint(value: object) -> Cell:
    return Cell(str(value)[:_SHORT], hint=str(value)) if value else Cell(ABSENT)


def _plain(value: object) -> Cell:
    return Cell(ABSENT if value is None else str(value))
