"""Teachers of a distillation: loaded, weighed on validation, and their caches."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cxr14.data.geometry import read_side
from cxr14.data.image_lists import ImageList
from cxr14.errors import InputError
from cxr14.evaluation import calibration, delong, inference, metrics
from cxr14.evaluation.intervals import patients_of_each_class
from cxr14.evaluation.predictions import VALIDATION, Predictions
from cxr14.files import require_space
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint
from cxr14.models.checkpoint import Checkpoint
from cxr14.runtime import precision
from cxr14.runtime.distributed import ProcessGroup
from cxr14.settings import DistillAllSettings, DistillationSettings, DistillSettings, LoopSettings
from cxr14.training.data import Data
from cxr14.training.distillation import Combination
from cxr14.training.teacher_cache import TeacherCache

WEIGHT_SCALE = 0.01
"""Difference in AUROC that multiplies the weight of a teacher by e, where teachers are weighed by finding."""

CHECKED = 1_000
"""Radiographs of the training list, and of the validation list, on which a teacher's AUROC is printed."""


@dataclass(frozen=True)
class LoadedTeacher:
    """A trained network in eval mode on the CPU, and its checkpoint."""

    model: nn.Module
    checkpoint: Checkpoint
    path: Path

    @property
    def network(self) -> str:
        """Folder of its network."""
        return self.checkpoint.about.network

    @property
    def image_size(self) -> int:
        """Side of the crops that it was trained on, in pixels."""
        return self.checkpoint.about.image_size


def load(settings: DistillationSettings) -> list[LoadedTeacher]:
    """Load the teachers that the settings name.

    Raises:
        InputError: a checkpoint cannot be read, is of another network, findings or image size, or there are
            fewer than two where several are expected.
    """
    if isinstance(settings, DistillSettings):
        wanted = [(settings.teacher_ckpt_path, settings.teacher)]
    else:
        wanted = [(path, None) for path in settings.teachers]
        if len(set(wanted)) < 2:
            raise InputError("TEACHERS needs two different checkpoints or more; a train-kd script takes one.")
    teachers = [LoadedTeacher(*checkpoint.load(path, network), path) for path, network in wanted]
    for teacher in teachers:
        if teacher.image_size != settings.image_size and not settings.sharper_teacher:
            raise InputError(
                f"the teacher {teacher.path} was trained at {teacher.image_size} pixels, but IMAGE_SIZE = "
                f"{settings.image_size}; set IMAGE_SIZE to the teacher's, or SHARPER_TEACHER = True to let "
                "it see the same crops at its own size."
            )
    return teachers


def name_of(teachers: Sequence[LoadedTeacher]) -> str:
    """Return the folder of the teacher's network, or those of several joined by "+"."""
    return "+".join(teacher.network for teacher in teachers)


def hash_of(teachers: Sequence[LoadedTeacher]) -> str:
    """Return the hash of the teacher's weights, or the SHA-256 of the hashes of several."""
    hashes = [teacher.checkpoint.weights_hash for teacher in teachers]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("+".join(hashes).encode()).hexdigest()


