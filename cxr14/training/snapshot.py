"""The state of a training on disk, so that nothing done is lost, and the signals that ask it to stop."""

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
    """Keep `state` (tensors in plain containers) as the last snapshot, and the one before it beside it."""
    last = snapshot_path(checkpoint)
    with atomic_write(last, previous=_before(last)) as aside, aside.open("wb") as file:
        torch.save(state, file)


def load(checkpoint: Path) -> dict[str, Any]:
    """Return the last whole snapshot; where the last file is damaged, the one before it, and say so.

    Raises:
        InputError: there is none, or none is whole.
    """
    last = snapshot_path(checkpoint)
    found = [path for path in (last, _before(last)) if path.exists()]
    if not found:
        raise InputError(f"there is nothing to resume: {last} does not exist; start without --resume.")
    for path in found:
        if _is_whole(path):
            return torch.load(path, map_location="cpu", weights_only=True)
        print(f"{path} is damaged; looking at the snapshot before it.")
    raise InputError(f"neither {last.name} nor the snapshot before it in {last.parent} is whole; start anew.")


def _before(last: Path) -> Path:
    return last.with_suffix(".before.pth")


def _is_whole(path: Path) -> bool:
    """Check each member's CRC: torch.load alone would take a flipped bit for a weight."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, OSError):
        return False


class Stopped(Exception):
    """The training was asked to stop by signal `number`, and has saved its state."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class StopRequest:
    """Remembers SIGTERM or Ctrl-C until the loop has a moment to save; a second one stops at once."""

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def heard(self) -> Iterator["StopRequest"]:
        """Listen while the block runs, then give the signals back."""
        handlers = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
