"""The entry of every train script: settings -> data, network and loss -> the one loop -> a checkpoint."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from cxr14.data.geometry import read_side
from cxr14.data.kinds import KINDS
from cxr14.data.loader import Batches
from cxr14.errors import InputError
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from cxr14.runtime import devices
from cxr14.runtime.distributed import ProcessGroup, process_group
from cxr14.script import as_plain
from cxr14.settings import DistillSettings, LoopSettings, TrainSettings
from cxr14.training import losses, snapshot
from cxr14.training.learner import Learner
from cxr14.training.loop import Data, Training
from cxr14.training.losses import Loss

# Where a run is started, watched or saved may change between its two halves; all else must be the same.
FREE_TO_CHANGE = {"ckpt_path", "data_dir", "train_image_list", "val_image_list", "num_workers", "device"} | {
    "compile",
    "resume",
    "save_minutes",
    "log_dir",
}


def train(build_model: Callable[..., nn.Module], settings: TrainSettings) -> None:
    """Fine-tune one network: what train-model.py does.

    Args:
        build_model: builds the network, as that of a ``model.py`` does.
        settings: all of them.

    Raises:
        InputError: lists, radiographs, weights or settings cannot be used.
    """

    def begin(_: torch.device) -> tuple[nn.Module, Loss]:
        return _start(build_model, settings, settings.init_checkpoint), losses.binary_cross_entropy

    _run(settings, settings.folder.name, None, begin)


def distill(settings: DistillSettings) -> None:
    """Distil a teacher into a student: what the train-kd scripts do.

    Args:
        settings: all of them.

    Raises:
        InputError: lists, radiographs, weights or settings cannot be used.
    """

    def begin(device: torch.device) -> tuple[nn.Module, Loss]:
        teacher, held = checkpoint.load(settings.teacher_ckpt_path, settings.teacher)
        if held.about.image_size != settings.image_size:
            raise InputError(
                f"the teacher was trained at {held.about.image_size} pixels and the student is to see "
                f"{settings.image_size}: both see the same crops, so set IMAGE_SIZE to the teacher's."
            )
        student = _start(partial(zoo.build, settings.student), settings, settings.student_ckpt_path)
        return student, losses.Distillation([devices.place(teacher, device)], _comparison(settings))

    _run(settings, settings.student, settings.teacher, begin)


def _comparison(settings: DistillSettings) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    if settings.distill_loss == "study":
        weights = {"hard_weight": settings.hard_weight}
        return partial(losses.study_loss, temperature=settings.temperature, **weights)
    weights = {"soft_weight": settings.soft_weight}
    return partial(losses.bernoulli_loss, temperature=settings.temperature, **weights)


def _start(build_model: Callable[..., nn.Module], settings: LoopSettings, start: Path | None) -> nn.Module:
    model = build_model(
        num_classes=len(FINDINGS),
        pretrained=settings.pretrained and start is None and not settings.resume,
        image_size=settings.image_size,
    )
    if start is not None and not settings.resume:
        checkpoint.load_weights(model, start)
    return model


def _run(
    settings: LoopSettings,
    network: str,
    teacher: str | None,
    begin: Callable[[torch.device], tuple[nn.Module, Loss]],
) -> None:
    with process_group(settings.device) as group:
        # In a function of its own, so that all it made is gone before the processes part.
        stopped = _train(settings, network, teacher, begin, group)
    if stopped:
        sys.exit(128 + stopped)


def _train(
    settings: LoopSettings,
    network: str,
    teacher: str | None,
    begin: Callable[[torch.device], tuple[nn.Module, Loss]],
    group: ProcessGroup,
) -> int | None:
    """Train, and return the number of the signal that ended it early."""
    # The cheap looks first: a missing radiograph should not wait for a download of weights.
    data = Data.read(settings)
    torch.manual_seed(settings.seed)
    model, loss = begin(group.device)
    training = _assemble(settings, network, teacher, data, group, model, loss)
    left = checkpoint.snapshot_path(settings.ckpt_path)
    if settings.resume:
        training.resume()
    elif group.is_main and left.exists():
        print(f"{left} of an earlier training is going to be replaced; --resume would go on with it.")
    if group.is_main:
        parameters = sum(parameter.numel() for parameter in model.parameters())
        print(
            f"{network}: {parameters:,} parameters; {KINDS[data.train.kind].counted(len(data.train))} to "
            f"learn from, {len(data.val)} to choose the epoch on; {group.world_size} x {group.device}"
        )
    try:
        progress = training.run()
    except snapshot.Stopped as stopped:
        if group.is_main:
            print(f"Stopped by {stopped}; the state is in {left}, go on with --resume.", file=sys.stderr)
        return stopped.number
    if group.is_main:
        print(
            f"Best epoch {progress.best_epoch} of {progress.epoch}: validation AUROC "
            f"{progress.best_auroc:.3f}; kept in {settings.ckpt_path}"
        )
    return None


def _assemble(
    settings: LoopSettings,
    network: str,
    teacher: str | None,
    data: Data,
    group: ProcessGroup,
    model: nn.Module,
    loss: Loss,
) -> Training:
    identity = {name: value for name, value in as_plain(settings).items() if name not in FREE_TO_CHANGE}
    identity |= {"network": network, "teacher": teacher, **data.fingerprints}

    def keep(weights: dict[str, Tensor], epoch: int, auroc: float) -> None:
        about = checkpoint.About(
            network=network,
            teacher=teacher,
            image_size=settings.image_size,
            splits=data.fingerprints,
            seed=settings.seed,
            settings=as_plain(settings),
            epoch=epoch,
            val_auroc=auroc,
            device=devices.describe(group.device),
        )
        checkpoint.save(settings.ckpt_path, weights, about)

    shares = {"rank": group.rank, "world": group.world_size, "num_workers": settings.num_workers}
    shares |= {"side": read_side(settings.image_size), "batch_size": settings.batch_size}
    train = Batches(data.train, data.images, seed=settings.seed, drop_last=True, **shares)
    val = Batches(data.val, data.images, seed=None, drop_last=False, **shares)
    learner = Learner(model, loss, settings, group, steps_per_epoch=len(train))
    return Training(learner, data, train, val, keep, identity)
