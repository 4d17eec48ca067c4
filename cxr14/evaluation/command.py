"""The entry of the test scripts."""

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from torch import nn

from cxr14 import processes
from cxr14.data import provenance
from cxr14.data.image_lists import ImageList, read_list, require_disjoint
from cxr14.data.images import open_images
from cxr14.data.kinds import KINDS
from cxr14.data.preload import preload
from cxr14.errors import InputError
from cxr14.evaluation import calibration, inference, metrics
from cxr14.evaluation.history import read_history
from cxr14.evaluation.predictions import TEST, VALIDATION, Predictions
from cxr14.evaluation.results import (
    METRICS_FILE,
    Results,
    choose_operating_points,
    find_contradictions,
    metrics_table,
    read_metrics,
)
from cxr14.files import exclusive
from cxr14.models import checkpoint, profile, zoo
from cxr14.models.checkpoint import Checkpoint
from cxr14.runtime import devices
from cxr14.runtime.distributed import ProcessGroup, process_group
from cxr14.runtime.threads import use_threads
from cxr14.settings import SEVERAL, TaughtTestSettings, TestSettings

# Names of the metrics in the study's output, and their columns in the table of metrics.
PRINTED = {
    "AUROC": metrics.AUROC,
    "Accuracy": f"accuracy {metrics.AT_STUDY_THRESHOLD}",
    "F1": f"F1 {metrics.AT_STUDY_THRESHOLD}",
}


@dataclass(frozen=True)
class _Subject:
    """A checkpoint and the lists that it is tested on."""

    checkpoint: Checkpoint
    model: nn.Module
    val: ImageList
    test: ImageList
    history: list[dict[str, float]]
    """The rows of the training's log."""

    @property
    def unknown_origin(self) -> list[str]:
        return list(self.checkpoint.provenance.unknown)


def score(build_model: Callable[..., nn.Module], settings: TestSettings) -> None:
    """Test the checkpoint of one network; the entry of ``test-model.py``.

    Args:
        build_model: builds the network, as in ``model.py``.
        settings: settings of the script; its folder is the name of the network.

    Raises:
        InputError: lists, radiographs, checkpoint or settings cannot be used.
    """
    _run(build_model, settings, settings.folder.name, None)


def score_student(settings: TaughtTestSettings) -> None:
    """Test the checkpoint of a distilled student; the entry of the ``test-kd`` scripts.

    Args:
        settings: settings of the script.

    Raises:
        InputError: lists, radiographs, checkpoint or settings cannot be used.
    """
    _run(partial(zoo.build, settings.student), settings, settings.student, settings.teacher)


def _run(
    build_model: Callable[..., nn.Module], settings: TestSettings, network: str, teacher: str | None
) -> None:
    calibration.require_rule(settings.threshold_rule, settings.target_sensitivity)
    use_threads(settings.threads)
    with ExitStack() as stack:
        if processes.is_main():
            stack.enter_context(
                exclusive(
                    settings.results_dir / ".test.lock",
                    f"another run writes RESULTS_DIR = {settings.results_dir}",
                )
            )
        group = stack.enter_context(process_group(settings.device))
        subject = _read(build_model, settings, network, teacher)
        saved = None if settings.retest else _find_results(subject, settings)
        # The main process decides: another one could look while results are being written.
        if group.gather(saved is not None)[0]:
            if group.is_main:
                print(
                    f"{settings.results_dir} already holds the results of these weights, lists, crops and "
                    "threshold rule, so nothing is tested; --retest tests again."
                )
                _print(Results.load(settings.results_dir), subject.test, settings)
            return
        val, test = _predict(subject, settings, group)
        if not group.is_main:
            return
        points = choose_operating_points(
            val, settings.threshold_rule, settings.target_sensitivity, settings.crops
        )
        results = Results(val, test, points)
        results.save(settings.results_dir)
        _print(results, subject.test, settings)


def _read(
    build_model: Callable[..., nn.Module], settings: TestSettings, network: str, teacher: str | None
) -> _Subject:
    """Read the checkpoint and both lists, and refuse a test that would not be one."""
    val, test = read_list(settings.val_image_list), read_list(settings.test_image_list)
    require_disjoint(val, test)
    path = settings.ckpt_path
    model, tested = checkpoint.load(path, network, build_model)
    taught_by = tested.about.teacher
    if taught_by != teacher and not (teacher == SEVERAL and "+" in (taught_by or "")):
        raise InputError(
            f"{path} holds a network taught by {taught_by or 'labels alone'}, but this script "
            f"tests one taught by {teacher or 'labels alone'}; give its checkpoint."
        )
    if not tested.ours and not settings.allow_unknown_origin:
        raise InputError(
            f"the patients that {path} was trained on are not known: it may have seen those of the test "
            "list, and the results could be too good; --allow-unknown-origin tests it and marks the results."
        )
    provenance.require_unseen(test, tested.provenance, selected_on=True, weights=str(path))
    provenance.require_unseen(val, tested.provenance, selected_on=False, weights=str(path))
    return _Subject(tested, model, val, test, read_history(checkpoint.log_path(path)))


