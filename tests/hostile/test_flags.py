"""Careless flags of every script: refused before any work, in one line."""

import pytest

from cxr14 import processes
from tests.hostile.harness import FLAGS, Row, check_row
from tests.hostile.tables import both, dangling_link_instead, flags, folder_instead, pipe_instead, write

_NUMBERS = {
    "train": ("batch-size", "num-epochs", "image-size", "num-workers", "seed", "accumulate", "threads"),
    "distil": ("batch-size",),
    "test": ("batch-size", "num-workers"),
    "para-test": ("image-size",),
    "explain": ("count", "batch-size"),
    "export": ("count",),
    "predict": ("threads",),
    "compare": ("resamples", "seed"),
    "verify": ("batch-size",),
    "prepare": ("size", "workers", "seed"),
    "make-phantoms": ("count", "size", "num-workers"),
}
_FLOATS = {
    "train": ("learning-rate", "weight-decay", "clip-norm", "save-minutes", "warmup-epochs"),
    "distil": ("temperature", "soft-weight"),
    "prepare": ("val-fraction",),
    "make-phantoms": ("severity",),
}
_OUTPUT_FILES = {
    "train": "ckpt-path",
    "distil": "ckpt-path",
    "distil-all": "ckpt-path",
    "predict": "csv",
    "make-phantoms": "sheet",
    "make-page": "page",
}
_OUTPUT_FOLDERS = {
    "test": "results-dir",
    "explain": "out-dir",
    "export": "out-dir",
    "prepare": "out",
    "download": "out",
    "make-phantoms": "out",
    "compare": "results-dir",
}
_INPUTS = {
    "train": "train-image-list",
    "distil": "teacher-ckpt-path",
    "test": "ckpt-path",
    "explain": "image-list",
    "export": "ckpt-path",
    "predict": "model-path",
    "verify": "test-image-list",
    "prepare": "source",
}


def flag(name, value):
    return lambda place: {name: value}


ROWS = [
    *(Row(script, "unknown flag", flags(batchsze=3), "--batchsze") for script in FLAGS),
    *(
        Row(script, f"{name} {value}", flag(name, value), "error")
        for script, names in _NUMBERS.items()
        for name in names
        for value in (2**63, -1, "1.5")
    ),
    *(
        Row(script, f"{name} {value}", flag(name, value), "out of range")
        for script, names in _FLOATS.items()
        for name in names
        for value in ("nan", "inf", "1e400")
    ),
    *(
        Row(script, f"{name} is a folder", both(folder_instead("x"), **{name: "x"}), "is a folder")
        for script, name in _OUTPUT_FILES.items()
    ),
    *(
        Row(script, f"{name} is a pipe", both(pipe_instead("x"), **{name: "x"}), "is a named pipe")
        for script, name in _OUTPUT_FILES.items()
    ),
    *(
        Row(script, f"{name} is too long", flag(name, "n" * 250), "is too long")
        for script, name in _OUTPUT_FILES.items()
    ),
    *(
        Row(script, f"{name} lies below a file", both(write("x", "x"), **{name: "x/y"}), "is a file")
        for script, name in (_OUTPUT_FILES | _OUTPUT_FOLDERS).items()
    ),
    *(
        Row(script, f"{name} is a file", both(write("x", "x"), **{name: "x"}), "is a file")
        for script, name in _OUTPUT_FOLDERS.items()
    ),
    *(
        Row(script, f"{name} is a pipe", both(pipe_instead("x"), **{name: "x"}), "is a named pipe")
        for script, name in _INPUTS.items()
    ),
    *(
        Row(script, f"{name} is a dangling link", both(dangling_link_instead("x"), **{name: "x"}), "x")
        for script, name in _INPUTS.items()
    ),
    *(
        Row(script, f"{name} is empty", flag(name, ""), "error")
        for script, name in _INPUTS.items()
        if script != "prepare"  # its source may be the working folder
    ),
    Row("train", "terminal codes in a flag", flags(**{"device": "\x1b[31m\nred"}), r"\x1b[31m"),
    Row("train", "no such device", flags(device="cuda:99"), "cuda:99"),
    Row("test", "no such device", flags(device="toaster"), "toaster"),
    Row("test", "a rule without its target", flags(threshold_rule="sensitivity"), "needs a target"),
    Row("test", "crops that are neither 1 nor 10", flags(crops=5), "crops"),
    Row("download", "no such archive", flags(archives="0"), "no archive '0'"),
    Row("download", "archives that are no numbers", flags(archives="1,,2"), "no archive ''"),
    Row("download", "no such source", flags(source="elsewhere"), "source"),
    *(
        Row(script, f"{name} among the radiographs", flag(name, folder), "among the radiographs")
        for script, name, folder in (
            ("test", "results-dir", "images"),
            ("explain", "out-dir", "images"),
            ("export", "out-dir", "labels/../images"),
            ("predict", "maps", "images"),
            ("predict", "maps", "images/maps"),
        )
    ),
    *(
        Row(
            script,
            f"{name} is the model's card",
            both(write("model-card.json", "{}"), **{name: "model-card.json"}),
            "model-card.json of MODEL_PATH are the same file",
        )
        for script, name in (("predict", "csv"), ("predict", "json"), ("make-page", "page"))
    ),
    Row(
        "share",
        "a folder with a README of one's own",
        both(write("own/README.md", "mine"), out_dir="own"),
        "share-model.py has not written",
    ),
    Row("predict", "nothing to read", flags(**{"": ()}), "give radiographs"),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_flag(row, world, tmp_path, monkeypatch, capsys):
    check_row(row, world, tmp_path, monkeypatch, capsys)


_SEVERAL = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29999"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("WORLD_SIZE", value) for value in ("two", "0", "-1", "")),
        *(("RANK", value) for value in (None, "", "2", "-1", "1.0", "\u0661")),
        ("MASTER_ADDR", None),
        *(("MASTER_PORT", value) for value in (None, "http", "65536")),
    ],
)
def test_an_environment_of_no_place_among_processes(name, value, world, tmp_path, monkeypatch, capsys):
    for each, usual in _SEVERAL.items():
        monkeypatch.setenv(each, usual)
    monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    row = Row("test", f"{name} {value}", flags(), name)
    check_row(row, world, tmp_path, monkeypatch, capsys)


def test_a_rank_without_other_processes_does_not_open_the_lock(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert processes.is_main()
    assert processes.place() == processes.Place(rank=0, world_size=1)