def caches(
    settings: DistillationSettings,
    teachers: Sequence[LoadedTeacher],
    data: Data,
    steps_per_epoch: int,
    group: ProcessGroup,
) -> list[TeacherCache | None]:
    """Return the cache of each teacher's logits, or None for each where the settings want none.

    Raises:
        InputError: the logits of this training take more than TEACHER_CACHE_GB or than the disk has.
    """
    if settings.teacher_cache is None or settings.map_weight:
        if settings.map_weight and group.is_main:
            print("The teachers' maps are not cached, so with MAP_WEIGHT they are computed in each step.")
        return [None] * len(teachers)
    rows = steps_per_epoch * settings.batch_size
    size = settings.num_epochs * len(teachers) * rows * len(FINDINGS) * 4
    if size > 1e9 * settings.teacher_cache_gb:
        raise InputError(
            f"the teachers' logits for this training take {size / 1e9:.1f} GB, more than TEACHER_CACHE_GB = "
            f"{settings.teacher_cache_gb:g}; raise it, or set TEACHER_CACHE = None."
        )
    folders = [
        teacher.path.parent / "teacher-logits" if settings.teacher_cache == "auto" else settings.teacher_cache
        for teacher in teachers
    ]
    for folder in dict.fromkeys(folders):
        require_space(folder, size, "the cache of the teachers' logits", "set TEACHER_CACHE = None")
    if group.is_main:
        places = ", ".join(str(folder) for folder in dict.fromkeys(folders))
        print(f"Teacher logits are kept in {places}, up to {size / 1e6:.0f} MB.")
    shared = {
        "list": data.train.fingerprint,
        "radiographs": str(settings.data_dir.resolve()),
        "side": side_for(settings, teachers),
        "seed": settings.seed,
        "batch size": settings.batch_size,
        "smallest crop": settings.smallest_crop,
        "mixup": settings.mixup,
        "processes": group.world_size,
        "parts": settings.accumulate if settings.mixup else 1,
        "device": group.device.type,
        "number format": str(precision.training_dtype(group.device)),
    }
    keys = [
        {**shared, "teacher": teacher.checkpoint.weights_hash, "image size": teacher.image_size}
        for teacher in teachers
    ]
    return [TeacherCache(folder, key, rows, len(FINDINGS)) for folder, key in zip(folders, keys, strict=True)]


def print_auroc(
    teachers: Sequence[LoadedTeacher], data: Data, settings: DistillationSettings, group: ProcessGroup
) -> None:
    """Print each teacher's AUROC on this training list beside that on the validation list.

    A teacher that is much better on radiographs that it was trained on hands their labels back, with the
    errors in them.
    """
    for teacher in teachers:
        parts = [_sample(each) for each in (data.train, data.val)]
        found = [_macro_auroc(teacher, part, data, settings, group) for part in parts]
        own = teacher.checkpoint.about.splits.get("train") == data.train.fingerprint
        if group.is_main:
            print(
                f"Teacher {teacher.network}: AUROC {found[0]:.3f} on {len(parts[0]):,} radiographs of "
                f"{'its' if own else 'the'} training list, {found[1]:.3f} on {len(parts[1]):,} of the "
                "validation list."
            )


def holds_validation_back(settings: LoopSettings) -> bool:
    """Return whether half of the validation list is for the teachers, and selects no epoch."""
    return isinstance(settings, DistillAllSettings) and (
        settings.calibrate_teachers or settings.teacher_weights == "finding"
    )


def combine(
    settings: DistillAllSettings, teachers: Sequence[LoadedTeacher], data: Data, group: ProcessGroup
) -> Combination:
    """Calibrate each teacher and weigh them, on the part of the validation list that selects no epoch.

    Logits are calibrated finding by finding (`calibration.fit_calibrations`), because the mean of
    uncalibrated logits follows the most confident teacher; CALIBRATE_TEACHERS = False takes that mean. The
    weights are equal, or those of `weights_by_finding`.

    Returns:
        The combination of their logits.

    Raises:
        InputError: a finding has too few patients there.
    """
    slopes, intercepts = np.ones((len(teachers), len(FINDINGS))), np.zeros((len(teachers), len(FINDINGS)))
    weights = np.full(slopes.shape, 1 / len(teachers))
    if holds_validation_back(settings):
        part = data.calibration_part
        _require_patients(part)
        predictions = [_predict(teacher, part, data, settings, group) for teacher in teachers]
        if settings.calibrate_teachers:
            fitted = [calibration.fit_calibrations(each) for each in predictions]
            slopes = np.array([[each.slope for each in one] for one in fitted])
            intercepts = np.array([[each.intercept for each in one] for one in fitted])
        if settings.teacher_weights == "finding":
            weights = weights_by_finding(
                part.labels, [each.logits for each in predictions], np.array(part.patients)
            )
    if group.is_main:
        printed = {"Weights": weights} | ({"Slopes": slopes} if settings.calibrate_teachers else {})
        for name, values in printed.items():
            shares = ", ".join(
                f"{teacher.network} {row.mean():.2f} ({row.min():.2f} to {row.max():.2f})"
                for teacher, row in zip(teachers, values, strict=True)
            )
            print(f"{name} of the teachers, mean over findings (and range): {shares}")
    return Combination(
        torch.tensor(weights * slopes, dtype=torch.float32),
        torch.tensor((weights * intercepts).sum(axis=0), dtype=torch.float32),
    )


