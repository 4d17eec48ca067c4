"""The identity of a training: what has to be equal when it is resumed."""

from collections.abc import Mapping
from typing import Any

_HASH_DIGITS = 12

# What an entry of the identity is called in a message; others by their own name.
_NAMES = {
    "teacher_hash": "the weights of the teacher",
    "start_hash": "the weights that the training starts from",
    "train": "the training list",
    "val": "the validation list",
}


def named(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity with the names that messages have for its entries."""
    return {_NAMES.get(name, name): value for name, value in identity.items()}


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
