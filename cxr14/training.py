"""The entry of every train script: settings -> data, network and loss -> the one loop -> a checkpoint."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cxr14 import augment, checkpoint, devices, losses, snapshot, zoo
from cxr14.dataset import Batches
from cxr14.errors import InputError, spoken_errors
from cxr14.learner import Learner
from cxr14.loop import Data, Training
from cxr14.losses import Loss
from cxr14.processes import Processes, joined
from cxr14.settings import DistillSettings, LoopSettings, TrainSettings, as_plain, from_script

# Where a run is started, watched or saved may change between its two halves; all else must be the same.
FREE_TO_CHANGE = {"ckpt_path", "data_dir", "train_image_list", "val_image_list", "num_workers", "device"} | {
    "compile",
    "resume",
    "save_minutes",
    "log_dir",
}


def main(build_model: Callable[..., nn.Module], script: Mapping[str, Any]) -> None:
    """Fine-tune one network as the constants of `script` and the command line say.

    Args:
        build_model: of the ``model.py`` beside the script.
        script: the script's ``globals()``.
    """
    with spoken_errors():
        settings = from_script(TrainSettings, script)
        network = zoo.name_of(build_model)

        def begin(_: torch.device) -> tuple[nn.Module, Loss]:
            model = _student(network, settings, settings.init_checkpoint)
            return model, losses.binary_cross_entropy

        _run(settings, network, None, begin)


def distil(script: Mapping[str, Any]) -> None:
    """Teach a student what a trained network knows, as the constants of `script` and the command line say.

    Args:
        script: the script's ``globals()``.
    """
    with spoken_errors():
        settings = from_script(DistillSettings, script)

        def begin(device: torch.device) -> tuple[nn.Module, Loss]:
            teacher, held = checkpoint.load(settings.teacher_ckpt_path, settings.teacher)
            if held.about.image_size != settings.image_size:
                raise InputError(
                    f"the teacher learnt at {held.about.image_size} pixels and the student is to see "
                    f"{settings.image_size}: both see the same crops, so set IMAGE_SIZE to the teacher's."
                )
            student = _student(settings.student, settings, settings.student_ckpt_path)
            return student, losses.Distillation([devices.place(teacher, device)], _comparison(settings))

        _run(settings, settings.student, settings.teacher, begin)


def _comparison(settings: DistillSettings) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    if settings.distill_loss == "study":
        weights = {"hard_weight": settings.hard_weight}
        return partial(losses.study_loss, temperature=settings.temperature, **weights)
    weights = {"soft_weight": settings.soft_weight}
    return partial(losses.bernoulli_loss, temperature=settings.temperature, **weights)


def _student(network: str, settings: LoopSettings, start: Path | None) -> nn.Module:
    model = zoo.build(
        network,
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
    with joined(settings.device) as processes:
        # In a function of its own, so that all it made is gone before the processes part.
        stopped = _train(settings, network, teacher, begin, processes)
    if stopped:
        sys.exit(128 + stopped)


def _train(
    settings: LoopSettings,
    network: str,
    teacher: str | None,
    begin: Callable[[torch.device], tuple[nn.Module, Loss]],
    processes: Processes,
) -> int | None:
    """Train, and return the number of the signal that ended it early."""
    # The cheap looks first: a missing radiograph should not wait for a download of weights.
    data = Data.read(settings)
    torch.manual_seed(settings.seed)
    model, loss = begin(processes.device)
    training = _assemble(settings, network, teacher, data, processes, model, loss)
    left = snapshot.path_of(settings.ckpt_path)
    if settings.resume:
        training.resume()
    elif processes.speaks and left.exists():
        print(f"{left} of an earlier training is going to be replaced; --resume would go on with it.")
    if processes.speaks:
        parameters = sum(parameter.numel() for parameter in model.parameters())
        print(
            f"{network}: {parameters:,} parameters; {len(data.train)} {data.train.kind} radiographs to "
            f"learn from, {len(data.val)} to choose the epoch on; {processes.world} x {processes.device}"
        )
    try:
        progress = training.run()
    except snapshot.Stopped as stopped:
        if processes.speaks:
            print(f"Stopped by {stopped}; the state is in {left}, go on with --resume.", file=sys.stderr)
        return stopped.number
    if processes.speaks:
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
    processes: Processes,
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
            device=devices.describe(processes.device),
        )
        checkpoint.save(settings.ckpt_path, weights, about)

    shares = {"rank": processes.rank, "world": processes.world, "num_workers": settings.num_workers}
    shares |= {"side": augment.read_side(settings.image_size), "batch_size": settings.batch_size}
    train = Batches(data.train, data.images, seed=settings.seed, drop_last=True, **shares)
    val = Batches(data.val, data.images, seed=None, drop_last=False, **shares)
    learner = Learner(model, loss, settings, processes, steps_per_epoch=len(train))
    return Training(learner, data, train, val, keep, identity)
