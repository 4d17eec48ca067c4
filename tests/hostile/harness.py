"""One row of a table: damage, a script, and what has to be true afterwards."""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from cxr14.settings import ROOT
from tests.conftest import run_here

KD = ROOT / "6-Distilling-to-EEEA-Net-C2"
SCRIPTS = {
    "train": ROOT / "1-EEEA-Net-C2" / "train-model.py",
    "distil": KD / "train-kd1-model.py",
    "test": ROOT / "1-EEEA-Net-C2" / "test-model.py",
    "test-kd": KD / "test-kd1-model.py",
    "para-test": ROOT / "1-EEEA-Net-C2" / "para-test-eeeac2.py",
    "explain": ROOT / "7-Using-EEEA-Net-C2" / "explain-model.py",
    "export": ROOT / "7-Using-EEEA-Net-C2" / "export-model.py",
    "predict": ROOT / "7-Using-EEEA-Net-C2" / "predict.py",
    "make-page": ROOT / "7-Using-EEEA-Net-C2" / "make-page.py",
    "share": ROOT / "7-Using-EEEA-Net-C2" / "share-model.py",
    "distil-all": KD / "train-kdall-model.py",
    "test-all": KD / "test-kdall-model.py",
    "compare": ROOT / "compare-results.py",
    "verify": ROOT / "verify-results.py",
    "prepare": ROOT / "ChestX-ray14" / "prepare.py",
    "download": ROOT / "ChestX-ray14" / "download.py",
    "make-phantoms": ROOT / "ChestX-ray14" / "make-phantoms.py",
}

_RUN = {"device": "cpu", "threads": 1}
_LOOP = {
    **_RUN,
    "data-dir": "images",
    "train-image-list": "labels/train_list.txt",
    "val-image-list": "labels/val_list.txt",
    "ckpt-path": "out/model.pth",
    "image-size": 64,
    "num-epochs": 1,
    "batch-size": 4,
    "num-workers": 0,
    "no-pretrained": None,
}
_TEST = {
    **_RUN,
    "data-dir": "images",
    "val-image-list": "labels/val_list.txt",
    "test-image-list": "labels/test_list.txt",
    "ckpt-path": "model1.pth",
    "results-dir": "out/results",
    "crops": 1,
    "num-workers": 0,
}
FLAGS: dict[str, dict[str, object]] = {
    "train": _LOOP,
    "distil": {**_LOOP, "teacher-ckpt-path": "model1.pth"},
    "test": _TEST,
    "test-kd": _TEST,
    "para-test": {"image-size": 64},
    "explain": {
        **_RUN,
        "ckpt-path": "model1.pth",
        "data-dir": "images",
        "image-list": "labels/test_list.txt",
        "out-dir": "out/maps",
    },
    "export": {
        "ckpt-path": "model1.pth",
        "data-dir": "images",
        "image-list": "labels/test_list.txt",
        "out-dir": "out/export",
        "results-dir": "results/1-EEEA-Net-C2",
    },
    "predict": {"": ("images",), "model-path": "model.onnx"},
    "make-page": {"model-path": "model.onnx", "page": "out/page.html", "packages-dir": "out/packages"},
    "share": {
        "ckpt-path": "model1.pth",
        "results-dir": "results/1-EEEA-Net-C2",
        "model-path": "model.onnx",
        "out-dir": "out/hub",
    },
    "distil-all": _LOOP,
    "test-all": _TEST,
    "compare": {"results-dir": "results", "resamples": 20},
    "verify": {
        **_RUN,
        "data-dir": "images",
        "val-image-list": "labels/val_list.txt",
        "test-image-list": "labels/test_list.txt",
        "ckpt-path": "model1.pth",
        "results-dir": "results",
        "num-workers": 0,
    },
    "prepare": {"source": "source", "out": "out", "size": 40, "workers": 1},
    "download": {"out": "out", "archives": "1"},
    "make-phantoms": {"out": "out", "count": 4, "size": 32, "num-workers": 0},
}
"""Flags of a correct run of each script; names of files are relative to the row's folder."""

