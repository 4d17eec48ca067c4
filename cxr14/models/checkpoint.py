"""Checkpoints: weights with metadata and provenance.

A checkpoint of ours is `torch.save` of plain containers: a format number, an `About` as a dict, the
provenance and the weights. Only `save` writes one; no function changes a file that it reads.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cxr14.data.provenance import Provenance
from cxr14.errors import InputError
from cxr14.files import atomic_write
from cxr14.findings import FINDINGS
from cxr14.models import published, versions, zoo
from cxr14.records import check_fields, check_plain
from cxr14.script import ImageSide, check_ranges
from cxr14.settings import LOG, SNAPSHOT

FORMAT = 2
"""Increases when an older version could not read a newer file correctly."""

_MARK = "cxr14_format"

# Published weights with as many outputs learnt from photographs; fewer may have learnt from radiographs.
_IMAGENET_OUTPUTS = 1000


@dataclass(frozen=True, kw_only=True)
class About:
    """The metadata of a checkpoint: numbers, strings, lists and dicts only."""

    network: str
    """Folder of the network."""
    image_size: ImageSide
    """Side of the network's square input, in pixels."""
    teacher: str | None = None
    """Folder of the teacher's network; None: trained on the labels alone."""
    teacher_hash: str | None = None
    """`hash_weights` of the teacher."""
    findings: tuple[str, ...] = FINDINGS
    """The finding of each output, in order."""
    splits: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the image lists, by role: train, val."""
    seed: int | None = None
    """Seed of the training."""
    settings: dict[str, object] = field(default_factory=dict)
    """Settings of the training, as `script.as_plain` returns them."""
    epoch: int | None = None
    """Epoch of the weights, counted from 1."""
    val_auroc: float | None = None
    """Mean AUROC on the validation list at that epoch, 0 to 1."""
    device: str | None = None
    """Model name of the processor or GPU that trained the weights."""
    versions: dict[str, str] = field(default_factory=versions.in_use)
    """Versions of Python and of the packages that wrote the file."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights with their metadata and provenance."""

    weights: dict[str, Tensor]
    about: About
    provenance: Provenance = field(default_factory=Provenance)
    """The patients whose radiographs the weights depend on."""
    ours: bool = True
    """Whether `save` wrote it; False: it was published by others."""

    @cached_property
    def weights_hash(self) -> str:
        """`hash_weights` of the weights, which identifies them wherever the file lies."""
        return hash_weights(self.weights)


def hash_weights(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the names, types, shapes and values in a state dict, in hexadecimal digits.

    The order of the tensors and their layout in memory have no influence.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def log_path(checkpoint: Path) -> Path:
    """Return the CSV log of the training that writes `checkpoint`: model1.pth -> model1.log.csv."""
    return checkpoint.with_suffix(LOG)


def snapshot_path(checkpoint: Path) -> Path:
    """Return the last snapshot of the training that writes `checkpoint`: model1.pth -> model1.last.pth."""
    return checkpoint.with_suffix(SNAPSHOT)


def save(
    path: Path, model_state: Mapping[str, Tensor], about: About, provenance: Provenance | None = None
) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file; one of that name is replaced.
        model_state: the network's state dict, on any device.
        about: metadata; numpy numbers in it are stored as Python's.
        provenance: the patients whose radiographs the weights depend on; None: no patients.

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
        # Cloned, because torch.save writes the whole storage of a view.
        "weights": {name: tensor.detach().cpu().clone() for name, tensor in model_state.items()},
    }
    # Given a path, torch.save would not say that the disk is full.
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def read(path: Path) -> Checkpoint:
    """Read a checkpoint that `save` wrote.

    Raises:
        InputError: it is missing, corrupt, published by others, or of another format version.
    """
    content = published.read_file(path)
    if not _is_ours(content):
        raise _without_metadata(path)
    return _parse(content, path)


