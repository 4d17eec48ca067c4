"""Every figure as plain numbers, for other programs: comparison.csv."""

import pandas as pd

from cxr14.evaluation import metrics
from cxr14.report.results import Gain, RunResults, SectionResults


def csv_table(results: SectionResults) -> pd.DataFrame:
    """Return a row for each run and finding, and one for the run's mean over findings.

    Beside AUROC and average precision stand the ends of their intervals; beside a taught student's AUROC that
    of the same network alone, and the paired difference with its interval and p-value.
    """
    gains = {gain.teaching.taught: gain for gain in results.gains}
    return pd.concat(
        [
            pd.concat(
                [_origin(results, measured), _figures(measured), _gain(results, gains.get(run))], axis=1
            ).reset_index(drop=True)
            for run, measured in results.measured.items()
        ]
    )


def _rows(measured: RunResults) -> pd.Index:
    return pd.Index([*measured.run.test.findings, metrics.MACRO], name="finding")


def _origin(results: SectionResults, measured: RunResults) -> pd.DataFrame:
    run = measured.run
    origin = {
        "test_list": run.test.list_fingerprint,
        "data": results.section.kind,
        "run": run.name,
        "network": run.test.network,
        "teacher": run.test.teacher,
        "parameters": run.about("parameters"),
        "MACs": run.about("macs"),
        "latency_seconds": run.about("latency_seconds"),
        "seed": run.about("seed"),
        "checkpoint": run.test.checkpoint_fingerprint,
    }
    rows = _rows(measured)
    return pd.DataFrame(origin | {rows.name: rows}, index=rows)


def _figures(measured: RunResults) -> pd.DataFrame:
    figures = pd.concat([measured.figures, metrics.means(measured.figures).loc[[metrics.MACRO]]])
    for name, bootstrapped in measured.bootstrapped.items():
        interval, mean = bootstrapped.interval(), bootstrapped.macro().interval()
        figures[f"{name} low"] = [*interval.low, mean.low]
        figures[f"{name} high"] = [*interval.high, mean.high]
    return figures


def _gain(results: SectionResults, gain: Gain | None) -> pd.DataFrame:
    if gain is None:
        return pd.DataFrame()
    alone = results.measured[gain.teaching.alone]
    columns = {f"{metrics.AUROC} alone": [*alone.auroc.values, alone.auroc.macro().values]}
    for end in gain.findings._fields:
        columns[f"difference {end}"] = [*getattr(gain.findings, end), getattr(gain.macro, end)]
    return pd.DataFrame(columns, index=_rows(alone))
