"""The entries of the train scripts."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

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
from cxr14.runtime.agreement import hash_code, require_agreement
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

# Settings that may change when a training is resumed. Lists and weights are compared by hash, not by path.
MAY_CHANGE = frozenset(
    {
        "accumulate",
        "allow_unknown_origin",
        "ckpt_path",
        "compile",
        "data_dir",
        "device",
        "init_checkpoint",
        "log_dir",
        "num_workers",
        "preload",
        "resume",
        "save_minutes",
        "stop_after_hours",
        "student_ckpt_path",
        "teacher_cache",
        "teacher_cache_gb",
        "teacher_ckpt_path",
        "teachers",
        "threads",
        "train_image_list",
        "val_image_list",
    }
)


def train(build_model: Callable[..., nn.Module], settings: TrainSettings) -> None:
    """Fine-tune one network: what train-model.py does.

    Args:
        build_model: builds the network, as that of a ``model.py`` does.
        settings: settings of the training.

    Raises:
        InputError: lists, radiographs, weights or settings cannot be used.
    """
    _run(settings, settings.folder.name, build_model, settings.init_checkpoint)


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
    _run(settings, settings.student, build_model, settings.student_ckpt_path, compare)


def _run(
    settings: LoopSettings,
    network: str,
    build_model: Callable[..., nn.Module],
    start: Path | None,
    compare: Compare | None = None,
) -> None:
    use_threads(settings.threads)
    with snapshot.time_limit(settings.stop_after_hours), process_group(settings.device) as group:
        # In a function of its own, so that the model is freed before the process group is destroyed.
        stopped = _train(settings, network, build_model, start, compare, group)
    # torchrun would take any other status for a failure, and start the training again with a new limit.
    if stopped and not (stopped.is_time_limit and rendezvous.is_under_torchrun()):
        sys.exit(128 + stopped.signal_number)


def _train(
    settings: LoopSettings,
    network: str,
    build_model: Callable[..., nn.Module],
    start: Path | None,
    compare: Compare | None,
    group: ProcessGroup,
) -> snapshot.Stopped | None:
    """Train, and return what stopped the training, or None at its end."""
    # Lists and radiographs first: a missing one is reported before any weights are downloaded.
    data = Data.read(settings, group.is_main)
    data.require_share_for_each_process(settings.batch_size, group)
    patients = provenance.of_lists(data.train, data.val)
    taught_by: list[LoadedTeacher] = []
    if isinstance(settings, DistillationSettings):
        taught_by = teachers.load(settings)
        for teacher in taught_by:
            _require_usable(settings, teacher.checkpoint.provenance, teacher.path, data.val)
            patients = patients.merged(teacher.checkpoint.provenance)
        data = dataclasses.replace(
            data,
            larger_side=teachers.side_for(settings, taught_by),
            is_halved=isinstance(settings, DistillAllSettings),
        )
    _require_agreement(settings, data, taught_by, group)
    # A machine that replaces a lost one has not been restarted itself.
    wants_to_resume = any(group.gather(settings.resume or rendezvous.is_restarted()))
    resumes = group.from_main(wants_to_resume and snapshot.exists(settings.ckpt_path))
    train_batches, val_batches = data.batches(settings, group)
    loss = _loss(settings, taught_by, compare, data, len(train_batches), resumes, group)

    precision.configure_training(settings.deterministic)
    torch.manual_seed(settings.seed)  # the same initial weights in every process
    model = build_model(
        num_classes=len(FINDINGS),
        pretrained=settings.pretrained and start is None and not resumes,
        image_size=settings.image_size,
    )
    start_hash = None
    if start is not None:
        start_provenance = checkpoint.load_weights(model, start)
        _require_usable(settings, start_provenance, start, data.val)
        patients = patients.merged(start_provenance)
        start_hash = checkpoint.hash_weights(model.state_dict())
    seed_process(settings.seed, group.rank)

    about = checkpoint.About(
        network=network,
        teacher=teachers.name_of(taught_by) if taught_by else None,
        teacher_hash=teachers.hash_of(taught_by) if taught_by else None,
        image_size=settings.image_size,
        splits=data.fingerprints,
        seed=settings.seed,
        settings=as_plain(settings),
        device=devices.describe(group.device),
    )
    identity = _identity(about, start_hash, group.device)
    class_maps = isinstance(settings, DistillationSettings) and settings.map_weight > 0
    train_step = TrainStep(model, loss, settings, group, len(train_batches), class_maps)
    loop = TrainingLoop(train_step, data, train_batches, val_batches, identity, about, patients)
    snapshot_path = checkpoint.snapshot_path(settings.ckpt_path)
    if resumes:
        loop.resume()
    elif group.is_main and wants_to_resume:
        print(f"There is no snapshot {snapshot_path} yet: the training begins.")
    elif group.is_main and snapshot_path.exists():
        print(f"{snapshot_path} of an earlier training will be replaced; --resume would continue it.")
    if group.is_main:
        weights = sum(tensor.nbytes for tensor in model.state_dict().values())
        snapshot.require_space_for(settings.ckpt_path, weights)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        print(
            f"{network}: {parameters:,} parameters; {KINDS[data.train.kind].counted(len(data.train))} to "
            f"learn from, {len(data.selection_part)} to choose the epoch on; "
            f"{group.world_size} x {group.device}"
        )

    try:
        with warn_when_busy(group.device.type == "cpu" and group.world_size == 1):
            progress = loop.run()
    except snapshot.Stopped as stopped:
        if group.is_main:
            print(
                f"Stopped by {stopped}; the state is in {snapshot_path}, continue with --resume.",
                file=sys.stderr,
            )
        return stopped
    if group.is_main:
        print(
            f"Best epoch {progress.best_epoch} of {progress.epoch}: validation AUROC "
            f"{progress.best_auroc:.3f}; saved in {settings.ckpt_path}"
        )
    return None


def _loss(
    settings: LoopSettings,
    taught_by: Sequence[LoadedTeacher],
    compare: Compare | None,
    data: Data,
    steps_per_epoch: int,
    resumes: bool,
    group: ProcessGroup,
) -> Loss:
    """Return the loss on labels alone, or the one that compares the student with its teachers."""
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
    return Distillation(placed, compare or comparison(settings), combination, settings.map_weight)


def _require_usable(settings: LoopSettings, patients: Provenance, path: Path, val: ImageList) -> None:
    """Refuse weights of unknown origin, and those that were trained on patients of the validation list."""
    if patients.unknown and not settings.allow_unknown_origin:
        raise InputError(
            f"it is not known on which patients {', '.join(patients.unknown)} was trained, on which {path} "
            f"depends: it {provenance.MAY_HAVE_SEEN_TEST_PATIENTS}. Use weights trained here, or set "
            "ALLOW_UNKNOWN_ORIGIN = True; every table and plot will then say so."
        )
    provenance.require_unseen(val, patients, selected_on=False, weights=str(path))


def _require_agreement(
    settings: LoopSettings, data: Data, taught_by: Sequence[LoadedTeacher], group: ProcessGroup
) -> None:
    facts = _compared(settings) | identities.named(data.fingerprints)
    facts["the weights of the teacher"] = teachers.hash_of(taught_by) if taught_by else None
    facts["the code"], facts["torch"] = hash_code(settings.folder), torch.__version__
    facts["the kind of device"] = group.device.type
    require_agreement(group, facts)


def _compared(settings: LoopSettings) -> dict[str, object]:
    return {name: value for name, value in as_plain(settings).items() if name not in MAY_CHANGE}


def _identity(about: checkpoint.About, start_hash: str | None, device: torch.device) -> dict[str, object]:
    """Return what must be equal when a training is resumed."""
    identity = {name: value for name, value in about.settings.items() if name not in MAY_CHANGE}
    identity["network"], identity["teacher"] = about.network, about.teacher
    identity["teacher_hash"], identity["start_hash"] = about.teacher_hash, start_hash
    identity.update(about.splits)
    if device.type == "cpu":
        identity["threads"] = torch.get_num_threads()  # determines the order of sums
    return identity
