"""All results as plain numbers for other programs: comparison.csv."""

import pandas as pd

from cxr14.data.provenance import MAY_HAVE_SEEN_TEST_PATIENTS
from cxr14.evaluation import metrics
from cxr14.evaluation.bootstrap import Bootstrapped
from cxr14.report.results import Gain, SectionResults
from cxr14.report.runs import Arm, Run


def csv_table(results: SectionResults) -> pd.DataFrame:
    """Return a row for each run and finding, and one for the run's mean over findings.

    The columns hold AUROC and average precision with the ends of their intervals. The rows of a taught
    student also hold the AUROC of the same network alone, the paired difference with its interval, what else
    differs, and the p-value where nothing else does. Where an arm has several seeds, rows of its mean over
    seeds follow those of its runs, and these hold the difference.
    """
    gains = {gain.teaching.taught: gain for gain in results.gains}
    parts = []
    for arm in results.arms:
        is_single = len(arm.runs) == 1
        parts += [_run_rows(results, arm, run, gains.get(arm) if is_single else None) for run in arm.runs]
        if not is_single:
            parts.append(_arm_rows(results, arm, gains.get(arm)))
    return pd.concat(parts)


def _run_rows(results: SectionResults, arm: Arm, run: Run, gain: Gain | None) -> pd.DataFrame:
    measured = results.runs[run]
    origin = _origin(results, arm) | {
        "run": run.name,
        "seeds": 1,
        "seed": run.seed,
        "latency_seconds": run.about("latency_seconds"),
        "checkpoint": run.test.weights_hash,
        "threshold rule": run.threshold_rule if measured.validated else None,
        "target sensitivity": run.target_sensitivity,
    }
    means = metrics.means(measured.metrics).loc[[metrics.MACRO]]
    numbers = [pd.concat([measured.metrics, means]), _intervals(measured.bootstrapped, _rows(run))]
    return _joined(origin, numbers, gain, _rows(run))


def _arm_rows(results: SectionResults, arm: Arm, gain: Gain | None) -> pd.DataFrame:
    """Return the rows of the mean over seeds."""
    rows, bootstrapped = _rows(arm.runs[0]), results.arms[arm].bootstrapped
    values = {name: [*each.values, each.macro().values] for name, each in bootstrapped.items()}
    numbers = [pd.DataFrame(values, index=rows), _intervals(bootstrapped, rows)]
    return _joined(_origin(results, arm) | {"run": arm.name, "seeds": len(arm.runs)}, numbers, gain, rows)


def _rows(run: Run) -> pd.Index:
    return pd.Index([*run.test.findings, metrics.MACRO], name="finding")


def _joined(
    origin: dict[str, object], numbers: list[pd.DataFrame], gain: Gain | None, rows: pd.Index
) -> pd.DataFrame:
    columns = [pd.DataFrame(origin, index=rows), *numbers]
    columns += [_differences(gain, rows)] if gain else []
    return pd.concat(columns, axis=1).rename_axis("finding").reset_index()


def _origin(results: SectionResults, arm: Arm) -> dict[str, object]:
    run, section = arm.runs[0], results.section
    is_marked = MAY_HAVE_SEEN_TEST_PATIENTS in section.mark
    return {
        "test_list": section.fingerprint,
        "data": section.kind,
        "caution": MAY_HAVE_SEEN_TEST_PATIENTS if is_marked else None,
        "arm": arm.name,
        "network": run.test.network,
        "teacher": run.test.teacher,
        "parameters": run.about("parameters"),
        "MACs": run.about("macs"),
    }


def _intervals(bootstrapped: dict[str, Bootstrapped], rows: pd.Index) -> pd.DataFrame:
    columns = {}
    for name, each in bootstrapped.items():
        interval, mean = each.interval(), each.macro().interval()
        columns[f"{name} low"] = [*interval.low, mean.low]
        columns[f"{name} high"] = [*interval.high, mean.high]
    return pd.DataFrame(columns, index=rows)


def _differences(gain: Gain, rows: pd.Index) -> pd.DataFrame:
    columns = {f"{metrics.AUROC} alone": [*gain.alone.values, gain.alone.macro().values]}
    for end in gain.findings._fields:
        columns[f"difference {end}"] = [*getattr(gain.findings, end), getattr(gain.macro, end)]
    columns["differs also in"] = "; ".join(gain.teaching.differences)
    return pd.DataFrame(columns, index=rows)
