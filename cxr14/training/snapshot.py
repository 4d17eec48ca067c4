"""Snapshots of a training, and its stop by a signal or a time limit."""

import math
import signal
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cxr14.errors import InputError
from cxr14.files import atomic_write, require_space
from cxr14.models import published
from cxr14.models.checkpoint import snapshot_path
from cxr14.records import check_fields
from cxr14.settings import PREVIOUS_SNAPSHOT

_PARTS = {"identity": dict, "progress": dict, "train_step": dict}
_WRONG_FORM = (
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass
class Progress:
    """The progress of a training, in plain values, as a snapshot stores it."""

    epoch: int = 0
    """Completed epochs."""
    batch: int = 0
    """Completed batches of the current epoch."""
    seen: int = 0
    """Radiographs in these batches."""
    loss_sum: float = 0.0
    """Sum of the losses of these radiographs."""
    best_epoch: int = 0
    """Epoch with the best validation AUROC, counted from 1; 0 before the first validation."""
    best_auroc: float = math.nan
    """Its mean validation AUROC."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """The rows of the CSV log, one per epoch."""

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> "Progress":
        """Return the progress that `dataclasses.asdict` turned into plain values.

        Raises:
            TypeError: a value is missing, unknown or of the wrong type.
        """
        progress = cls(**values)
        check_fields(progress)
        return progress


def save(checkpoint: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors in plain containers) as the last snapshot, and keep the previous one.

    Raises:
        InputError: the disk is full, and the like; both snapshots stay as they are.
    """
    last, previous = snapshot_path(checkpoint), checkpoint.with_suffix(PREVIOUS_SNAPSHOT)
    with atomic_write(last, previous=previous) as temporary, temporary.open("wb") as file:
        torch.save(state, file)


def require_space_for(checkpoint: Path, weights: int) -> None:
    """Check that the disk can hold the files of a training: three snapshots, one of them unfinished, and two
    checkpoints.

    Args:
        checkpoint: path of the checkpoint.
        weights: bytes of the network's weights; a snapshot has at most four times as many, because of the two
            moments of AdamW and the moving average.

    Raises:
        InputError: the disk is too full.
    """
    last, previous = snapshot_path(checkpoint), checkpoint.with_suffix(PREVIOUS_SNAPSHOT)
    existing = sum(path.stat().st_size for path in (last, previous, checkpoint) if path.is_file())
    needed = (3 * 4 + 2) * weights - existing
    require_space(checkpoint.parent, needed, "the training", "free some space, or choose another CKPT_PATH")


def exists(checkpoint: Path) -> bool:
    """Return whether there is a snapshot, damaged or not."""
    return any(
        path.exists() for path in (snapshot_path(checkpoint), checkpoint.with_suffix(PREVIOUS_SNAPSHOT))
    )


def load(checkpoint: Path) -> dict[str, Any]:
    """Return the last snapshot, or the previous one, with a message, where the last is damaged.

    Raises:
        InputError: there is none, both are damaged, or the file is dangerous or something else.
    """
    last, previous = snapshot_path(checkpoint), checkpoint.with_suffix(PREVIOUS_SNAPSHOT)
    existing = [path for path in (last, previous) if path.is_file()]
    if not existing:
        raise InputError(f"there is nothing to resume: {last} does not exist; start without --resume.")
    for path in existing:
        if _is_intact(path):
            state = published.read_file(path)
            if not isinstance(state, dict) or {name: type(part) for name, part in state.items()} != _PARTS:
                raise _not_a_snapshot(path)
            return state
        print(f"{path} is damaged; trying the snapshot before it.")
    raise InputError(
        f"{last.name} in {last.parent} and the snapshot before it are damaged; start without --resume."
    )


@contextmanager
def contents_checked(checkpoint: Path) -> Iterator[None]:
    """Turn the errors of restoring a state of the wrong form into an InputError.

    Raises:
        InputError: the block raised such an error.
    """
    try:
        yield
    except _WRONG_FORM as error:
        raise _not_a_snapshot(snapshot_path(checkpoint)) from error


def _not_a_snapshot(path: Path) -> InputError:
    return InputError(f"{path} is not the snapshot of a training; delete it and start without --resume.")


def _is_intact(path: Path) -> bool:
    """Check the CRC of each member; torch.load alone would not notice a flipped bit in a weight."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError):
        return False


_TIMER = signal.SIGALRM if hasattr(signal, "SIGALRM") else None
_BY_HAND = (signal.SIGTERM, signal.SIGINT)
# Slurm's --signal=USR1@120, and the timer of `time_limit`. Windows has neither.
_BY_CLOCK = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGALRM") if hasattr(signal, name))


@contextmanager
def time_limit(hours: float | None) -> Iterator[None]:
    """Send this process SIGALRM after some hours, unless the block ends before; None: no limit.

    Within `StopSignal.handled` the training then saves a snapshot; before it the process ends.

    Raises:
        InputError: the system has no such timer.
    """
    if hours is None:
        yield
        return
    if _TIMER is None:
        raise InputError("STOP_AFTER_HOURS needs a timer that this system lacks; leave it at None.")
    signal.setitimer(signal.ITIMER_REAL, 3600 * hours)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Stopped(Exception):
    """The training was stopped by a signal and has saved a snapshot."""

    def __init__(self, signal_number: int) -> None:
        is_limit = signal_number == _TIMER
        super().__init__("the limit STOP_AFTER_HOURS" if is_limit else signal.Signals(signal_number).name)
        self.signal_number = signal_number
        self.is_time_limit = is_limit


class StopSignal:
    """Records a signal until the loop can save a snapshot; a second Ctrl-C or SIGTERM stops at once."""

    NUMBERS = _BY_HAND + _BY_CLOCK
    """The signals that stop a training."""

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def handled(self) -> Iterator["StopSignal"]:
        """Handle the signals within the block, and restore the previous handlers afterwards."""
        handlers = {number: signal.signal(number, self._record) for number in self.NUMBERS}
        try:
            yield self
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _record(self, number: int, _frame: object) -> None:
        # A scheduler sends its own signal first and SIGTERM at the limit; the snapshot may need that time.
        if self.number in _BY_HAND and number in _BY_HAND:
            raise KeyboardInterrupt
        self.number = self.number or number
