"""What a run can be told: one dataclass for each kind of script, filled from its constants and its flags.

The dataclass carries the type, the default and the sentence that ``--help`` shows. A field without a default
is one that every script states for itself.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro
from typeguard import TypeCheckError, check_type

from cxr14.errors import InputError
from cxr14.labels import FINDINGS

ROOT = Path(__file__).resolve().parent.parent
"""The repository: the numbered folders, ChestX-ray14/ and results/ lie in it."""

STUDENT = "1-EEEA-Net-C2"
"""Folder of the network that all teachers are taught into."""


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may take, both ends included."""

    least: float
    most: float = math.inf

    def __str__(self) -> str:
        least = "above 0" if self.least == _ABOVE_ZERO else f"{self.least} or more"
        return least if self.most == math.inf else f"{least}, at most {self.most}"


_ABOVE_ZERO = 1e-12
Count = Annotated[int, Range(1)]
Whole = Annotated[int, Range(0)]
Positive = Annotated[float, Range(_ABOVE_ZERO)]
AtLeastZero = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
PositiveShare = Annotated[float, Range(_ABOVE_ZERO, 1)]


@dataclass(kw_only=True)
class RunSettings:
    """What training and testing share."""

    data_dir: Path
    """Folder of the radiographs that the image lists name."""
    ckpt_path: Path
    """Checkpoint of the network: training writes it, testing reads it."""
    batch_size: Count
    """Radiographs in one step."""
    num_workers: Whole = 2
    """Processes that read radiographs beside the main one; 0 reads in the main process."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps: auto takes an accelerator where there is one."""


@dataclass(kw_only=True)
class LoopSettings(RunSettings):
    """What every training, taught or not, can be told."""

    train_image_list: Path
    """Image list to learn from: a line a radiograph, its name and 14 labels."""
    val_image_list: Path
    """Image list on which the best epoch is chosen; no patient of it may stand in the training list."""
    num_epochs: Count
    """Passes over the training list."""
    learning_rate: Positive
    """Peak learning rate of AdamW, reached at the end of the warm-up."""
    weight_decay: AtLeastZero = 0.05
    """Decoupled weight decay of AdamW; biases and normalisation layers are spared."""
    warmup_epochs: AtLeastZero = 0.5
    """Epochs of linear warm-up before the cosine, at most half of all."""
    clip_norm: Positive = 5.0
    """Longest gradient that a step takes; a longer one is shortened to it."""
    accumulate: Count = 1
    """Parts in which a batch passes through the network, so that a large one fits a small card."""
    ema_decay: Share = 0.0
    """Keep an exponential moving average of the weights, say 0.9998, and test that; 0: none."""
    smallest_crop: PositiveShare = 0.5
    """Least share of the radiograph's area that a random crop keeps, 0 to 1."""
    image_size: Annotated[int, Range(32)] = 224
    """Side of the square that the network sees, in pixels."""
    pretrained: bool = True
    """Start from the published ImageNet-1k weights; --no-pretrained starts from random ones."""
    seed: Whole = 0
    """Fixes initial weights, order, crops and dropout."""
    deterministic: bool = False
    """Only algorithms that give the same numbers each time on the same GPU; slower."""
    compile: bool = False
    """Compile the network first: minutes once, then faster steps on a GPU."""
    sync_batchnorm: bool = False
    """BatchNorm over the batches of all GPUs together."""
    resume: bool = False
    """Go on from the last snapshot of CKPT_PATH, exactly as if nothing had happened."""
    save_minutes: AtLeastZero = 10.0
    """Time between two snapshots within an epoch; each epoch's end makes one in any case."""
    log_dir: Path | None = None
    """Folder for TensorBoard; None: the CSV log alone."""


@dataclass(kw_only=True)
class TrainSettings(LoopSettings):
    """Fine-tuning of one network."""

    init_checkpoint: Path | None = None
    """Start from this checkpoint instead of the ImageNet-1k weights: any format that is known."""


