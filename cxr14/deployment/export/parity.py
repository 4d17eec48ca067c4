"""Parity of an exported model with its checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from cxr14.data import augment
from cxr14.data.image_lists import ImageList
from cxr14.data.images import ImageSource, decode
from cxr14.deployment.card import Preprocessing
from cxr14.deployment.export.network import gradient_heat_maps
from cxr14.deployment.prediction.model import Answers, Network
from cxr14.deployment.prediction.radiographs import prepare_gray
from cxr14.deployment_settings import Precision
from cxr14.evaluation import metrics

_BATCH = 16
_FEWEST = 10  # positives and negatives of a finding; of fewer, one radiograph moves the AUROC too much
# The derivative of a hardswish jumps at -3 and 3. In a radiograph with a hidden value next to a jump,
# rounding alone decides the side, and the heat maps differ visibly; that is rare.
_HEAT_MAP_SHARE = 0.99


@dataclass(frozen=True)
class Bounds:
    """How far an exported model may lie from its checkpoint."""

    probability: float
    """Largest difference of a calibrated probability."""
    mean_probability: float
    """Mean difference of the calibrated probabilities."""
    auroc: float
    """Largest difference of a finding's AUROC."""
    heat_map: float
    """Largest difference of a cell in 99 % of the radiographs, as a share of its hottest cell."""
    same_peak: float
    """Least share of heat maps whose hottest cell is the same."""


BOUNDS: dict[Precision, Bounds] = {
    "float32": Bounds(1e-5, 1e-6, 0.002, heat_map=1e-5, same_peak=0.97),
    "w8": Bounds(0.025, 0.001, 0.002, heat_map=np.inf, same_peak=0.97),
}


@dataclass(frozen=True)
class Row:
    """One line of the parity table."""

    name: str
    value: float
    """NaN where the radiographs do not allow to measure it."""
    bound: float
    at_least: bool = False
    """Whether the bound is the least value allowed instead of the largest."""

    @property
    def holds(self) -> bool:
        """Whether the value, if there is one, lies within the bound."""
        if np.isnan(self.value):
            return True
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass(frozen=True, eq=False)
class Sample:
    """The radiographs that parity is measured on, as training and prediction read them."""

    names: Sequence[str]
    labels: np.ndarray
    """(N, 14), 0 or 1."""
    gray: np.ndarray
    """(N, S, S) uint8, as PyTorch's networks get them."""
    prepared: np.ndarray
    """(N, S, S) uint8, as predict.py prepares them."""


def read_sample(
    image_list: ImageList, images: ImageSource, folder: Path, count: int, preprocessing: Preprocessing
) -> Sample:
    """Read the first radiographs of a list in both ways.

    Args:
        image_list: the list.
        images: where training reads radiographs from.
        folder: of the image files, which prediction decodes itself; with a packed store it starts from the
            stored pixels.
        count: N, radiographs at most.
        preprocessing: of the model's card.
    """
    names = image_list.names[:count]
    read = images.read(names, preprocessing.read_side)
    gray = augment.centre_crop(torch.from_numpy(read), preprocessing.image_size).numpy()
    prepared = []
    for name, pixels in zip(names, read, strict=True):
        file = folder / name
        prepared.append(prepare_gray(decode(file) if file.is_file() else pixels, preprocessing))
    return Sample(names, image_list.labels[:count], gray, np.stack(prepared))


def measure(
    sample: Sample,
    exported: Network,
    model: nn.Module,
    network: str,
    calibration: tuple[np.ndarray, np.ndarray],
    precision: Precision,
) -> list[Row]:
    """Compare an exported model with PyTorch in float32.

    Args:
        sample: N radiographs.
        exported: the model, as prediction loads it.
        model: the network of the checkpoint in eval mode on the CPU.
        network: its folder.
        calibration: (14,) slope and (14,) intercept of the calibrated probabilities.
        precision: of the exported model; it chooses the bounds.
    """
    ours = _answers_of_export(exported, sample.prepared)
    reference = _answers_of_pytorch(model, network, sample.gray, calibration, ours.heat_maps is not None)
    bounds = BOUNDS[precision]
    change = np.abs(ours.probabilities - reference.probabilities)
    pixels = np.abs(sample.prepared.astype(int) - sample.gray)
    rows = [
        Row("pixels, largest difference", float(pixels.max()), 0),
        Row("logits, largest difference", float(np.abs(ours.logits - reference.logits).max()), np.inf),
        Row("probabilities, largest difference", float(change.max()), bounds.probability),
        Row("probabilities, mean difference", float(change.mean()), bounds.mean_probability),
        Row("AUROC, largest difference", _auroc_change(sample, ours, reference, bounds.auroc), bounds.auroc),
    ]
    if ours.heat_maps is not None:
        rows += _heat_map_rows(ours.heat_maps, reference.heat_maps, bounds)
    return rows


