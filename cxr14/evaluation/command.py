"""The entry of every test script: a checkpoint and lists -> predictions on disk -> printed figures."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from cxr14.data.image_lists import ImageList, read_list, require_disjoint
from cxr14.data.images import open_images
from cxr14.data.kinds import KINDS
from cxr14.errors import InputError
from cxr14.evaluation import calibration, metrics
from cxr14.evaluation.predictions import PREDICTIONS_FILE, TEST, VALIDATION, Predictions
from cxr14.evaluation.scoring import METRICS_FILE, Scorer
from cxr14.files import atomic_write, fingerprint
from cxr14.models import checkpoint, profile, zoo
from cxr14.models.checkpoint import Checkpoint
from cxr14.runtime import devices
from cxr14.runtime.distributed import process_group
from cxr14.runtime.threads import use_threads
from cxr14.settings import TaughtTestSettings, TestSettings

# What the study prints, in its words, and the column of the metrics' table that holds it.
PRINTED = {
    "AUROC": metrics.AUROC,
    "Accuracy": f"accuracy {metrics.AT_STUDY_THRESHOLD}",
    "F1": f"F1 {metrics.AT_STUDY_THRESHOLD}",
}


def score(build_model: Callable[..., nn.Module], settings: TestSettings) -> None:
    """Score the checkpoint of one network: what test-model.py does.

    Args:
        build_model: builds the network, as that of a ``model.py`` does.
        settings: all of them.

    Raises:
        InputError: lists, radiographs, checkpoint or settings cannot be used.
    """
    _run(settings, build_model, settings.folder.name, None)


def score_student(settings: TaughtTestSettings) -> None:
    """Score the checkpoint of a distilled student: what the test-kd scripts do.

    Args:
        settings: all of them.

    Raises:
        InputError: lists, radiographs, checkpoint or settings cannot be used.
    """
    _run(settings, partial(zoo.build, settings.student), settings.student, settings.teacher)


def _run(
    settings: TestSettings, build_model: Callable[..., nn.Module], network: str, teacher: str | None
) -> None:
    calibration.require_rule(settings.threshold_rule, settings.target_sensitivity)
    use_threads(settings.threads)
    with process_group(settings.device) as group:
        val, test = read_list(settings.val_image_list), read_list(settings.test_image_list)
        require_disjoint(val, test)
        images = open_images(settings.data_dir)
        model, held = checkpoint.load(settings.ckpt_path, network, build_model)
        _require_teacher(held, teacher, settings.ckpt_path)
        _require_unseen(held, test)
        ask = Scorer(devices.place(model, group.device), images, held, settings, group)
        answers = {VALIDATION: ask(val, VALIDATION), TEST: ask(test, TEST)}
        if not group.is_main:
            return
        thresholds = calibration.choose_thresholds(
            answers[VALIDATION], settings.threshold_rule, settings.target_sensitivity
        )
        calibrations = calibration.fit_calibrations(answers[VALIDATION])
        chosen = {
            "thresholds": thresholds.tolist(),
            "calibrations": [dataclasses.asdict(each) for each in calibrations],
            "threshold_rule": settings.threshold_rule,
            "target_sensitivity": settings.target_sensitivity,
            "crops": settings.crops,
            "chosen_on": val.fingerprint,
        }
        _keep_in_checkpoint(settings.ckpt_path, held, chosen)
        about = {
            "kind": test.kind,
            "image_size": held.about.image_size,
            "device": devices.describe(group.device),
            "seed": held.about.seed,
            "epoch": held.about.epoch,
            "splits": held.about.splits,
            "settings": held.about.settings,
            "versions": held.about.versions,
            "history": _history(settings.ckpt_path),
            "parameters": profile.total_parameters(model),
            "macs": profile.macs(model.cpu(), held.about.image_size),
            "latency_seconds": profile.latency(model, held.about.image_size, seconds=1.0),
            **chosen,
        }
        for split, predictions in answers.items():
            path = settings.results_dir / PREDICTIONS_FILE.format(split=split)
            dataclasses.replace(
                predictions, about=about, checkpoint_fingerprint=fingerprint(settings.ckpt_path)
            ).save(path)
        _report(answers[TEST], test, thresholds, settings)


def _require_teacher(held: Checkpoint, teacher: str | None, path: Path) -> None:
    if held.about.teacher != teacher:
        raise InputError(
            f"{path} holds a network taught by {held.about.teacher or 'labels alone'}, but this script tests "
            f"one taught by {teacher or 'labels alone'}; give its checkpoint."
        )


def _require_unseen(held: Checkpoint, test: ImageList) -> None:
    """Refuse a test list with patients that the network learnt from, if its training list is still there."""
    learnt_from = Path(str(held.about.settings.get("train_image_list", "")))
    if learnt_from.is_file():
        train = read_list(learnt_from)
        if train.fingerprint == held.about.splits.get("train"):
            require_disjoint(train, test)


def _keep_in_checkpoint(path: Path, held: Checkpoint, chosen: dict[str, Any]) -> None:
    # A published file stays as it was published.
    if held.ours and held.about.extra.get("operating") != chosen:
        extra = held.about.extra | {"operating": chosen}
        checkpoint.save(path, held.weights, dataclasses.replace(held.about, extra=extra))


def _history(ckpt_path: Path) -> list[dict[str, Any]]:
    path = checkpoint.log_path(ckpt_path)
    return pd.read_csv(path).to_dict("records") if path.is_file() else []


def _report(
    predictions: Predictions, test: ImageList, thresholds: np.ndarray, settings: TestSettings
) -> None:
    table = metrics.table(predictions.labels, predictions.probabilities, thresholds)
    with atomic_write(settings.results_dir / METRICS_FILE) as aside:
        table.to_csv(aside)
    kind = KINDS[test.kind]
    print(f"{predictions.network} on {kind.counted(len(test))} of {test.path}, {settings.crops} crops")
    if kind.warning:
        print(f"Note: {kind.warning}.")
    for name, column in PRINTED.items():
        print("\n".join(spoken(name, table[column])))
    print(f"Predictions, figures and operating thresholds are kept in {settings.results_dir}")


def spoken(name: str, values: pd.Series) -> list[str]:
    """Return the study's lines for one figure: the average, then each finding.

    Args:
        name: how the study calls it.
        values: by finding; NaN where a finding has one class only.
    """
    mean, covered = metrics.macro(values.to_numpy())
    lines = [f"The average {name} is {mean:.3f} (over {covered} of {len(values)} findings)"]
    for finding, value in values.items():
        told = "undefined: the list lacks a class of it" if np.isnan(value) else f"{value:.3f}"
        lines.append(f"The {name} of {finding} is {told}")
    return lines