def _require_patients(part: ImageList) -> None:
    positive, negative = patients_of_each_class(part.labels == 1, np.array(part.patients))
    fewest = np.minimum(positive, negative)
    if fewest.min() < calibration.FOLDS:
        finding = int(fewest.argmin())
        raise InputError(
            f"the half of {part.path} that the teachers are calibrated on has {positive[finding]} patients "
            f"with {FINDINGS[finding]} and {negative[finding]} without; {calibration.FOLDS} of each are "
            "needed. Use a longer validation list, or one teacher, or set CALIBRATE_TEACHERS = False and "
            'TEACHER_WEIGHTS = "equal".'
        )


def weights_by_finding(labels: np.ndarray, logits: Sequence[np.ndarray], patients: np.ndarray) -> np.ndarray:
    """Return weights that grow with a teacher's validation AUROC, softmax over teachers of A / 0.01.

    A is the AUROC shrunk towards the teachers' mean for that finding, by the share of the spread between
    teachers that the choice of patients explains (their DeLong covariance), so that chance differences in a
    rare finding give nearly equal weights.

    Args:
        labels: (N, 14), 0 or 1.
        logits: K arrays (N, 14).
        patients: (N,) the patient of each radiograph.

    Returns:
        (K, 14), each column summing to 1.
    """
    aurocs = np.array([metrics.auroc(labels, each) for each in logits])  # (K, 14)
    covariance = delong.delong_covariance(labels, logits, patients)  # (14, K, K)
    count = len(aurocs)
    centring = np.eye(count) - 1 / count
    noise = np.trace(centring @ covariance @ centring, axis1=1, axis2=2) / (count - 1)  # (14,)
    mean = aurocs.mean(axis=0)
    spread = ((aurocs - mean) ** 2).sum(axis=0) / (count - 1)
    real = max(0.0, np.mean(spread - noise))  # variance between teachers, pooled over the findings
    shrunk = mean + (aurocs - mean) * (real / (real + noise) if real else 0.0)
    exponents = (shrunk - shrunk.max(axis=0)) / WEIGHT_SCALE
    return np.exp(exponents) / np.exp(exponents).sum(axis=0)


def _predict(
    teacher: LoadedTeacher,
    image_list: ImageList,
    data: Data,
    settings: DistillationSettings,
    group: ProcessGroup,
) -> Predictions:
    return inference.predict_list(
        teacher.model.to(group.device),
        teacher.checkpoint,
        image_list,
        data.images,
        group,
        split=VALIDATION,
        crops=1,
        batch_size=settings.batch_size,
        num_workers=settings.num_workers,
    )


def _macro_auroc(
    teacher: LoadedTeacher,
    image_list: ImageList,
    data: Data,
    settings: DistillationSettings,
    group: ProcessGroup,
) -> float:
    predictions = _predict(teacher, image_list, data, settings, group)
    return metrics.macro(metrics.auroc(predictions.labels, predictions.logits))[0]


def _sample(image_list: ImageList) -> ImageList:
    """Return up to `CHECKED` radiographs, spread evenly over the list."""
    chosen = np.linspace(0, len(image_list) - 1, min(CHECKED, len(image_list))).astype(int)
    return image_list.subset(chosen)


def side_for(settings: DistillationSettings, teachers: Sequence[LoadedTeacher]) -> int:
    """Return the side at which radiographs are read, in pixels: enough for whoever sees them sharpest."""
    return read_side(max(settings.image_size, *(teacher.image_size for teacher in teachers)))