_LARGE = 1_000_000  # bytes
Change = dict[str, object] | None


@dataclass(frozen=True)
class Row:
    """A careless or hostile input of a script.

    `change` damages the folder and returns flags that differ from `FLAGS`; None leaves a flag out.
    """

    script: str
    what: str
    change: Callable[[Path], Change]
    words: str
    status: int = 2
    leaves: tuple[str, ...] = ()
    """Patterns of new files that may be there afterwards."""

    def __str__(self) -> str:
        return f"{self.script}: {self.what}".replace(" ", "-")


def copy_world(world: Path, place: Path) -> Path:
    """Copy the world; large files are links, which a row must replace rather than change."""

    def copy(source: str, target: str) -> None:
        (os.link if Path(source).stat().st_size > _LARGE else shutil.copyfile)(source, target)

    shutil.copytree(world, place, copy_function=copy)
    return place


def files_in(place: Path) -> dict[str, str]:
    """Return a hash of each file below a folder, and what other entries are."""
    found = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = _state_of(path)
        elif not path.is_dir():
            found[name] = "special"
    return found


def _state_of(path: Path) -> str:
    stat = path.stat()
    if stat.st_size > _LARGE:  # a link to the file of all rows: a change would show in its time
        return f"{stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"
    return hashlib.blake2b(path.read_bytes()).hexdigest()


def flags_of(row: Row, place: Path) -> list[str]:
    """Return the command line of a row."""
    changes = row.change(place) or {}
    flags = {**FLAGS[row.script], **changes}
    words = [str(word) for word in flags.pop("", ())]
    for name, value in flags.items():
        if value is None and name not in ("no-pretrained", "resume"):
            continue
        words.append(f"--{name}")
        if value is not None:
            is_path = isinstance(value, str) and name in _PATH_FLAGS and value != ""
            words.append(str(place / value) if is_path else str(value))
    return words


_PATH_FLAGS = {
    name
    for flags in FLAGS.values()
    for name, value in flags.items()
    if isinstance(value, str) and name not in ("device", "archives")
} | {"init-checkpoint", "lists", "medmnist", "box-list", "csv", "json", "maps", "log-dir", "sheet"}
_PATH_FLAGS |= {"student-ckpt-path", "teacher-cache"}


def check_row(row: Row, world: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """Run a row in this process and check everything that every row promises."""
    place = copy_world(world, tmp_path / "w")
    words = flags_of(row, place)
    before = files_in(place)
    monkeypatch.chdir(place)
    streams = sys.stdout, sys.stderr
    status = run_here(SCRIPTS[row.script], *words, monkeypatch=monkeypatch)
    assert (sys.stdout, sys.stderr) == streams
    stderr = capsys.readouterr().err
    check_message(row, status, stderr)
    check_files(row, before, files_in(place))


def check_message(row: Row, status: int, stderr: str) -> None:
    """Check status and message: one line, no traceback, the words of the row."""
    assert "Traceback" not in stderr, stderr
    assert status == row.status, (status, stderr)
    lines = [line.rpartition("\r")[2].strip() for line in stderr.splitlines()]  # bars end in \r
    errors = [line for line in lines if line and not line.startswith("warning: ") and "%|" not in line]
    if row.status == 2:
        assert len(errors) == 1, stderr
        assert errors[0].startswith("error: "), stderr
        assert errors[0].isprintable()
        assert len(errors[0]) < 1500
    assert row.words in stderr, stderr


def check_files(row: Row, before: dict[str, str], after: dict[str, str]) -> None:
    """Check that the input is as it was and that nothing half-written is left."""
    changed = {name for name in before if after.get(name) != before[name]}
    assert not changed
    new = {
        name for name in after.keys() - before.keys() if not any(fnmatch(name, each) for each in row.leaves)
    }
    assert not new
    assert not [name for name in after if name.endswith((".part", ".lock"))]
