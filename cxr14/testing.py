"""The entry of every test script: a checkpoint and a list -> predictions on disk -> printed figures."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from torch import nn

from cxr14 import augment, checkpoint, devices, inference, metrics, profile, zoo
from cxr14.dataset import Batches
from cxr14.errors import InputError, spoken_errors
from cxr14.files import fingerprint, written_aside
from cxr14.images import open_images
from cxr14.lists import read_list
from cxr14.predictions import TEST, Predictions
from cxr14.processes import joined
from cxr14.settings import TaughtTestSettings, TestSettings, from_script

PREDICTIONS_FILE = "predictions-{split}.npz"
METRICS_FILE = "metrics.csv"

# What the study prints, in its words, and the column of the metrics' table that holds it.
PRINTED = {
    "AUROC": metrics.AUROC,
    "Accuracy": f"accuracy {metrics.AT_STUDY_THRESHOLD}",
    "F1": f"F1 {metrics.AT_STUDY_THRESHOLD}",
}


def main(build_model: Callable[..., nn.Module], script: Mapping[str, Any]) -> None:
    """Score the checkpoint of one network as the constants of `script` and the command line say.

    Args:
        build_model: of the ``model.py`` beside the script.
        script: the script's ``globals()``.
    """
    with spoken_errors():
        _run(from_script(TestSettings, script), zoo.name_of(build_model), None)


def main_taught(script: Mapping[str, Any]) -> None:
    """Score the checkpoint of a taught student as the constants of `script` and the command line say.

    Args:
        script: the script's ``globals()``.
    """
    with spoken_errors():
        settings = from_script(TaughtTestSettings, script)
        _run(settings, settings.student, settings.teacher)


def _run(settings: TestSettings, network: str, teacher: str | None) -> None:
    with joined(settings.device) as processes:
        test = read_list(settings.test_image_list)
        images = open_images(settings.data_dir)
        model, held = checkpoint.load(settings.ckpt_path, network)
        about = held.about
        if about.teacher != teacher:
            raise InputError(
                f"{settings.ckpt_path} holds a network taught by {about.teacher or 'no teacher'}, but this "
                f"script tests one taught by {teacher or 'no teacher'}; give its checkpoint."
            )
        batches = Batches(
            test,
            images,
            side=augment.read_side(about.image_size),
            batch_size=settings.batch_size,
            num_workers=settings.num_workers,
            rank=processes.rank,
            world=processes.world,
        )
        shape = {"image_size": about.image_size, "crops": settings.crops}
        model = devices.place(model, processes.device)
        logits = inference.predict(model, batches, processes, **shape, note=f"testing {network}")
        if not processes.speaks:
            return
        predictions = Predictions(
            names=np.array(test.names),
            patients=np.array(test.patients),
            labels=test.labels,
            probabilities=expit(logits),
            logits=logits,
            split=TEST,
            network=network,
            teacher=teacher,
            checkpoint_fingerprint=fingerprint(settings.ckpt_path),
            list_fingerprint=test.fingerprint,
            about=shape
            | {
                "kind": test.kind,
                "device": devices.describe(processes.device),
                "seed": about.seed,
                "epoch": about.epoch,
                "parameters": profile.total_parameters(model),
                "macs": profile.macs(model.cpu(), about.image_size),
                "splits": about.splits,
            },
        )
        report(predictions, settings)


def report(predictions: Predictions, settings: TestSettings) -> None:
    """Print the figures in the study's words, and keep predictions and table in the folder of results."""
    table = metrics.table(predictions.labels, predictions.probabilities)
    predictions.save(settings.results_dir / PREDICTIONS_FILE.format(split=predictions.split))
    with written_aside(settings.results_dir / METRICS_FILE) as aside:
        table.to_csv(aside)
    kind = predictions.about["kind"]
    worth = {"synthetic": "synthetic ", "tiny": "", "real": ""}[kind]
    print(
        f"{predictions.network} on {len(predictions.names)} {worth}radiographs of "
        f"{settings.test_image_list}, {predictions.about['crops']} crops"
        + (": too few for a figure to mean much" if kind == "tiny" else "")
    )
    for name, column in PRINTED.items():
        print("\n".join(spoken(name, table[column])))
    print(f"Kept in {settings.results_dir}")


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