def _find_results(subject: _Subject, settings: TestSettings) -> Results | None:
    """Return the saved results of just this test, if they are complete and consistent."""
    try:
        results = Results.load(settings.results_dir)
        table = read_metrics(settings.results_dir / METRICS_FILE)
    except InputError:
        return None
    about, points = subject.checkpoint.about, results.points
    saved = {
        "network": points.network,
        "teacher": points.teacher,
        "weights": points.weights_hash,
        "unknown_origin": list(points.unknown_origin),
        "lists": (results.val.list_fingerprint, results.test.list_fingerprint),
        "crops": points.crops,
        "rule": (points.threshold_rule, points.target_sensitivity),
    }
    wanted = {
        "network": about.network,
        "teacher": about.teacher,
        "weights": subject.checkpoint.weights_hash,
        "unknown_origin": subject.unknown_origin,
        "lists": (subject.val.fingerprint, subject.test.fingerprint),
        "crops": settings.crops,
        "rule": (settings.threshold_rule, settings.target_sensitivity),
    }
    return results if saved == wanted and not find_contradictions(results, table) else None


def _predict(
    subject: _Subject, settings: TestSettings, group: ProcessGroup
) -> tuple[Predictions, Predictions]:
    """Return the predictions for the validation list and the test list."""
    images = open_images(preload(settings.data_dir, settings.preload, group.is_main))
    model = devices.place(subject.model, group.device)
    val, test = (
        inference.predict_list(
            model,
            subject.checkpoint,
            image_list,
            images,
            group,
            split=split,
            crops=settings.crops,
            batch_size=settings.batch_size,
            num_workers=settings.num_workers,
        )
        for image_list, split in ((subject.val, VALIDATION), (subject.test, TEST))
    )
    facts = _facts(subject, settings, group) if group.is_main else {}
    return dataclasses.replace(val, about=facts), dataclasses.replace(test, about=facts)


def _facts(subject: _Subject, settings: TestSettings, group: ProcessGroup) -> dict[str, object]:
    """Return what the report shows beside the metrics."""
    about, model = subject.checkpoint.about, subject.model.cpu()
    return {
        "kind": subject.test.kind,
        "unknown_origin": subject.unknown_origin,
        "crops": settings.crops,
        "threshold_rule": settings.threshold_rule,
        "target_sensitivity": settings.target_sensitivity,
        "device": devices.describe(group.device),
        "device_type": group.device.type,
        "image_size": about.image_size,
        "seed": about.seed,
        "epoch": about.epoch,
        "splits": about.splits,
        "settings": about.settings,
        "versions": about.versions,
        "history": subject.history,
        "parameters": profile.total_parameters(model),
        "macs": profile.macs(model, about.image_size),
        "latency_seconds": profile.latency(model, about.image_size, seconds=1.0),
    }


def _print(results: Results, test: ImageList, settings: TestSettings) -> None:
    table = metrics_table(results.test, results.points)
    kind = KINDS[test.kind]
    print(f"{results.test.network} on {kind.counted(len(test))} of {test.path}, {settings.crops} crops")
    if kind.warning:
        print(f"Note: {kind.warning}.")
    if results.points.unknown_origin:
        print(
            f"Note: {', '.join(results.points.unknown_origin)} "
            f"{provenance.MAY_HAVE_SEEN_TEST_PATIENTS}; the metrics may be too good."
        )
    for name, column in PRINTED.items():
        print("\n".join(metric_lines(name, table[column])))
    print(f"Predictions, metrics and operating points are in {settings.results_dir}")


def metric_lines(name: str, values: pd.Series) -> list[str]:
    """Return the study's lines for one metric: the average, then each finding.

    Args:
        name: its name in the study.
        values: by finding; NaN for a finding with one class only.
    """
    mean, covered = metrics.macro(values.to_numpy())
    lines = [f"The average {name} is {mean:.3f} (over {covered} of {len(values)} findings)"]
    for finding, value in values.items():
        text = "undefined: the list lacks a class of it" if np.isnan(value) else f"{value:.3f}"
        lines.append(f"The {name} of {finding} is {text}")
    return lines