@dataclass(kw_only=True)
class DistillSettings(LoopSettings):
    """A teacher's knowledge taught into EEEA-Net-C2."""

    teacher: str
    """Folder of the teacher's network."""
    teacher_ckpt_path: Path
    """Checkpoint of the trained teacher."""
    student: str = STUDENT
    """Folder of the student's network."""
    student_ckpt_path: Path | None = None
    """Checkpoint that the student starts from; None: from the ImageNet-1k weights."""
    distill_loss: Literal["bernoulli", "study"]
    """How the student is drawn to the teacher; both formulas stand in cxr14/losses.py."""
    temperature: Positive
    """Divides the logits of both before they are compared; above 0."""
    hard_weight: Share = 0.5
    """Share of the labels against the teacher in the study loss (its alpha), 0 to 1."""
    soft_weight: AtLeastZero = 1 / len(FINDINGS)
    """Weight of the teacher beside the labels in the bernoulli loss (its lambda), 0 or more; one over the
    number of findings lets both weigh the same."""


@dataclass(kw_only=True)
class TestSettings(RunSettings):
    """Scoring of one checkpoint."""

    __test__ = False  # pytest would collect the class for its name

    test_image_list: Path
    """Image list to score."""
    val_image_list: Path
    """Image list on which the operating thresholds are chosen; never the one that is scored."""
    results_dir: Path
    """Folder that receives predictions and figures."""
    crops: Literal[1, 10]
    """10: four corners and the centre, each also mirrored, averaged; 1: the centre alone."""
    threshold_rule: Literal["youden", "f1", "sensitivity"] = "youden"
    """What the operating thresholds are best at on the validation list."""
    target_sensitivity: float | None = None
    """Sensitivity to reach, above 0 up to 1, for the rule of that name."""


@dataclass(kw_only=True)
class TaughtTestSettings(TestSettings):
    """Scoring of a student that a teacher taught."""

    teacher: str
    """Folder of the teacher's network."""
    student: str = STUDENT
    """Folder of the student's network."""


Settings = TypeVar("Settings")


def from_script(
    kind: type[Settings], script: Mapping[str, object], argv: Sequence[str] | None = None
) -> Settings:
    """Fill `kind` from a script's upper-case constants, then from the command line.

    Args:
        kind: a dataclass; its field ``batch_size`` is the constant BATCH_SIZE and the flag --batch-size.
        script: the script's ``globals()``. A path among its constants is relative to the script's folder,
            one on the command line to the working folder.
        argv: the command line; None takes that of the process.

    Raises:
        InputError: a constant that no field knows, of the wrong type, or missing; a number out of range.
    """
    folder = Path(str(script["__file__"])).resolve().parent
    constants = {name: value for name, value in script.items() if name.isupper() and not name.startswith("_")}
    hints = typing.get_type_hints(kind)
    fields = {field.name.upper(): field for field in dataclasses.fields(kind)}
    values = {}
    for name, value in constants.items():
        if name not in fields:
            raise InputError(
                f"{name} is not a setting of this script; known are {', '.join(sorted(fields))}."
            )
        values[name.lower()] = _checked(name, value, hints[name.lower()], folder)
    missing = [
        name
        for name, field in fields.items()
        if name not in constants
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InputError(f"the script leaves out {', '.join(missing)}.")
    description = str(script.get("__doc__") or "")
    settings = tyro.cli(kind, default=kind(**values), args=argv, description=description)
    _check_ranges(settings)
    return settings


def as_plain(settings: object) -> dict[str, object]:
    """Return the fields of a settings dataclass as numbers and strings, for a checkpoint or a JSON file."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(settings).items()
    }


def _checked(name: str, value: object, hint: object, folder: Path) -> object:
    if isinstance(value, str) and _takes(hint, Path):
        return (folder / value).resolve()
    if type(value) is int and _takes(hint, float):
        return float(value)
    # bool is an int to Python, but BATCH_SIZE = True is a slip.
    slip = isinstance(value, bool) and not _takes(hint, bool)
    try:
        check_type(value, hint)
    except TypeCheckError:
        slip = True
    if slip:
        raise InputError(f"{name} = {value!r} is of the wrong type; {_spelled(hint)} is expected.")
    return value


def _check_ranges(settings: object) -> None:
    for name, hint in typing.get_type_hints(type(settings), include_extras=True).items():
        for span in getattr(hint, "__metadata__", ()):
            value = getattr(settings, name)
            if not span.least <= value <= span.most:
                raise InputError(f"{name.upper()} = {value} is out of range; {span} is expected.")


def _takes(hint: object, kind: type) -> bool:
    return kind is hint or (isinstance(hint, types.UnionType) and kind in typing.get_args(hint))


def _spelled(hint: object) -> str:
    return (
        hint.__name__ if isinstance(hint, type) else str(hint).replace("pathlib.", "").replace("typing.", "")
    )
