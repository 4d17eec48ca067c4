"""Snapshots of a training, and the stop at SIGTERM or Ctrl-C."""

import signal
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from cxr14.errors import InputError
from cxr14.files import atomic_write
from cxr14.models.checkpoint import snapshot_path


def save(checkpoint: Path, state: dict[str, Any]) -> None:
    """Save `state` (tensors in plain containers) as the last snapshot, and keep the previous one."""
    last = snapshot_path(checkpoint)
    with atomic_write(last, previous=_previous_path(last)) as temporary, temporary.open("wb") as file:
        torch.save(state, file)


def load(checkpoint: Path) -> dict[str, Any]:
    """Return the last snapshot, or the previous one, with a message, where the last is damaged.

    Raises:
        InputError: there is none, or both are damaged.
    """
    last = snapshot_path(checkpoint)
    existing = [path for path in (last, _previous_path(last)) if path.exists()]
    if not existing:
        raise InputError(f"there is nothing to resume: {last} does not exist; start without --resume.")
    for path in existing:
        if _is_intact(path):
            return torch.load(path, map_location="cpu", weights_only=True)
        print(f"{path} is damaged; trying the snapshot before it.")
    raise InputError(
        f"{last.name} in {last.parent} and the snapshot before it are damaged; start without --resume."
    )


def _previous_path(last: Path) -> Path:
    return last.with_suffix(".before.pth")


def _is_intact(path: Path) -> bool:
    """Check the CRC of each member; torch.load alone would not notice a flipped bit in a weight."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, OSError):
        return False


class Stopped(Exception):
    """The training was stopped by a signal and has saved a snapshot."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


class StopSignal:
    """Records SIGTERM or Ctrl-C until the loop can save a snapshot; a second one stops at once."""

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def handled(self) -> Iterator["StopSignal"]:
        """Handle both signals within the block, and restore the previous handlers afterwards."""
        handlers = {number: signal.signal(number, self._record) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _record(self, number: int, _frame: object) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
