"""Reading of all saved predictions below a folder, and their checks."""

import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path

import numpy as np

from cxr14.data.kinds import KINDS
from cxr14.errors import InputError
from cxr14.evaluation.calibration import require_rule
from cxr14.evaluation.predictions import (
    PREDICTIONS_FILE,
    TEST,
    VALIDATION,
    Predictions,
    require_same_radiographs,
)
from cxr14.files import find_files
from cxr14.report import arms
from cxr14.report.conditions import Trainings, compare
from cxr14.report.runs import Arm, Run, Section

# What predictions record, and of which type; only the first three are required.
_RECORDED: dict[str, type | tuple[type, ...]] = {
    "kind": str,
    "parameters": int,
    "macs": int,
    "latency_seconds": Real,
    "image_size": int,
    "crops": int,
    "seed": int,
    "epoch": int,
    "threshold_rule": str,
    "target_sensitivity": Real,
    "device": str,
    "splits": dict,
    "settings": dict,
    "versions": dict,
    "history": list,
    "unknown_origin": list,
}
_TEXT_SETTINGS = ("distill_loss", "ckpt_path", "teacher_ckpt_path", "student_ckpt_path", "init_checkpoint")
_TEXTS = ("splits", "versions", "unknown_origin")
_MOST_EPOCHS = 1e9
_REQUIRED = ("kind", "parameters", "macs")


def read_sections(results_dir: Path) -> list[Section]:
    """Return all runs below a folder, a section for each test list, the section with most runs first.

    Raises:
        InputError: there are no predictions, or a file is damaged or lacks what the report needs.
    """
    paths = find_files(results_dir, PREDICTIONS_FILE.format(split=TEST))
    if not paths:
        raise InputError(f"there are no predictions below {results_dir}; run a stage's test-model.py first.")
    by_list: dict[str, list[tuple[Run, str]]] = {}
    for path in paths:
        run, why_not = _read(path)
        by_list.setdefault(run.test.list_fingerprint, []).append((run, why_not))
    sections = [_section(runs) for runs in by_list.values()]
    return sorted(sections, key=lambda section: len(section.runs), reverse=True)


def _read(path: Path) -> tuple[Run, str]:
    """Return a run, and why its validation list cannot be used, if so."""
    test = _load(path, TEST)
    beside = path.with_name(PREDICTIONS_FILE.format(split=VALIDATION))
    val = _load(beside, VALIDATION) if beside.is_file() else None
    why_not = _why_not(val, test)
    return Run(path.parent, test, None if why_not else val), why_not


def _load(path: Path, split: str) -> Predictions:
    predictions = Predictions.load(path)
    problem = _problem(predictions, split)
    if problem:
        raise InputError(f"{path} {problem}; run the stage's test script again.")
    return predictions


def _problem(predictions: Predictions, split: str) -> str:
    """Return what is wrong with a file of predictions, if anything is."""
    about = predictions.about
    if predictions.split != split:
        return f"holds predictions of the {predictions.split} list"
    if predictions.probabilities.min() < 0 or predictions.probabilities.max() > 1:
        return "holds a probability outside 0 to 1"
    if not isinstance(about, Mapping):
        return "records nothing about its run"
    missing = [key for key in _REQUIRED if about.get(key) is None]
    if missing:
        return f"does not record {' and '.join(missing)}"
    for key, kind in _RECORDED.items():
        value = about.get(key)
        is_number = isinstance(value, Real) and not isinstance(value, str)
        if value is not None and (not isinstance(value, kind) or (is_number and not math.isfinite(value))):
            return f"records {key} as {value!r}"
    if about["parameters"] <= 0 or about["macs"] <= 0:
        return "records that the network has no parameters or no MACs"
    if (about.get("latency_seconds") or 1) <= 0:
        return "records a latency below zero"
    for key in _TEXTS:
        values = about.get(key) or []
        values = values.values() if isinstance(values, Mapping) else values
        if not all(isinstance(value, str) for value in values):
            return f"records {key} that are not text"
    if about["kind"] not in KINDS:
        return f"records the kind {about['kind']!r}, which is not one of {', '.join(KINDS)}"
    return (
        _settings_problem(about.get("settings") or {})
        or _history_problem(about.get("history") or [])
        or _rule_problem(about)
    )


def _settings_problem(settings: Mapping[str, object]) -> str:
    for name in _TEXT_SETTINGS:
        if not isinstance(settings.get(name) or "", str):
            return f"records the setting {name} as {settings[name]!r}"
    if not isinstance(settings.get("num_epochs") or 0, int):
        return f"records the setting num_epochs as {settings['num_epochs']!r}"
    return ""


def _history_problem(history: list[object]) -> str:
    for row in history:
        values = row.values() if isinstance(row, Mapping) else [None]
        if not (isinstance(row, Mapping) and isinstance(row.get("epoch"), Real)):
            return "records a training history without epochs"
        if not all(value is None or isinstance(value, Real) for value in values):
            return "records a training history that is not all numbers"
        if not 0 < row["epoch"] < _MOST_EPOCHS or any(map(math.isinf, filter(None, values))):
            return "records a training history with impossible numbers"
    return ""


def _rule_problem(about: Mapping[str, object]) -> str:
    try:
        require_rule(about.get("threshold_rule") or "youden", about.get("target_sensitivity"))
    except InputError as error:
        return f"records a threshold rule that cannot be used: {str(error).rstrip('.')}"
    return ""


def _why_not(val: Predictions | None, test: Predictions) -> str:
    """Return why nothing may be chosen on `val` for `test`, or nothing."""
    if val is None:
        return "no predictions of a validation list, so no operating thresholds and no calibration."
    if val.weights_hash != test.weights_hash or val.findings != test.findings:
        return (
            "its predictions of the validation list come from another checkpoint and are left out; run its "
            "test script again."
        )
    if np.isin(val.patients, test.patients).any():
        return (
            "its validation list shares patients with the test list and is left out: thresholds chosen on it "
            "would make the test results look better than they are."
        )
    return ""


def _section(read: list[tuple[Run, str]]) -> Section:
    runs = [run for run, _ in read]
    for run in runs[1:]:
        require_same_radiographs(runs[0].test, run.test)
    found = arms.group(runs, Trainings(runs))
    named = [run for arm in found for run in arm.runs]
    names = {run.folder: run.name for run in named}
    trainings = Trainings(named)
    teachings = tuple(compare(arm, found, trainings) for arm in found if arm.teacher is not None)
    cautions = [f"{names[run.folder]}: {why_not}" for run, why_not in read if why_not]
    return Section(found, teachings, (*_unknown_origins(found), *cautions))


def _unknown_origins(found: tuple[Arm, ...]) -> list[str]:
    cautions = []
    for arm in found:
        origins = dict.fromkeys(str(name) for run in arm.runs for name in run.about("unknown_origin") or [])
        if origins:
            cautions.append(
                f"{arm.name} may have seen test patients: it is not known on which patients "
                f"{', '.join(origins)} was trained."
            )
    return cautions
