"""Checkpoints: every published format in, one format out, and never a stranger's code run.

A file of ours is `torch.save` of plain containers: a format number, an `About` as a dict, the weights.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import timm
import torch
from torch import Tensor, nn

from cxr14.data.provenance import Provenance
from cxr14.errors import InputError
from cxr14.files import atomic_write
from cxr14.findings import FINDINGS
from cxr14.models import published, zoo
from cxr14.settings import ROOT

FORMAT = 2
"""Goes up when an older program could not read a newer file rightly."""

_MARK = "cxr14_format"


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "cxr14": importlib.metadata.version("cxr14"),
        "revision": _revision(),
    }


def _revision() -> str:
    """Name the state of the checkout, or "unknown" where git cannot tell."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@dataclass(frozen=True, kw_only=True)
class About:
    """What a file of weights says about itself; all of it numbers, strings, lists and dicts."""

    network: str
    """Folder of the network, one of `zoo.NAMES`."""
    image_size: int
    """Side of the square that the network saw, in pixels."""
    teacher: str | None = None
    """Folder of the teacher's network; None: the labels alone."""
    teacher_hash: str | None = None
    """`hash_weights` of the teacher."""
    findings: tuple[str, ...] = FINDINGS
    """What each output stands for, in order."""
    splits: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each image list that shaped the weights, by its role: train, val."""
    seed: int | None = None
    """Seed of the run."""
    settings: dict[str, object] = field(default_factory=dict)
    """Settings of the run, as `settings.as_plain` gives them."""
    epoch: int | None = None
    """Epoch that the weights come from, the first being 1."""
    val_auroc: float | None = None
    """Mean AUROC on the validation list at that epoch, 0 to 1."""
    device: str | None = None
    """The processor or GPU that trained it, by its maker's name."""
    versions: dict[str, str] = field(default_factory=_versions)
    """Python and packages that wrote the file."""
    extra: dict[str, object] = field(default_factory=dict)
    """What joined later, such as operating thresholds."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights, and what they say about themselves."""

    weights: dict[str, Tensor]
    about: About
    provenance: Provenance = field(default_factory=Provenance)
    """The patients behind the weights."""
    ours: bool = True
    """Whether a training here wrote it, not the authors of a network."""

    @cached_property
    def weights_hash(self) -> str:
        """`hash_weights` of the weights: what tells them from others, wherever the file lies."""
        return hash_weights(self.weights)