def as_text(rows: Sequence[Row]) -> str:
    """Return the parity table for a terminal."""
    lines = [f"{'':36}{'measured':>12}{'bound':>12}"]
    for row in rows:
        measured = "-" if np.isnan(row.value) else f"{row.value:.3g}"
        bound = "-" if np.isinf(row.bound) else f"{'>=' if row.at_least else '<='} {row.bound:g}"
        lines.append(f"{row.name:36}{measured:>12}{bound:>12}{'' if row.holds else '  exceeded'}")
    return "\n".join(lines)


def _answers_of_export(exported: Network, gray: np.ndarray) -> Answers:
    parts = [
        exported(gray[start : start + _BATCH])
        for start in tqdm(range(0, len(gray), _BATCH), desc="exported", unit="batch", leave=False)
    ]
    return _joined(parts)


def _answers_of_pytorch(
    model: nn.Module,
    network: str,
    gray: np.ndarray,
    calibration: tuple[np.ndarray, np.ndarray],
    with_heat_maps: bool,
) -> Answers:
    slope, intercept = calibration
    parts = []
    for start in tqdm(range(0, len(gray), _BATCH), desc="PyTorch", unit="batch", leave=False):
        images = torch.from_numpy(gray[start : start + _BATCH])
        with torch.inference_mode():
            logits = model(augment.normalise(images)).numpy()
        maps = gradient_heat_maps(model, network, images).numpy() if with_heat_maps else None
        probabilities = 1 / (1 + np.exp(-(logits.astype(np.float64) * slope + intercept)))
        parts.append(Answers(logits, probabilities, maps))
    return _joined(parts)


def _joined(parts: Sequence[Answers]) -> Answers:
    maps = [part.heat_maps for part in parts]
    return Answers(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        None if maps[0] is None else np.concatenate(maps),
    )


def _auroc_change(sample: Sample, ours: Answers, reference: Answers, bound: float) -> float:
    positives = sample.labels.sum(axis=0, dtype=int)
    negatives = len(sample.labels) - positives
    # Two radiographs that change places move the AUROC by 1 / (positives x negatives), which alone must not
    # come near the bound.
    enough = np.minimum(positives, negatives) >= _FEWEST
    enough &= positives * negatives * bound >= 2
    if not enough.any():
        return float("nan")
    # Of the logits: probabilities near 0 or 1 round to the same float32.
    first, second = (metrics.auroc(sample.labels, answers.logits) for answers in (ours, reference))
    return float(np.abs(first - second)[enough].max())


def _heat_map_rows(ours: np.ndarray, reference: np.ndarray, bounds: Bounds) -> list[Row]:
    hottest = np.maximum(reference.max(axis=(1, 2, 3)), np.finfo(np.float32).tiny)
    change = np.abs(ours - reference).max(axis=(1, 2, 3)) / hottest
    flat, flat_reference = (maps.reshape(*maps.shape[:2], -1) for maps in (ours, reference))
    lit = flat_reference.max(axis=2) > 0  # a map of zeros has no peak
    same = (flat.argmax(axis=2) == flat_reference.argmax(axis=2))[lit]
    most = np.quantile(change, _HEAT_MAP_SHARE, method="lower")
    share = float(same.mean()) if lit.any() else float("nan")
    return [
        Row("heat maps, difference in 99 %", float(most), bounds.heat_map),
        Row("heat maps, same hottest cell", share, bounds.same_peak, at_least=True),
    ]
