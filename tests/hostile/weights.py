"""Files in the place of weights and snapshots: of another kind, damaged, altered, with code."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch

from tests.nih_folder import png


class Code:
    """An object whose pickle makes a folder named PLANTED when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("PLANTED",)


def pickled(content) -> bytes:
    """Return what torch.save writes."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def object_array() -> bytes:
    """Return an .npy file of objects, which only a pickle can hold."""
    file = io.BytesIO()
    np.save(file, np.array([Code()], dtype=object), allow_pickle=True)
    return file.getvalue()


def zip_bomb(megabytes: int = 10) -> bytes:
    """Return a checkpoint of some kilobytes whose tensor takes many megabytes."""
    stored = io.BytesIO(pickled({"weight": torch.zeros(megabytes * 1_000_000, dtype=torch.uint8)}))
    file = io.BytesIO()
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    return file.getvalue()


def _zipped(**files) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def _write(content):
    def make(place: Path, name: str = "x.pth") -> None:
        path = place / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content() if callable(content) else content)

    return make


def _folder(place: Path, name: str = "x.pth") -> None:
    (place / name).mkdir(parents=True)


def _pipe(place: Path, name: str = "x.pth") -> None:
    (place / name).parent.mkdir(exist_ok=True)
    os.mkfifo(place / name)


def _cut(place: Path, name: str = "x.pth") -> None:
    content = (place / "model1.pth").read_bytes()
    _write(content[: len(content) // 2])(place, name)


def renamed(make, name):
    """Return a change that makes a file under another name."""
    return lambda place: make(place, name)


def altered(name, change, flag):
    """Return a change that writes model1.pth with other content to `name`, and gives it with a flag."""

    def damage(place: Path):
        content = torch.load(place / "model1.pth", weights_only=True)
        change(content)
        torch.save(content, place / name)
        return {flag: name}

    return damage


_CODE = [
    ("a checkpoint with code", _write(lambda: pickled({"model": Code()})), "dangerous"),
    ("a pickle with code", _write(lambda: pickle.dumps(Code())), "dangerous"),
    ("a legacy file with code", _write(lambda: pickle.dumps(Code(), 0)), "dangerous"),
]

WRONG_FILES = [
    ("nothing", lambda place: None, "there is no checkpoint"),
    ("a folder", _folder, "there is no checkpoint"),
    ("a pipe", _pipe, "is a named pipe"),
    ("an empty file", _write(b""), "truncated or corrupt"),
    ("text", _write(b"no checkpoint\n"), "truncated or corrupt"),
    ("a picture", _write(lambda: png(1)), "truncated or corrupt"),
    ("a zip archive", _write(lambda: _zipped(a="b")), "truncated or corrupt"),
    ("half a checkpoint", _cut, "truncated or corrupt"),
    ("a list", _write(lambda: pickled([1, 2])), "no state dict"),
    ("a number", _write(lambda: pickled(3)), "no state dict"),
    ("an empty state dict", _write(lambda: pickled({})), "no state dict"),
    ("a snapshot", _write(lambda: pickled({"progress": {}, "train_step": {}})), "is for --resume alone"),
    ("a bomb", _write(zip_bomb), "compressed"),
    *_CODE,
]
"""What it is, a change that writes it to x.pth, and words of the sentence."""

WRONG_METADATA = [
    ("no metadata", lambda c: c.pop("about"), "not a valid checkpoint"),
    ("metadata that is a number", lambda c: c.update(about=3), "not a valid checkpoint"),
    ("an unknown entry", lambda c: c["about"].update(new=1), "not a valid checkpoint"),
    ("a network that is a number", lambda c: c["about"].update(network=3), "not a valid checkpoint"),
    ("an unknown network", lambda c: c["about"].update(network="9-Nothing"), "9-Nothing"),
    ("an image size of nothing", lambda c: c["about"].update(image_size=None), "not a valid checkpoint"),
    ("findings that are text", lambda c: c["about"].update(findings="Mass"), "other findings"),
    ("findings that are numbers", lambda c: c["about"].update(findings=[1]), "not a valid checkpoint"),
    ("settings that are a list", lambda c: c["about"].update(settings=[]), "not a valid checkpoint"),
    ("an epoch that is a tensor", lambda c: c["about"].update(epoch=torch.ones(2)), "not a valid checkpoint"),
    ("a format of the future", lambda c: c.update(cxr14_format=99), "checkpoint format 99"),
    ("a format that is a tensor", lambda c: c.update(cxr14_format=torch.ones(2)), "checkpoint format"),
    ("no provenance", lambda c: c.pop("provenance"), "not a valid checkpoint"),
    ("provenance that is text", lambda c: c.update(provenance="none"), "not a valid checkpoint"),
    ("patients that are floats", lambda c: c["provenance"].update(train=torch.ones(3)), "hashes of patients"),
    ("no weights", lambda c: c.pop("weights"), "not a valid checkpoint"),
    ("weights that are a list", lambda c: c.update(weights=[1]), "no state dict"),
    ("a tensor too few", lambda c: c["weights"].popitem(), "classifier"),
    (
        "a tensor of another shape",
        lambda c: c["weights"].update({"conv_stem.weight": torch.ones(3)}),
        "conv_stem",
    ),
    ("a tensor that is text", lambda c: c["weights"].update({"conv_stem.weight": "x"}), "no state dict"),
    ("a name that is a number", lambda c: c["weights"].update({3: torch.ones(1)}), "no state dict"),
]
"""What it is, a change of the content of a checkpoint, and words of the sentence."""

_STATE = {"identity": {}, "progress": {}, "train_step": {}}
_TEXT_EPOCH = _STATE | {"progress": {"epoch": "1"}}

WRONG_SNAPSHOTS = [
    ("an empty file", _write(b""), "are damaged"),
    ("text", _write(b"no snapshot"), "are damaged"),
    ("a picture", _write(lambda: png(1)), "are damaged"),
    ("a zip archive", _write(lambda: _zipped(a="b")), "truncated or corrupt"),
    ("a list", _write(lambda: pickled([1])), "not the snapshot"),
    ("a number", _write(lambda: pickled(1)), "not the snapshot"),
    ("an empty state", _write(lambda: pickled({})), "not the snapshot"),
    ("a state without contents", _write(lambda: pickled(_STATE)), "not the snapshot"),
    ("a state of lists", _write(lambda: pickled({part: [] for part in _STATE})), "not the snapshot"),
    (
        "a progress of text",
        _write(lambda: pickled(_TEXT_EPOCH)),
        "not the snapshot",
    ),
    ("a checkpoint", lambda place, name: _write((place / "model1.pth").read_bytes())(place, name), "not the"),
    ("a snapshot with code", _CODE[0][1], "dangerous"),
    ("a snapshot that is compressed", _write(zip_bomb), "compressed"),
    ("a folder", _folder, "nothing to resume"),
    ("a pipe", _pipe, "nothing to resume"),
]
"""What it is, a change that writes it to a path, and words of the sentence."""
