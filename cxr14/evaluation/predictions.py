"""What a network said about an image list, on disk: all that the statistics need, without the network.

The file is a plain .npz: arrays and JSON text, never a pickle. It carries which split it was made on, so that
what may only be chosen on validation can refuse anything else (`evaluation.calibration`).
"""

import dataclasses
import json
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cxr14.errors import InputError
from cxr14.evaluation.confusion import checked
from cxr14.files import atomic_write
from cxr14.findings import FINDINGS

VALIDATION, TEST = SPLITS = ("val", "test")
"""What a list is for; thresholds and calibration are chosen on the first only."""

PREDICTIONS_FILE = "predictions-{split}.npz"
"""What a test script calls them in its folder of results."""

_FORMAT = "cxr14 predictions 1"
_DAMAGE = (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, zipfile.BadZipFile, zlib.error)
_PER_RADIOGRAPH = ("names", "patients", "labels", "probabilities", "logits")


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """The answers of one network to one image list.

    Raises:
        ValueError: arrays whose shapes do not fit together, or an unknown split.
        InputError: a label is neither 0 nor 1, or an answer is not a finite number.
    """

    names: np.ndarray
    """(N,) file names of the radiographs, in the list's order."""
    patients: np.ndarray
    """(N,) the patient of each: numbers or strings."""
    labels: np.ndarray
    """(N, F), 0 or 1."""
    probabilities: np.ndarray
    """(N, F), 0 to 1, after averaging over crops: what every metric is measured on."""
    logits: np.ndarray
    """(N, F), the logits of `probabilities`, which a calibration takes."""
    split: str
    """"val" or "test"."""
    network: str
    """Folder of the network, or of the distillation."""
    teacher: str | None
    """Folder of the teacher's network; None for a network that learnt from labels alone."""
    checkpoint_fingerprint: str
    list_fingerprint: str
    findings: tuple[str, ...] = FINDINGS
    about: dict[str, object] = field(default_factory=dict)
    """What else a report should tell: seed, device, crops, synthetic or real; plain JSON values."""

    def __post_init__(self) -> None:
        as_arrays = {name: np.asarray(getattr(self, name)) for name in _PER_RADIOGRAPH}
        as_arrays["names"] = as_arrays["names"].astype(np.str_)
        if as_arrays["patients"].dtype.kind not in "iu":
            as_arrays["patients"] = as_arrays["patients"].astype(np.str_)
        for name, array in as_arrays.items():
            object.__setattr__(self, name, array)
        object.__setattr__(self, "findings", tuple(str(finding) for finding in self.findings))
        if self.split not in SPLITS:
            raise ValueError(f"split is {self.split!r}; it must be one of {SPLITS}")
        if self.names.shape != self.patients.shape or self.names.shape != self.labels.shape[:1]:
            raise ValueError("names, patients and labels must have one row for each radiograph")
        if self.labels.shape[1:] != (len(self.findings),):
            raise ValueError(
                f"labels {self.labels.shape} must have a column for each of {len(self.findings)} findings"
            )
        for answers in (self.probabilities, self.logits):
            checked(self.labels, answers)

    def save(self, path: Path | str) -> None:
        """Write all of it to `path`, whose name ends in .npz, or nothing.

        Raises:
            InputError: the disk does not take it.
        """
        rest = {
            entry.name: getattr(self, entry.name)
            for entry in dataclasses.fields(self)
            if entry.name not in _PER_RADIOGRAPH
        }
        arrays = {name: getattr(self, name) for name in _PER_RADIOGRAPH}
        with atomic_write(Path(path)) as aside, aside.open("wb") as file:
            np.savez_compressed(file, format=_FORMAT, rest=json.dumps(rest), **arrays)

    @classmethod
    def load(cls, path: Path | str) -> "Predictions":
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, damaged, or of another format.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"there are no predictions at {path}; run the stage's test script first.")
        try:
            with np.load(path, allow_pickle=False) as stored:
                written_as = str(stored["format"]) if "format" in stored else "unknown"
                if written_as != _FORMAT:
                    raise InputError(
                        f"{path} is of format {written_as!r}, not {_FORMAT!r}; test the checkpoint again."
                    )
                arrays = {name: stored[name] for name in _PER_RADIOGRAPH}
                return cls(**arrays, **json.loads(str(stored["rest"])))
        except _DAMAGE as error:
            raise InputError(
                f"{path} is not a readable file of predictions; test the checkpoint again."
            ) from error


def require_same_radiographs(first: Predictions, second: Predictions) -> None:
    """Refuse to compare two networks that were not asked about the same list.

    Raises:
        InputError: the splits, names, findings or labels differ.
    """
    same = first.split == second.split and first.findings == second.findings
    same = same and all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("names", "patients", "labels")
    )
    if not same:
        raise InputError(
            f"{first.network} and {second.network} were not asked about the same image list; "
            "test both on one list before they are compared."
        )
