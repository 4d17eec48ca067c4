"""The identity of a training: what has to be equal when it is resumed."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from cxr14.models.checkpoint import About
from cxr14.runtime.agreement import hash_code, require_agreement
from cxr14.runtime.distributed import ProcessGroup
from cxr14.script import as_plain
from cxr14.settings import LoopSettings
from cxr14.training import teachers
from cxr14.training.data import Data
from cxr14.training.teachers import LoadedTeacher

# Settings that may change when a training is resumed. Lists and weights are compared by hash, not by path.
MAY_CHANGE = frozenset(
    {"accumulate", "allow_unknown_origin", "ckpt_path", "compile", "data_dir", "device", "init_checkpoint"}
    | {"log_dir", "num_workers", "preload", "resume", "save_minutes", "stop_after_hours", "student_ckpt_path"}
    | {"teacher_cache", "teacher_cache_gb", "teacher_ckpt_path", "teachers", "threads", "train_image_list"}
    | {"val_image_list"}
)

_HASH_DIGITS = 12

# What an entry of the identity is called in a message; others by their own name.
_NAMES = {
    "teacher_hash": "the weights of the teacher",
    "start_hash": "the weights that the training starts from",
    "train": "the training list",
    "val": "the validation list",
}


def identity_of(about: About, start_hash: str | None, device: torch.device) -> dict[str, Any]:
    """Return what must be equal when a training is resumed.

    Args:
        about: metadata of its checkpoint.
        start_hash: hash of the weights that it starts from; None without a checkpoint to start from.
        device: of this process.
    """
    identity = {name: value for name, value in about.settings.items() if name not in MAY_CHANGE}
    identity["network"], identity["teacher"] = about.network, about.teacher
    identity["teacher_hash"], identity["start_hash"] = about.teacher_hash, start_hash
    identity.update(about.splits)
    if device.type == "cpu":
        identity["threads"] = torch.get_num_threads()  # determines the order of sums
    return identity


def require_same_in_all(
    settings: LoopSettings, data: Data, taught_by: Sequence[LoadedTeacher], group: ProcessGroup
) -> None:
    """Refuse a training whose processes differ in settings, lists, teachers, code or kind of device.

    Raises:
        InputError: it names what differs.
    """
    facts = {name: value for name, value in as_plain(settings).items() if name not in MAY_CHANGE}
    facts |= {_NAMES[name]: value for name, value in data.fingerprints.items()}
    facts[_NAMES["teacher_hash"]] = teachers.hash_of(taught_by) if taught_by else None
    facts["the code"], facts["torch"] = hash_code(settings.folder), torch.__version__
    facts["the kind of device"] = group.device.type
    require_agreement(group, facts)


def differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """Return how a saved identity differs from the current one, as the part of a sentence; "" if it does not.

    An entry that the saved one lacks is no difference: the number of threads is absent on a GPU, and a
    training may move between GPU and CPU.
    """
    differing = [name for name, value in current.items() if saved.get(name, value) != value]
    return ", ".join(
        f"{_NAMES.get(name, name)}: {_shorten(saved[name])}, now {_shorten(current[name])}"
        for name in differing
    )


def _shorten(value: object) -> object:
    is_hash = isinstance(value, str) and len(value) == 64
    return value[:_HASH_DIGITS] if is_hash else value
