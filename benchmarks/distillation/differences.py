"""Differences between the arms in the mean AUROC, over patients and training seeds, as one JSON file."""

import hashlib
import json
from collections import defaultdict
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.distillation import data
from benchmarks.distillation.arms import DEFAULT, is_contender
from benchmarks.distillation.rates import at_best_rates
from benchmarks.distillation.regimes import Regime
from benchmarks.distillation.runs import NOISY, TRUE, VALIDATION, folder_of, read_results, with_regimes
from cxr14.data.image_lists import ImageList, read_list
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
_MEASURED = ("difference", "low", "high", "p", "findings that are worse")

Than = Literal["labels", "teacher", "default"]
"""What an arm is compared with: labels alone, its best teacher, the default way to teach by that one."""

Rates = Literal["equal", "best"]
"""At which learning rates: equal ones, or each arm at that which is best for it on validation."""


def write(work: Path, results: Path) -> Path:
    """Compare every arm of the student with labels alone and with its best teacher, in each regime: at equal
    learning rates, and each at its best one.

    An arm that could become the default is compared with it too. A difference of the same weights that the
    file already has is kept, also without their logits; one that needs logits that are not here is left out.
    Without the file all are computed again.

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
    wanted = [
        (regime, rates, name, pair)
        for (regime, rates), runs in by_regime.items()
        for name in (TRUE, NOISY)
        for pair in _pairs(runs, scored)
    ]
    path = results / FILE
    known = {row["weights"]: {key: row[key] for key in _MEASURED} for row in _read(path)}
    rows = []
    for regime, rates, name, pair in tqdm(wanted, desc="differences", unit="pair"):
        weights = _hash_of_weights(pair, name)
        if weights not in known:
            if not all(_logits_file(run, work).is_file() for run in pair.ours + pair.theirs):
                continue
            known[weights] = _compare(pair, _test_list(regime, work, name), work)
        rows.append(
            {
                **{"regime": asdict(regime), "rates": rates, "scored on": name},
                **{"arm": pair.arm, "than": pair.than},
                "learning rates": [pair.ours[0]["learning rate"], pair.theirs[0]["learning rate"]],
                "seeds": [run["seed"] for run in pair.ours],
                "weights": weights,
                **known[weights],
            }
        )
    with atomic_write(path) as part:
        part.write_text(json.dumps(rows, indent=1) + "\n")
    return path


def read_differences(results: Path, than: Than, rates: Rates = "equal") -> list[dict]:
    """Return the differences on the true labels from `than`."""
    names = {"labels": ["labels"], "teacher": NAMES, "default": [DEFAULT]}
    return with_regimes(
        [
            row
            for row in _read(results / FILE)
            if row["scored on"] == TRUE and row["rates"] == rates and row["than"] in names[than]
        ]
    )


class _Pair(NamedTuple):
    """Runs that are compared, seed by seed."""

    arm: str
    than: str
    ours: list[dict]
    theirs: list[dict]


def _read(path: Path) -> list[dict]:
    return json.loads(path.read_text()) if path.is_file() else []


def _pairs(runs: list[dict], scored: list[dict]) -> list[_Pair]:
    """Return what the arms of a regime are compared with."""
    students = defaultdict(dict)  # arm -> seed -> run
    for run in runs:
        if run["network"] == STUDENT:
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
        if best and is_contender(arm):
            ours = [by_seed[seed] for seed in sorted(by_seed)]
            pairs.append(_Pair(arm, best["network"], ours, [best] * len(ours)))  # one teacher for all seeds
    return pairs


def _best_teacher(student: dict, scored: list[dict]) -> dict | None:
    """Return the run of the teacher with the best validation AUROC; None without a teacher."""
    teachers = [run for run in scored if run["run"] in student["teachers"]]
    return max(teachers, key=lambda run: run[VALIDATION]["mean AUROC"], default=None)


def _hash_of_weights(pair: _Pair, name: str) -> str:
    """Return what identifies a comparison: a hash of the weights, in order, and of the labels' name."""
    words = [name, *(run["weights"] for run in pair.ours), "than", *(run["weights"] for run in pair.theirs)]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def _test_list(regime: Regime, work: Path, name: str) -> ImageList:
    lists = data.prepare(regime, work)
    return read_list({TRUE: lists.test_true, NOISY: lists.test}[name])


def _logits(runs: list[dict], work: Path) -> np.ndarray:
    """Return the test logits of runs, (S, N, 14)."""
    return np.stack([np.load(_logits_file(run, work))["test"] for run in runs])


def _logits_file(run: dict, work: Path) -> Path:
    return folder_of(run["run"], work) / "logits.npz"


def _compare(pair: _Pair, test: ImageList, work: Path) -> dict:
    """Return the figures of `_MEASURED`."""
    labels, patients = test.labels, np.array(test.patients)
    ours, theirs = (_logits(runs, work) for runs in (pair.ours, pair.theirs))
    if len(ours) > 1:
        found = seeded_difference(labels, ours, theirs, patients)
        ends, findings = found[:4], found.findings
    else:
        draws = Resamples(patients)
        both = [bootstrap_auroc(labels, scores[0], draws) for scores in (ours, theirs)]
        ends, findings = paired_difference(*(one.macro() for one in both)), paired_difference(*both)
    rounded = [round(float(end), 6) for end in ends]
    return dict(zip(_MEASURED, [*rounded, _worse(findings)], strict=True))


def _worse(findings: Difference) -> list[str]:
    """Return the findings whose AUROC is lower, after Holm's adjustment over all of them."""
    worse = (findings.value < 0) & (holm(findings.p_value) < LARGEST_P)
    return [FINDINGS[number] for number in np.flatnonzero(worse)]