def hash_weights(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and values of a state dict, in hexadecimal digits."""
    total = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.flatten().view(torch.uint8).numpy())
    return total.hexdigest()


def log_path(checkpoint: Path) -> Path:
    """Return the CSV log of the training that writes `checkpoint`: model1.pth -> model1.log.csv."""
    return checkpoint.with_suffix(".log.csv")


def snapshot_path(checkpoint: Path) -> Path:
    """Return the last snapshot of the training that writes `checkpoint`: model1.pth -> model1.last.pth."""
    return checkpoint.with_suffix(".last.pth")


def save(
    path: Path, model_state: Mapping[str, Tensor], about: About, provenance: Provenance | None = None
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: the file; one of that name is replaced.
        model_state: the network's state dict, on any device.
        about: what to say of it; numpy numbers and arrays in it are stored as plain ones.
        provenance: the patients behind the weights; None: no patients.

    Raises:
        InputError: the disk is full, the folder cannot be written, and the like.
    """
    provenance = provenance or Provenance()
    content = {
        _MARK: FORMAT,
        "provenance": {
            # torch has few operations on uint64; the bits are the same.
            "train": torch.from_numpy(provenance.train.view(np.int64).copy()),
            "val": torch.from_numpy(provenance.val.view(np.int64).copy()),
            "unknown": list(provenance.unknown),
        },
        "about": json.loads(json.dumps(dataclasses.asdict(about), default=lambda value: value.tolist())),
        # A clone, or a view would drag the whole of its storage into the file.
        "weights": {name: tensor.detach().cpu().clone() for name, tensor in model_state.items()},
    }
    with atomic_write(Path(path)) as aside:
        torch.save(content, aside)


def read(path: Path) -> Checkpoint:
    """Read a checkpoint that `save` wrote.

    Raises:
        InputError: it is missing, corrupt, of another origin, or of a format that a newer program wrote.
    """
    content = published.read_file(path)
    if not _is_ours(content):
        raise _does_not_say(path)
    return _parsed(content, path)


def load(
    path: Path, network: str | None = None, build_model: Callable[..., nn.Module] | None = None
) -> tuple[nn.Module, Checkpoint]:
    """Build the network that a checkpoint holds, at its image size, and fill it with all of the weights.

    Args:
        path: a checkpoint of ours; or, where `network` is given, any published file with an output for each
            of the 14 findings in NIH's order, taken to be of 224 px.
        network: the folder of the network that it has to be.
        build_model: builds the network; None takes the one of its folder.

    Returns:
        The network in eval mode on the CPU, and the checkpoint.

    Raises:
        InputError: it cannot be read, is of another network, or would leave any weight untrained.
    """
    content = published.read_file(path)
    if _is_ours(content):
        checkpoint = _parsed(content, path)
    elif network is None:
        raise _does_not_say(path)
    else:
        weights = published.state_dict_of(content, str(path))
        about = About(network=network, image_size=224, versions={})
        checkpoint = Checkpoint(weights, about, Provenance(unknown=(Path(path).name,)), ours=False)
    about = checkpoint.about
    if network is not None and about.network != network:
        raise InputError(
            f"{path} holds {about.network}, but this stage is {network}; give a checkpoint of it."
        )
    if about.findings != FINDINGS:
        raise InputError(f"{path} was trained on other findings: {', '.join(about.findings)}.")
    build_model = build_model or partial(zoo.build, about.network)
    model = build_model(num_classes=len(FINDINGS), pretrained=False, image_size=about.image_size)
    published.fill(model, checkpoint.weights, str(path), whole=True)
    return model.eval(), checkpoint


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill a network from a checkpoint of ours or from a published file of any known format.

    Known are a bare state dict, ``{"state_dict": …}``, DataParallel's names, arnoweng/CheXNet,
    jitdee-ai/darmo, danczs/Visformer, microsoft/Cream AutoFormerV2 and timm. From a file with another number
    of outputs all but the classifier is taken, and a line says so; position tables of another image size are
    resampled.

    Args:
        model: a network of the zoo; it is changed in place.
        path: the file.

    Raises:
        InputError: unreadable, or tensors are missing, unknown or of another shape (the first are listed).
    """
    content = published.read_file(path)
    tensors = (
        _parsed(content, path).weights if _is_ours(content) else published.state_dict_of(content, str(path))
    )
    published.fill(model, tensors, str(path))


def _is_ours(content: object) -> bool:
    return isinstance(content, Mapping) and _MARK in content


def _parsed(content: Mapping, path: Path) -> Checkpoint:
    if content[_MARK] != FORMAT:
        raise InputError(
            f"{path} has checkpoint format {content[_MARK]}, this program knows {FORMAT}; update the program."
        )
    try:
        told = content["about"]
        about = About(**{**told, "findings": tuple(told["findings"])})
        patients = content["provenance"]
        provenance = Provenance(
            patients["train"].numpy().view(np.uint64),
            patients["val"].numpy().view(np.uint64),
            tuple(map(str, patients["unknown"])),
        )
        return Checkpoint(published.state_dict_of(content["weights"], str(path)), about, provenance)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path} does not hold what checkpoint format {FORMAT} should ({error}).") from error


def _does_not_say(path: Path) -> InputError:
    return InputError(
        f"{path} is not one of our checkpoints, so it does not say which network and findings it belongs to; "
        "give one that a training here has left."
    )
