"""The entries of the train scripts."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from cxr14.data import provenance
from cxr14.data.image_lists import ImageList
from cxr14.data.kinds import KINDS
from cxr14.data.provenance import Provenance
from cxr14.errors import InputError
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from cxr14.runtime import devices, precision, rendezvous
from cxr14.runtime.distributed import ProcessGroup, process_group
from cxr14.runtime.threads import use_threads, warn_when_busy
from cxr14.script import as_plain
from cxr14.settings import DistillAllSettings, DistillationSettings, LoopSettings, TrainSettings
from cxr14.training import identity as identities
from cxr14.training import losses, snapshot, teachers
from cxr14.training.data import Data
from cxr14.training.distillation import Compare, Distillation, Teacher, comparison
from cxr14.training.loop import TrainingLoop
from cxr14.training.losses import Loss
from cxr14.training.teachers import LoadedTeacher
from cxr14.training.train_step import TrainStep, seed_process


@dataclass(frozen=True)
class Plan:
    """What is trained, by which loss, and from which weights."""

    settings: LoopSettings
    network: str
    """Folder of the network."""
    build_model: Callable[..., nn.Module]
    start: Path | None
    """Checkpoint that the training starts from; None: the ImageNet weights or random ones."""
    compare: Compare | None = None
    """Loss of a distillation; None: the one that the settings name."""


def train(build_model: Callable[..., nn.Module], settings: TrainSettings) -> None:
    """Fine-tune one network: what train-model.py does.

    Args:
        build_model: builds the network, as that of a ``model.py`` does.
        settings: settings of the training.

    Raises:
        InputError: lists, radiographs, weights or settings cannot be used.
    """
    _run(Plan(settings, settings.folder.name, build_model, settings.init_checkpoint))


def distill(settings: DistillationSettings, compare: Compare | None = None) -> None:
    """Distil one teacher or several into a student: what the train-kd scripts do.

    Args:
        settings: settings of the training.
        compare: (student logits, teacher logits, labels) -> scalar, a loss of your own; None: the one that
            the settings name.

    Raises:
        InputError: lists, radiographs, weights or settings cannot be used.
    """
    if settings.student_ckpt_path is not None:
        settings.learning_rate = settings.warm_start_learning_rate
    build_model = partial(zoo.build, settings.student)
    _run(Plan(settings, settings.student, build_model, settings.student_ckpt_path, compare))


def _run(plan: Plan) -> None:
    use_threads(plan.settings.threads)
    limit = snapshot.time_limit(plan.settings.stop_after_hours)
    with limit, process_group(plan.settings.device) as group:
        # In a function of its own, so that the model is freed before the process group is destroyed.
        stopped = _train(plan, group)
    # torchrun would take any other status for a failure, and start the training again with a new limit.
    if stopped and not (stopped.is_time_limit and rendezvous.is_under_torchrun()):
        sys.exit(128 + stopped.signal_number)


def _train(plan: Plan, group: ProcessGroup) -> snapshot.Stopped | None:
    """Train, and return what stopped the training, or None at its end."""
    settings = plan.settings
    # Lists and radiographs first: a missing one is reported before any weights are downloaded.
    data, taught_by = _read(settings, group)
    identities.require_same_in_all(settings, data, taught_by, group)
    resumes = _resumes(settings, group)
    train_batches, val_batches = data.batches(settings, group)
    loss = _loss(plan, taught_by, data, len(train_batches), resumes, group)
    model, start = _build(plan, data, resumes, group)
    about = _about(plan, taught_by, data, group)
    patients = provenance.of_lists(data.train, data.val).merged(start.provenance)
    for teacher in taught_by:
        patients = patients.merged(teacher.checkpoint.provenance)

    class_maps = isinstance(settings, DistillationSettings) and settings.map_weight > 0
    train_step = TrainStep(model, loss, settings, group, len(train_batches), class_maps)
    identity = identities.identity_of(about, start.weights_hash, group.device)
    loop = TrainingLoop(train_step, data, train_batches, val_batches, identity, about, patients)
    if resumes:
        loop.resume()
    if group.is_main:
        _announce(plan, model, data, group)
    return _run_loop(loop, group)


def _read(settings: LoopSettings, group: ProcessGroup) -> tuple[Data, list[LoadedTeacher]]:
    """Read the lists, open the radiographs, and load the teachers."""
    data = Data.read(settings, group.is_main)
    data.require_share_for_each_process(settings.batch_size, group)
    if not isinstance(settings, DistillationSettings):
        return data, []
    taught_by = teachers.load(settings)
    for teacher in taught_by:
        _require_usable(settings, teacher.checkpoint.provenance, teacher.path, data.val)
    side, is_halved = teachers.side_for(settings, taught_by), teachers.holds_validation_back(settings)
    return dataclasses.replace(data, larger_side=side, is_halved=is_halved), taught_by


def _resumes(settings: LoopSettings, group: ProcessGroup) -> bool:
    """Return whether the training continues from a snapshot, the same on all processes."""
    # A machine that replaces a lost one has not been restarted itself.
    wants_to = any(group.gather(settings.resume or rendezvous.is_restarted()))
    exists = group.from_main(snapshot.exists(settings.ckpt_path))
    path = checkpoint.snapshot_path(settings.ckpt_path)
    if group.is_main and wants_to and not exists:
        print(f"There is no snapshot {path} yet: the training begins.")
    if group.is_main and exists and not wants_to:
        print(f"{path} of an earlier training will be replaced; --resume would continue it.")
    return wants_to and exists


def _loss(
    plan: Plan,
    taught_by: Sequence[LoadedTeacher],
    data: Data,
    steps_per_epoch: int,
    resumes: bool,
    group: ProcessGroup,
) -> Loss:
    """Return the loss on labels alone, or the one that compares the student with its teachers."""
    settings = plan.settings
    if not isinstance(settings, DistillationSettings):
        smoothing = settings.label_smoothing if isinstance(settings, TrainSettings) else 0.0
        if smoothing:
            return partial(losses.smoothed_cross_entropy, smoothing=smoothing)
        return losses.binary_cross_entropy
    kept = teachers.caches(settings, taught_by, data, steps_per_epoch, group)
    if not resumes:
        teachers.print_auroc(taught_by, data, settings, group)
    combination = None
    if isinstance(settings, DistillAllSettings):
        combination = teachers.combine(settings, taught_by, data, group)
    placed = [
        Teacher(devices.place(each.model, group.device), cache, each.image_size)
        for each, cache in zip(taught_by, kept, strict=True)
    ]
    return Distillation(placed, plan.compare or comparison(settings), combination, settings.map_weight)


class _Start(NamedTuple):
    """The checkpoint that a training starts from; nothing where there is none."""

    weights_hash: str | None = None
    provenance: Provenance = Provenance()


def _build(plan: Plan, data: Data, resumes: bool, group: ProcessGroup) -> tuple[nn.Module, _Start]:
    """Build the network with its initial weights, and seed this process."""
    settings, start = plan.settings, _Start()
    precision.configure_training(settings.deterministic)
    torch.manual_seed(settings.seed)  # the same initial weights in every process
    model = plan.build_model(
        num_classes=len(FINDINGS),
        pretrained=settings.pretrained and plan.start is None and not resumes,
        image_size=settings.image_size,
    )
    if plan.start is not None:
        patients = checkpoint.load_weights(model, plan.start)
        _require_usable(settings, patients, plan.start, data.val)
        start = _Start(checkpoint.hash_weights(model.state_dict()), patients)
    seed_process(settings.seed, group.rank)
    return model, start


def _about(
    plan: Plan, taught_by: Sequence[LoadedTeacher], data: Data, group: ProcessGroup
) -> checkpoint.About:
    return checkpoint.About(
        network=plan.network,
        teacher=teachers.name_of(taught_by) if taught_by else None,
        teacher_hash=teachers.hash_of(taught_by) if taught_by else None,
        image_size=plan.settings.image_size,
        splits=data.fingerprints,
        seed=plan.settings.seed,
        settings=as_plain(plan.settings),
        device=devices.describe(group.device),
    )


def _announce(plan: Plan, model: nn.Module, data: Data, group: ProcessGroup) -> None:
    """Check the space for a snapshot, and print what is trained on what."""
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    snapshot.require_space_for(plan.settings.ckpt_path, weights)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{plan.network}: {parameters:,} parameters; {KINDS[data.train.kind].counted(len(data.train))} to "
        f"learn from, {len(data.selection_part)} to choose the epoch on; {group.world_size} x {group.device}"
    )


def _run_loop(loop: TrainingLoop, group: ProcessGroup) -> snapshot.Stopped | None:
    """Run the epochs, and print how they ended."""
    path = loop.settings.ckpt_path
    try:
        with warn_when_busy(group.device.type == "cpu" and group.world_size == 1):
            progress = loop.run()
    except snapshot.Stopped as stopped:
        if group.is_main:
            where = checkpoint.snapshot_path(path)
            print(f"Stopped by {stopped}; the state is in {where}, continue with --resume.", file=sys.stderr)
        return stopped
    if group.is_main:
        print(
            f"Best epoch {progress.best_epoch} of {progress.epoch}: validation AUROC "
            f"{progress.best_auroc:.3f}; saved in {path}"
        )
    return None


def _require_usable(settings: LoopSettings, patients: Provenance, path: Path, val: ImageList) -> None:
    """Refuse weights of unknown origin, and those that were trained on patients of the validation list."""
    if patients.unknown and not settings.allow_unknown_origin:
        raise InputError(
            f"it is not known on which patients {', '.join(patients.unknown)} was trained, on which {path} "
            f"depends: it {provenance.MAY_HAVE_SEEN_TEST_PATIENTS}. Use weights trained here, or set "
            "ALLOW_UNKNOWN_ORIGIN = True; every table and plot will then say so."
        )
    provenance.require_unseen(val, patients, selected_on=False, weights=str(path))
