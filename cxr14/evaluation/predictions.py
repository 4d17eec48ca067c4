"""Predictions of one network for one image list, as a file.

The file is a plain .npz of arrays and JSON text, never a pickle. It records the split, so that thresholds and
calibration can refuse any list but validation (cxr14/evaluation/calibration.py).
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
from cxr14.records import check_fields, check_plain

VALIDATION, TEST = SPLITS = ("val", "test")
"""Thresholds and calibration are fitted on the first alone."""

PREDICTIONS_FILE = "predictions-{split}.npz"
"""Name of the file in the folder of the results."""

MOST_BYTES = 1 << 28
"""Unpacked bytes of the largest file of predictions that is read; NIH's 112,120 radiographs take 50 MB."""

_FORMAT = "cxr14 predictions 2"
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    zipfile.BadZipFile,
    zlib.error,
    RecursionError,
)
_PER_RADIOGRAPH = ("names", "patients", "labels", "probabilities", "logits")


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Predictions of one network for N radiographs and F findings.

    Raises:
        ValueError: the shapes of the arrays do not fit together, or the split is unknown.
        InputError: a label is neither 0 nor 1, or a prediction is not a finite number.
    """

    names: np.ndarray
    """(N,) file names of the radiographs, in the order of the list."""
    patients: np.ndarray
    """(N,) the patient of each: numbers or strings."""
    labels: np.ndarray
    """(N, F), 0 or 1."""
    probabilities: np.ndarray
    """(N, F), 0 to 1, averaged over crops, before calibration; every metric is computed from them."""
    logits: np.ndarray
    """(N, F), the logits of `probabilities`; calibration is applied to them."""
    split: str
    """"val" or "test"."""
    network: str
    """Folder of the network."""
    teacher: str | None
    """Folder of the teacher's network; None: trained on labels alone."""
    weights_hash: str
    """`models.checkpoint.hash_weights` of the network."""
    list_fingerprint: str
    """SHA-256 of the image list."""
    findings: tuple[str, ...] = FINDINGS
    about: dict[str, object] = field(default_factory=dict)
    """What else is known, as plain JSON values: seed, device, crops, kind of radiographs, history, and
    `unknown_origin`, the weights behind the network whose training patients are not known."""

    def __post_init__(self) -> None:
        arrays = {name: np.asarray(getattr(self, name)) for name in _PER_RADIOGRAPH}
        arrays["names"] = arrays["names"].astype(np.str_)
        if arrays["patients"].dtype.kind not in "iu":
            arrays["patients"] = arrays["patients"].astype(np.str_)
        for name, array in arrays.items():
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
        if len(set(self.findings)) != len(self.findings):
            raise ValueError("findings are repeated")
        if (
            self.labels.dtype.kind not in "biuf"
            or self.probabilities.dtype.kind + self.logits.dtype.kind not in ("ff")
        ):
            raise ValueError("labels, probabilities and logits must be numbers")
        for scores in (self.probabilities, self.logits):
            checked(self.labels, scores)

    def save(self, path: Path | str) -> None:
        """Write an .npz file.

        Raises:
            InputError: the file cannot be written.
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
        _require_small(path)
        try:
            with np.load(path, allow_pickle=False) as stored:
                file_format = str(stored["format"]) if "format" in stored else "unknown"
                if file_format != _FORMAT:
                    raise InputError(
                        f"{path} has format {file_format!r}, not {_FORMAT!r}; run the test script again."
                    )
                arrays = {name: stored[name] for name in _PER_RADIOGRAPH}
                loaded = cls(**arrays, **json.loads(str(stored["rest"])))
                check_fields(loaded)
                check_plain(loaded.about)
                return loaded
        except _DAMAGE as error:
            raise InputError(
                f"{path} is not a readable file of predictions ({error}); run the test script again."
            ) from error


def _require_small(path: Path) -> None:
    """Refuse an archive whose arrays are larger than any test's: kilobytes could fill the memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except _DAMAGE:
        return  # loading it says what is wrong
    if unpacked > MOST_BYTES:
        raise InputError(
            f"{path} is too large: {unpacked / 1e6:.0f} MB when it is unpacked; run the test script again."
        )


def require_same_radiographs(first: Predictions, second: Predictions) -> None:
    """Refuse predictions for different image lists, which cannot be compared.

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
            f"{first.network} and {second.network} were not tested on the same image list; test both on one "
            "list."
        )
