"""Changes of a saved result, and what a verification has to say of each."""

import dataclasses
import json

import pandas as pd

from cxr14.evaluation.operating_points import OPERATING_POINTS_FILE
from cxr14.evaluation.predictions import Predictions
from cxr14.evaluation.results import METRICS_FILE

TEST_FILE, VAL_FILE = "predictions-test.npz", "predictions-val.npz"


def edit_predictions(name, **edits):
    """Return a change of a file of predictions: each edit computes a field from the old predictions."""

    def change(folder):
        path = folder / "results" / "ten" / name
        saved = Predictions.load(path)
        dataclasses.replace(saved, **{field: edit(saved) for field, edit in edits.items()}).save(path)

    return change


def edit_table(column, edit):
    def change(folder):
        path = folder / "results" / "ten" / METRICS_FILE
        table = pd.read_csv(path, index_col="finding")
        table[column] = edit(table[column])
        table.to_csv(path)

    return change


def drop_column(folder):
    path = folder / "results" / "ten" / METRICS_FILE
    pd.read_csv(path, index_col="finding").drop(columns="F1 at 0.5").to_csv(path)


def edit_points(edit):
    def change(folder):
        path = folder / "results" / "ten" / OPERATING_POINTS_FILE
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))

    return change


def edit_about(**changes):
    def change(folder):
        for name in (TEST_FILE, VAL_FILE):
            edit_predictions(name, about=lambda saved: saved.about | changes)(folder)

    return change


def swap_labels(saved):
    labels = saved.labels.copy()
    labels[0] = 1 - labels[0]
    return labels


COLUMNS = (
    "positives",
    "AUROC",
    "average precision",
    "expected calibration error",
    "Brier score",
    "accuracy at 0.5",
    "F1 at 0.5",
    "sensitivity at 0.5",
    "specificity at 0.5",
    "operating threshold",
    "accuracy at the operating threshold",
    "F1 at the operating threshold",
    "sensitivity at the operating threshold",
    "specificity at the operating threshold",
)

CHANGES = {column: (edit_table(column, lambda values: values + 0.001), column) for column in COLUMNS} | {
    "column left out": (drop_column, "columns in metrics.csv"),
    "names": (edit_predictions(TEST_FILE, names=lambda saved: saved.names[::-1]), "names of the test list"),
    "patients": (
        edit_predictions(TEST_FILE, patients=lambda saved: saved.patients[::-1]),
        "patients of the test list",
    ),
    "labels": (edit_predictions(VAL_FILE, labels=swap_labels), "in "),
    "split": (edit_predictions(TEST_FILE, split=lambda saved: "val"), "split"),
    "network": (edit_predictions(TEST_FILE, network=lambda saved: "3-CheXNet"), "network"),
    "teacher": (edit_predictions(TEST_FILE, teacher=lambda saved: "3-CheXNet"), "teacher"),
    "probabilities": (
        edit_predictions(VAL_FILE, probabilities=lambda saved: saved.probabilities / 2),
        "probabilities and logits of the val list",
    ),
    "crops": (edit_about(crops=1), "crops"),
    "seed": (edit_about(seed=7), "seed"),
    "kind": (edit_about(kind="real"), "kind"),
    "parameters": (edit_about(parameters=1), "parameters"),
    "MACs": (edit_about(macs=1), "macs"),
    "origin": (edit_about(unknown_origin=["model.pth.tar"]), "unknown origin"),
    "threshold": (
        edit_points(lambda content: content["findings"]["Effusion"].update(threshold=0.123)),
        "thresholds in operating-points.json",
    ),
    "rule": (edit_points(lambda content: content.update(threshold_rule="f1")), "threshold rule"),
    "calibration": (
        edit_points(lambda content: content["findings"]["Effusion"]["calibration"].update(slope=9)),
        "calibration in operating-points.json",
    ),
}
