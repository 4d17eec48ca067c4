"""Differences between the arms in the mean AUROC, over patients and training seeds, as one JSON file."""

import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from benchmarks.distillation import data
from benchmarks.distillation.arms import DEFAULT, is_contender
from benchmarks.distillation.rates import at_best_rates
from benchmarks.distillation.runs import NOISY, TRUE, VALIDATION, read_results, with_regimes
from cxr14.data.image_lists import read_list
from cxr14.evaluation.bootstrap import bootstrap_auroc, paired_difference
from cxr14.evaluation.intervals import Difference, holm
from cxr14.evaluation.resamples import Resamples
from cxr14.evaluation.seeds import seeded_difference
from cxr14.files import atomic_write
from cxr14.findings import FINDINGS
from cxr14.models.zoo import NAMES
from cxr14.settings import STUDENT

FILE = "differences.json"
LARGEST_P = 0.05

Than = Literal["labels", "teacher", "default"]
"""What an arm is compared with: labels alone, its best teacher, the default way to teach by that one."""

Rates = Literal["equal", "best"]
"""At which learning rates: equal ones, or each arm at that which is best for it on validation."""


def write(work: Path, results: Path) -> Path:
    """Compare every arm of the student with labels alone and with its best teacher, in each regime: at equal
    learning rates, and each at its best one.

    An arm that could become the default is compared with it too.

    Args:
        work: folder with the logits of the runs.
        results: folder of the JSON files, which gets another one.

    Returns:
        Its path.
    """
    scored = read_results(results)
    by_regime = defaultdict(list)  # (regime, rates) -> runs
    for rates, runs in (("equal", scored), ("best", at_best_rates(scored))):
        for run in runs:
            by_regime[run["regime"], rates].append(run)
    rows = []
    for (regime, rates), runs in by_regime.items():
        pairs = _pairs(runs, scored, work)
        if not pairs:  # its radiographs may not be here either
            continue
        lists = data.prepare(regime, work)
        for name, path in ((TRUE, lists.test_true), (NOISY, lists.test)):
            test = read_list(path)
            patients = np.array(test.patients)
            rows += [
                {
                    **{"regime": asdict(regime), "rates": rates, "scored on": name},
                    **{"arm": pair.arm, "than": pair.than},
                    "learning rates": [pair.ours[0]["learning rate"], pair.theirs[0]["learning rate"]],
                    "seeds": [run["seed"] for run in pair.ours],
                    **_compare(test.labels, _logits(pair.ours, work), _logits(pair.theirs, work), patients),
                }
                for pair in pairs
            ]
    path = results / FILE
    with atomic_write(path) as part:
        part.write_text(json.dumps(rows, indent=1) + "\n")
    return path


def read_differences(results: Path, than: Than, rates: Rates = "equal") -> list[dict]:
    """Return the differences on the true labels from `than`."""
    path = results / FILE
    rows = json.loads(path.read_text()) if path.is_file() else []
    names = {"labels": ["labels"], "teacher": NAMES, "default": [DEFAULT]}
    return with_regimes(
        [
            row
            for row in rows
            if row["scored on"] == TRUE and row["rates"] == rates and row["than"] in names[than]
        ]
    )


class _Pair(NamedTuple):
    """Runs that are compared, seed by seed."""

    arm: str
    than: str
    ours: list[dict]
    theirs: list[dict]


def _pairs(runs: list[dict], scored: list[dict], work: Path) -> list[_Pair]:
    """Return what the arms of a regime are compared with, as far as their logits are there."""
    students = defaultdict(dict)  # arm -> seed -> run
    for run in runs:
        if run["network"] == STUDENT and _logits_file(run, work).is_file():
            students[run["arm"]][run["seed"]] = run
    pairs = []
    for arm, by_seed in students.items():
        if arm == "labels":
            continue
        taught = next(iter(by_seed.values()))
        others = ["labels"]
        others += [DEFAULT] if is_contender(arm) and arm != DEFAULT else []
        for than in others:
            seeds = sorted(by_seed.keys() & students.get(than, {}).keys())
            if seeds:
                ours, theirs = ([of[seed] for seed in seeds] for of in (by_seed, students[than]))
                pairs.append(_Pair(arm, than, ours, theirs))
        best = _best_teacher(taught, scored)
        if best and is_contender(arm) and _logits_file(best, work).is_file():
            ours = [by_seed[seed] for seed in sorted(by_seed)]
            pairs.append(_Pair(arm, best["network"], ours, [best] * len(ours)))  # one teacher for all seeds
    return pairs


def _best_teacher(student: dict, scored: list[dict]) -> dict | None:
    """Return the run of the teacher with the best validation AUROC; None without a teacher."""
    teachers = [run for run in scored if run["run"] in student["teachers"]]
    return max(teachers, key=lambda run: run[VALIDATION]["mean AUROC"], default=None)


def _logits(runs: list[dict], work: Path) -> np.ndarray:
    """Return the test logits of runs, (S, N, 14)."""
    return np.stack([np.load(_logits_file(run, work))["test"] for run in runs])


def _logits_file(run: dict, work: Path) -> Path:
    return work / "runs" / run["run"] / "logits.npz"


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