def load(
    path: Path, network: str | None = None, build_model: Callable[..., nn.Module] | None = None
) -> tuple[nn.Module, Checkpoint]:
    """Build the network of a checkpoint, at its image size, and load all of its weights.

    Args:
        path: a checkpoint of ours; or, if `network` is given, a published file with one output for each of
            the 14 findings in NIH's order and an image size of 224 px, whose provenance is unknown.
        network: the folder that the checkpoint's network must have.
        build_model: builds the network; None: the one in the network's folder.

    Returns:
        The network in eval mode on the CPU, and the checkpoint.

    Raises:
        InputError: the file cannot be read, is of another network or other findings, or lacks a tensor.
    """
    content = published.read_file(path)
    if _is_ours(content):
        checkpoint = _parse(content, path)
    elif network is None:
        raise _without_metadata(path)
    else:
        weights = published.state_dict_of(content, str(path))
        about = About(network=network, image_size=224, versions={})
        checkpoint = Checkpoint(weights, about, _unknown(path), ours=False)
    about = checkpoint.about
    if network is not None and about.network != network:
        raise InputError(
            f"{path} holds {about.network}, but this stage is {network}; give a checkpoint of it."
        )
    if about.findings != FINDINGS:
        raise InputError(f"{path} was trained on other findings: {', '.join(about.findings)}.")
    build_model = build_model or partial(zoo.build, about.network)
    model = build_model(num_classes=len(FINDINGS), pretrained=False, image_size=about.image_size)
    published.fill(model, checkpoint.weights, str(path), require_classifier=True)
    return model.eval(), checkpoint


def load_weights(model: nn.Module, path: Path) -> Provenance:
    """Load a checkpoint of ours, or a published file of any known format, into a network.

    Known are a bare state dict, ``{"state_dict": …}``, DataParallel's names, arnoweng/CheXNet,
    jitdee-ai/darmo, danczs/Visformer, microsoft/Cream AutoFormerV2 and timm. From a file with another number
    of outputs all but the classifier is loaded, and a line says so; position tables of another image size are
    resampled.

    Args:
        model: a network; it is changed in place.
        path: the file.

    Returns:
        The patients whose radiographs the weights depend on: those that a checkpoint of ours records, none
        for published ImageNet weights, unknown ones for any other published file.

    Raises:
        InputError: unreadable, or tensors are missing, unknown or of another shape (the first are listed).
    """
    content = published.read_file(path)
    if _is_ours(content):
        checkpoint = _parse(content, path)
        published.fill(model, checkpoint.weights, str(path))
        return checkpoint.provenance
    outputs = published.fill(model, published.state_dict_of(content, str(path)), str(path))
    is_imagenet = outputs is not None and outputs >= _IMAGENET_OUTPUTS
    return Provenance() if is_imagenet else _unknown(path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a checkpoint of ours or in a published file, with the names in the file.

    Raises:
        InputError: it cannot be read, or holds no state dict.
    """
    content = published.read_file(path)
    if _is_ours(content):
        return _parse(content, path).weights
    return published.state_dict_of(content, str(path))


def _unknown(path: Path) -> Provenance:
    return Provenance(unknown=(Path(path).name,))


def _is_ours(content: object) -> bool:
    return isinstance(content, Mapping) and _MARK in content


def _parse(content: Mapping, path: Path) -> Checkpoint:
    if type(content[_MARK]) is not int or content[_MARK] != FORMAT:
        raise InputError(
            f"{path} has checkpoint format {content[_MARK]}, but this version of the program reads format "
            f"{FORMAT}; use the version that wrote it, or train again."
        )
    try:
        about = content["about"]
        about = About(**{**about, "findings": tuple(about["findings"])})
        check_fields(about)
        check_ranges(about)
        check_plain(dataclasses.asdict(about))
        patients = content["provenance"]
        unknown = tuple([] + patients["unknown"])  # a TypeError for text, which tuple() would take apart
        provenance = Provenance(_hashes(patients["train"]), _hashes(patients["val"]), unknown)
        check_fields(provenance)
        weights = content["weights"]
    except Exception as error:  # tensors in the place of dicts and lists raise many kinds of errors
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path} is not a valid checkpoint of format {FORMAT} ({reason}).") from error
    return Checkpoint(published.state_dict_of(weights, str(path)), about, provenance)


def _hashes(tensor: Tensor) -> np.ndarray:
    if tensor.dtype != torch.int64 or tensor.dim() != 1:
        raise TypeError("the hashes of patients must be a one-dimensional tensor of int64")
    return tensor.numpy().view(np.uint64)


def _without_metadata(path: Path) -> InputError:
    return InputError(
        f"{path} is not one of our checkpoints, so it does not say which network and findings it belongs to; "
        "give one that a training here has left."
    )
