"""All runs side by side: what each network reaches alone, and what EEEA-Net-C2 reaches when taught by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from cxr14 import metrics
from cxr14.errors import InputError, spoken_errors
from cxr14.files import written_aside
from cxr14.predictions import Predictions
from cxr14.settings import STUDENT, from_script

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # after the choice of a backend that needs no screen

ALONE, TAUGHT = "AUROC alone", f"AUROC of {STUDENT[2:]} taught by it"


@dataclass(kw_only=True)
class CompareSettings:
    """What compare-results.py can be told."""

    results_dir: Path
    """Folder below which the test scripts left their predictions; the comparison is written into it."""


def main(script: Mapping[str, Any]) -> None:
    """Compare all results, as the constants of `script` and the command line say."""
    with spoken_errors():
        settings = from_script(CompareSettings, script)
        for number, runs in enumerate(by_list(read_runs(settings.results_dir)), start=1):
            # Lists of other radiographs get tables of their own: figures across them say nothing.
            stem = settings.results_dir / ("comparison" if number == 1 else f"comparison-{number}")
            _write(runs, stem)


def read_runs(results_dir: Path) -> list[Predictions]:
    """Return the test predictions of every run below `results_dir`, networks first, then taught students.

    Raises:
        InputError: there are none.
    """
    runs = [Predictions.load(path) for path in sorted(results_dir.rglob("predictions-test.npz"))]
    if not runs:
        raise InputError(f"there are no predictions below {results_dir}; run a stage's test-model.py first.")
    return sorted(runs, key=lambda run: (run.teacher is not None, run.teacher or "", run.network))


def by_list(runs: list[Predictions]) -> list[list[Predictions]]:
    """Group runs by the image list they answered, the list with most runs first."""
    groups: dict[str, list[Predictions]] = {}
    for run in runs:
        groups.setdefault(run.list_fingerprint, []).append(run)
    return sorted(groups.values(), key=len, reverse=True)


def name_of(run: Predictions) -> str:
    """Return a run's name as tables show it: the network, or the student and who taught it."""
    name = run.network[2:]
    return f"{name} taught by {run.teacher[2:]}" if run.teacher else name


def title_of(runs: list[Predictions]) -> str:
    """Return what the runs were tested on, with its worth."""
    count, kind = len(runs[0].names), runs[0].about["kind"]
    worth = {
        "synthetic": f"SYNTHETIC data: {count:,} phantoms, no clinical meaning",
        "tiny": f"TINY data: {count:,} radiographs, too few for a figure to mean much",
        "real": f"{count:,} radiographs",
    }[kind]
    return f"Test AUROC on {worth}"


def summary(runs: list[Predictions]) -> pd.DataFrame:
    """Return the study's table: a row a network, its size, its AUROC alone and after teaching EEEA-Net-C2."""
    rows: dict[str, dict[str, Any]] = {}
    for run in runs:
        row = rows.setdefault((run.teacher or run.network)[2:], {})
        mean, covered = metrics.macro(metrics.auroc(run.labels, run.probabilities))
        row[TAUGHT if run.teacher else ALONE] = round(mean, 4)
        row["findings covered"] = covered
        if not run.teacher:
            row |= {"parameters": run.about["parameters"], "MACs": int(run.about["macs"])}
    columns = ["parameters", "MACs", ALONE, TAUGHT, "findings covered"]
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=columns)
    table = table.astype({"parameters": "Int64", "MACs": "Int64"})
    return table.rename_axis("network")


def per_finding(runs: list[Predictions]) -> pd.DataFrame:
    """Return the AUROC of each finding, a column a run, and the mean in the last row."""
    columns = {
        name_of(run): pd.Series(metrics.auroc(run.labels, run.probabilities), index=list(run.findings))
        for run in runs
    }
    table = pd.DataFrame(columns).round(4)
    table.loc["mean"] = table.mean()
    return table.rename_axis("finding")


def figure(runs: list[Predictions], path: Path) -> None:
    """Draw each finding's AUROC before and after teaching, and the teachers' own, as a PNG."""
    table = per_finding(runs)
    rows = np.arange(len(table))[::-1]
    colours = plt.get_cmap("tab10").colors
    fig, axes = plt.subplots(figsize=(9, 6.5), constrained_layout=True)
    taught = [run for run in runs if run.teacher]
    teachers = [run for run in runs if not run.teacher and run.network != STUDENT]
    student = STUDENT[2:]
    for number, run in enumerate(taught):
        shift = 0.12 * (number - (len(taught) - 1) / 2)
        after = table[name_of(run)]
        if student in table:
            axes.hlines(rows + shift, table[student], after, color=colours[number], linewidth=2, alpha=0.6)
        label = f"{student} taught by {run.teacher[2:]}: mean {after['mean']:.3f}"
        axes.scatter(after, rows + shift, color=colours[number], s=42, zorder=3, label=label)
    for run in teachers:
        own = table[name_of(run)]
        label = f"{name_of(run)} itself: mean {own['mean']:.3f}"
        axes.scatter(own, rows, marker="|", s=160, color="black", alpha=0.7, zorder=2, label=label)
    if student in table:
        before = table[student]
        label = f"{student} alone: mean {before['mean']:.3f}"
        axes.scatter(before, rows, s=42, facecolor="white", edgecolor="black", zorder=4, label=label)
    axes.axhline(0.5, color="0.7", linewidth=0.8)
    axes.set_yticks(rows, [name.replace("_", " ") for name in table.index])
    axes.set_xlabel("AUROC")
    axes.grid(axis="x", color="0.9")
    axes.set_title(title_of(runs))
    fig.legend(loc="outside lower center", frameon=False, ncols=2, fontsize=9)
    with written_aside(path) as aside:
        fig.savefig(aside, dpi=150, format="png")
    plt.close(fig)


def _write(runs: list[Predictions], stem: Path) -> None:
    study, findings, title = summary(runs), per_finding(runs), title_of(runs)
    print(f"\n{title}\n\n{study.to_string()}\n\n{findings.to_string(na_rep='undefined')}\n")
    with written_aside(stem.with_suffix(".csv")) as aside:
        findings.T.rename_axis("network").to_csv(aside)
    with written_aside(stem.with_suffix(".md")) as aside:
        tables = (study.reset_index(), findings.reset_index())
        aside.write_text("\n\n".join([f"# {title}", *(_markdown(table) for table in tables)]) + "\n")
    figure(runs, stem.with_suffix(".png"))
    print(f"Tables and figure are in {stem}.csv, .md and .png")


def _markdown(table: pd.DataFrame) -> str:
    lines = [list(table.columns), ["---"] * len(table.columns)]
    lines += [[_spelled(value) for value in row] for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _spelled(value: Any) -> str:
    if pd.isna(value):
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)
