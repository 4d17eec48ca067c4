"""Predictions that are unreadable or altered, each with a word of the sentence that refuses it."""

import io
import json
import zipfile

import numpy as np

from tests.hostile import weights
from tests.hostile.tables import dangling_link_instead, folder_instead, pipe_instead, remove, truncate, write

RUN = "results/1-EEEA-Net-C2"
PREDICTIONS = f"{RUN}/predictions-test.npz"


def predictions(change):
    """Return a change of the arrays in the predictions of the test list; "rest" is a dict."""

    def damage(place):
        path = place / PREDICTIONS
        with np.load(path) as stored:
            arrays = dict(stored)
        rest = json.loads(str(arrays.pop("rest")))
        change(arrays, rest)
        path.unlink()
        with path.open("wb") as file:
            np.savez(file, **arrays, rest=json.dumps(rest), allow_pickle=True)

    return damage


def about(**values):
    """Return a change of what the predictions record about their run."""
    return predictions(lambda arrays, rest: rest["about"].update(values))


def array(name, change):
    """Return a change of one array of the predictions."""
    return predictions(lambda arrays, rest: arrays.update({name: change(arrays[name])}))


def poison(name, value):
    """Return a change of the first number of an array."""

    def change(values):
        changed = values.astype(type(value)) if not isinstance(value, float) else values.astype(float)
        changed.flat[0] = value
        return changed

    return array(name, change)


def npz_bomb(megabytes):
    """Return a change that writes predictions of a thousandth of the size of their labels."""

    def damage(place):
        path = place / PREDICTIONS
        path.unlink()
        header = io.BytesIO()
        shape = (megabytes * 1_000_000,)
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("labels.npy", "w") as file,
        ):
            file.write(header.getvalue())
            for _ in range(megabytes):
                file.write(bytes(1_000_000))

    return damage


UNREADABLE = [
    ("missing", remove(PREDICTIONS), "no predictions"),
    ("empty", write(PREDICTIONS, b""), "not a readable file"),
    ("text", write(PREDICTIONS, "text"), "not a readable file"),
    ("cut short", truncate(PREDICTIONS, 0.7), "not a readable file"),
    ("a pickle with code", write(PREDICTIONS, weights.pickled(weights.Code())), "has format"),
    ("an array of objects", write(PREDICTIONS, weights.object_array()), "not a readable file"),
    ("a bomb", npz_bomb(270), "too large"),
    ("a folder", folder_instead(PREDICTIONS), "no predictions"),
    ("a pipe", pipe_instead(PREDICTIONS), "no predictions"),
    ("a dangling link", dangling_link_instead(PREDICTIONS), "no predictions"),
    ("objects in an array", array("labels", lambda a: a.astype(object)), "not a readable file"),
    ("of another format", array("format", lambda a: np.array("other")), "has format 'other'"),
]

TAMPERED = [
    ("a label of 2", poison("labels", 2), "neither 0 nor 1"),
    ("labels of another shape", array("labels", lambda a: a[:, :3]), "not a readable file"),
    ("labels of text", array("labels", lambda a: a.astype(str)), ""),
    ("labels without rows", array("labels", lambda a: a[:0]), "not a readable file"),
    ("a probability of nan", poison("probabilities", float("nan")), "finite"),
    ("a probability of 1.5", poison("probabilities", 1.5), "outside 0 to 1"),
    ("a logit of inf", poison("logits", float("inf")), "finite"),
    ("complex logits", array("logits", lambda a: a.astype(complex)), ""),
    ("names too few", array("names", lambda a: a[1:]), "not a readable file"),
    ("names in two columns", array("names", lambda a: np.stack([a, a], axis=1)), "not a readable file"),
    (
        "no radiographs",
        predictions(
            lambda arrays, rest: arrays.update(
                {name: value[:0] for name, value in arrays.items() if value.ndim}
            )
        ),
        "",
    ),
    ("no metadata", predictions(lambda arrays, rest: rest.pop("about")), "does not record"),
    (
        "metadata that is text",
        predictions(lambda arrays, rest: rest.update(about="x")),
        "not a readable file",
    ),
    ("an unknown field", predictions(lambda arrays, rest: rest.update(new=1)), "not a readable file"),
    (
        "a network that is a list",
        predictions(lambda arrays, rest: rest.update(network=[])),
        "not a readable file",
    ),
    (
        "a network that is a dict",
        predictions(lambda arrays, rest: rest.update(network={})),
        "not a readable file",
    ),
    (
        "a split of another name",
        predictions(lambda arrays, rest: rest.update(split="train")),
        "not a readable",
    ),
    ("the validation list", predictions(lambda arrays, rest: rest.update(split="val")), "the val list"),
    (
        "findings of another number",
        predictions(lambda a, rest: rest.update(findings=["Mass"])),
        "not a readable",
    ),
    ("findings that repeat", predictions(lambda a, rest: rest.update(findings=["Mass"] * 14)), ""),
    ("a hash that is a number", predictions(lambda a, rest: rest.update(weights_hash=5)), ""),
    ("an unknown kind", about(kind="imaginary"), "records the kind"),
    ("a kind that is a list", about(kind=[]), "records kind"),
    ("negative parameters", about(parameters=-1), "no parameters"),
    ("parameters as text", about(parameters="many"), "records parameters"),
    ("parameters beyond any float", about(parameters=10**400), "not a readable file"),
    ("MACs of nan", about(macs=float("nan")), "records macs"),
    ("a latency below zero", about(latency_seconds=-1), "latency"),
    ("a seed that is text", about(seed="0"), "records seed"),
    ("a history that is text", about(history="none"), "records history"),
    ("a history of numbers", about(history=[1]), "history without epochs"),
    ("a history of text", about(history=[{"epoch": 1, "val_auroc": "high"}]), "not all numbers"),
    (
        "a history of infinite losses",
        about(history=[{"epoch": 1, "train_loss": 1e400, "val_auroc": 0.5}]),
        "",
    ),
    ("a history of huge epochs", about(history=[{"epoch": 10**30, "train_loss": 1, "val_auroc": 0.5}]), ""),
    ("settings that are a list", about(settings=[1]), "records settings"),
    ("an unknown rule", about(threshold_rule="luck"), "threshold rule"),
    ("a target without its rule", about(target_sensitivity=0.9), "threshold rule"),
    ("versions that are text", about(versions="1"), "records versions"),
    ("splits of numbers", about(splits={"train": 5}), ""),
    ("an unknown origin of numbers", about(unknown_origin=[1, {}]), ""),
]
