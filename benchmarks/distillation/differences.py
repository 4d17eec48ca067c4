"""Differences between the arms in the mean AUROC, over patients and training seeds, as one JSON file."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.distillation import data
from benchmarks.distillation.regimes import Regime
from benchmarks.distillation.runs import NOISY, TRUE, VALIDATION, read_results
from cxr14.data.image_lists import read_list
from cxr14.evaluation.bootstrap import bootstrap_auroc, paired_difference
from cxr14.evaluation.intervals import Difference, holm
from cxr14.evaluation.resamples import Resamples
from cxr14.evaluation.seeds import seeded_difference
from cxr14.files import atomic_write
from cxr14.findings import FINDINGS
from cxr14.settings import STUDENT

FILE = "differences.json"
LARGEST_P = 0.05


def write(work: Path, results: Path) -> Path:
    """Compare every arm of the student with labels alone, and with its best teacher, in each regime.

    Args:
        work: folder with the logits of the runs.
        results: folder of the JSON files, which gets another one.

    Returns:
        Its path.
    """
    scored = read_results(results)
    by_regime = defaultdict(list)
    for run in scored:
        if (work / "runs" / run["run"] / "logits.npz").is_file():
            by_regime[json.dumps(run["regime"])].append(run)
    rows = []
    for regime, runs in by_regime.items():
        lists = data.prepare(Regime(**json.loads(regime)), work)
        for name, path in ((TRUE, lists.test_true), (NOISY, lists.test)):
            test = read_list(path)
            rows += [
                {"regime": json.loads(regime), "scored on": name, **row}
                for row in _rows(runs, scored, test.labels, np.array(test.patients), work)
            ]
    path = results / FILE
    with atomic_write(path) as part:
        part.write_text(json.dumps(rows, indent=1) + "\n")
    return path


def read_differences(results: Path, than_labels: bool = True) -> list[dict]:
    """Return the differences on the true labels, from labels alone or else from the best teacher."""
    path = results / FILE
    rows = json.loads(path.read_text()) if path.is_file() else []
    return [row for row in rows if row["scored on"] == TRUE and (row["than"] == "labels") == than_labels]


def _rows(
    runs: list[dict], scored: list[dict], labels: np.ndarray, patients: np.ndarray, work: Path
) -> list[dict]:
    students = defaultdict(dict)  # arm -> seed -> run
    for run in runs:
        if run["network"] == STUDENT:
            students[run["arm"]][run["seed"]] = run
    rows = []
    for arm, by_seed in students.items():
        alone = students.get("labels", {})
        seeds = sorted(by_seed.keys() & alone.keys())
        if arm == "labels" or not seeds:
            continue
        ours = _logits([by_seed[seed] for seed in seeds], work)
        rows.append(
            {
                "arm": arm,
                "than": "labels",
                "seeds": seeds,
                **_compare(labels, ours, _logits([alone[seed] for seed in seeds], work), patients),
            }
        )
        teachers = [run for run in scored if run["run"] in by_seed[seeds[0]]["teachers"]]
        if not teachers or arm.startswith("control"):
            continue
        best = max(teachers, key=lambda run: run[VALIDATION]["mean AUROC"])
        if (work / "runs" / best["run"] / "logits.npz").is_file():
            theirs = np.repeat(_logits([best], work), len(seeds), axis=0)  # one teacher for all seeds
            than = {"arm": arm, "than": best["network"], "seeds": seeds}
            rows.append({**than, **_compare(labels, ours, theirs, patients)})
    return rows


def _logits(runs: list[dict], work: Path) -> np.ndarray:
    """Return the test logits of runs, (S, N, 14)."""
    return np.stack([np.load(work / "runs" / run["run"] / "logits.npz")["test"] for run in runs])


def _compare(labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray, patients: np.ndarray) -> dict:
    if len(ours) > 1:
        found = seeded_difference(labels, ours, theirs, patients)
        ends, findings = found[:4], found.findings
    else:
        draws = Resamples(patients)
        pair = [bootstrap_auroc(labels, scores[0], draws) for scores in (ours, theirs)]
        ends, findings = paired_difference(*(one.macro() for one in pair)), paired_difference(*pair)
    rounded = dict(
        zip(("difference", "low", "high", "p"), (round(float(end), 6) for end in ends), strict=True)
    )
    return {**rounded, "findings that are worse": _worse(findings)}


def _worse(findings: Difference) -> list[str]:
    """Return the findings whose AUROC is lower, after Holm's adjustment over all of them."""
    worse = (findings.value < 0) & (holm(findings.p_value) < LARGEST_P)
    return [FINDINGS[number] for number in np.flatnonzero(worse)]
