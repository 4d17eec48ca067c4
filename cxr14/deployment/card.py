"""The model card: what a model is, its pixels, and how to read its outputs.

One JSON file beside the model. It names the model by the hash of its file, so that a card is never used with
another model.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from cxr14.errors import InputError
from cxr14.files import fingerprint, read_text
from cxr14.findings import FINDINGS
from cxr14.records import check_fields

_ORIGIN = "export-model.py writes it beside the model, copy both"

FORMAT = 1
"""Goes up when an older program could not read a newer card rightly."""

NOT_A_DEVICE = "for research only: this is not a medical device"
"""The first warning of every card."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How one output of the model is read."""

    name: str
    calibration: str
    """How it was fitted on the validation list: Platt, temperature or none."""
    slope: float
    """The probability is sigmoid(slope * logit + intercept); 1 without calibration."""
    intercept: float
    """0 without calibration."""
    operating_point: float | None
    """A calibrated probability at or above it is a yes; None: no threshold could be chosen."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a radiograph becomes the input of the model."""

    read_side: int
    """Pixels along a side of the square that the whole radiograph is resized to."""
    image_size: int
    """Pixels along a side of its centre crop, which the model takes as (N, 1, S, S) uint8."""
    resize: str = "to a square whatever the shape, bilinear with antialiasing, as Pillow does"
    normalisation: str = "inside the model"


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """All that a card says."""

    model_hash: str
    """SHA-256 of the model's file."""
    network: str
    """Folder of the network."""
    teacher: str | None
    """Folder of the teacher's network; None: trained on the labels alone."""
    weights_hash: str
    """Hash of the checkpoint's tensors."""
    precision: str
    """float32, or w8: int8 weights and float32 activations."""
    outputs: tuple[str, ...]
    """Names of the model's outputs."""
    findings: tuple[Finding, ...]
    """One for each output, in order."""
    threshold_rule: str | None
    """What the operating points maximise on the validation list; None: there are none."""
    target_sensitivity: float | None
    """Sensitivity that the operating points reach, for the rule sensitivity alone."""
    preprocessing: Preprocessing
    splits: dict[str, str]
    """SHA-256 of each image list that shaped the weights or the operating points, by its role."""
    warnings: tuple[str, ...]
    """What every reader of an answer has to know."""
    parity: dict[str, object]
    """How far the model's answers lie from PyTorch's, and on which radiographs that was measured."""
    versions: dict[str, str]
    """Python and packages that made the checkpoint and the model."""

    def save(self, path: Path) -> None:
        """Write the card."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Raises:
        InputError: it is missing, damaged, of a newer format, or of other findings than the 14.
    """
    try:
        content = json.loads(read_text(path, "the model card", _ORIGIN))
        found_format = content.pop("format")
        if found_format != FORMAT:
            raise InputError(
                f"{path} has card format {found_format}, this program knows {FORMAT}; update the program."
            )
        findings = tuple(Finding(**finding) for finding in content.pop("findings"))
        preprocessing = Preprocessing(**content.pop("preprocessing"))
        lists = {name: tuple(content.pop(name)) for name in ("outputs", "warnings")}
        card = ModelCard(findings=findings, preprocessing=preprocessing, **lists, **content)
        for record in (card, card.preprocessing, *card.findings):
            check_fields(record)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is not a readable model card; export the model again.") from error
    if tuple(finding.name for finding in card.findings) != FINDINGS:
        raise InputError(f"{path} describes a model of other findings than this program knows.")
    return card


def require_belongs(card: ModelCard, card_path: Path, model_path: Path) -> None:
    """Make sure that a card describes this very model.

    Raises:
        InputError: the model is missing or unreadable, or is another file than the card's.
    """
    try:
        model_hash = fingerprint(model_path)
    except FileNotFoundError:
        raise InputError(f"there is no model {model_path}; run export-model.py first.") from None
    except OSError as error:
        raise InputError(f"the model {model_path} cannot be read ({error.strerror}).") from None
    if model_hash != card.model_hash:
        raise InputError(
            f"{card_path} describes another model than {model_path} (their hashes differ): copy the card "
            "that export-model.py wrote together with this model."
        )
