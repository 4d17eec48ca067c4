"""The one training loop, for stages 1 to 6 alike: what is learnt is a matter of the loss it is given."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cxr14.data.image_lists import ImageList, read_list, require_both_classes, require_disjoint
from cxr14.data.images import ImageSource, open_images
from cxr14.data.loader import Batches
from cxr14.errors import InputError
from cxr14.evaluation import inference, metrics
from cxr14.runtime.distributed import ProcessGroup
from cxr14.settings import LoopSettings
from cxr14.training import log, snapshot
from cxr14.training.learner import Learner
from cxr14.training.losses import binary_cross_entropy

# A GPU runs ahead of Python; reading a loss makes both wait, so it is done once in this many steps.
STEPS_BETWEEN_LOOKS = 20


@dataclass(frozen=True)
class Data:
    """Radiographs to learn from, radiographs to choose the best epoch on, and where both are read."""

    train: ImageList
    val: ImageList
    images: ImageSource

    @classmethod
    def read(cls, settings: LoopSettings) -> "Data":
        """Open the lists and the folder that the settings name.

        Raises:
            InputError: one cannot be read, or a patient stands in both lists.
        """
        train, val = read_list(settings.train_image_list), read_list(settings.val_image_list)
        require_disjoint(train, val)
        require_both_classes(val)
        return cls(train, val, open_images(settings.data_dir))

    @property
    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of each list, by its split."""
        return {"train": self.train.fingerprint, "val": self.val.fingerprint}


@dataclass
class Progress:
    """How far a training has come: numbers and lists alone, so that a snapshot can hold it."""

    epoch: int = 0
    """Epochs done."""
    batch: int = 0
    """Batches done of the epoch under way."""
    seen: int = 0
    """Radiographs in them."""
    loss_sum: float = 0.0
    """Sum of their losses."""
    best_epoch: int = 0
    """Counted from 1; 0 before the first validation."""
    best_auroc: float = math.nan
    history: list[dict[str, Any]] = field(default_factory=list)
    """A row an epoch, as in the CSV log."""


@dataclass
class _Clock:
    """Where the time of an epoch goes, in seconds."""

    began: float = field(default_factory=time.perf_counter)
    waited: float = 0.0
    seen: int = 0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began


class Training:
    """A learner on its way through the epochs.

    Args:
        learner: takes the steps.
        data: radiographs to learn from, and to choose the best epoch on.
        train, val: this process's batches of them.
        keep: called with (weights, epoch counted from 1, validation AUROC) for each new best epoch.
        identity: what must be the same in both halves of a resumed training, as plain values.
    """

    def __init__(
        self,
        learner: Learner,
        data: Data,
        train: Batches,
        val: Batches,
        keep: Callable[[dict[str, Tensor], int, float], None],
        identity: dict[str, Any],
    ) -> None:
        self.learner, self.data, self.train, self.val, self.keep = learner, data, train, val, keep
        self.identity = identity
        self.settings: LoopSettings = learner.settings
        self.group: ProcessGroup = learner.group
        self.progress = Progress()
        self._unread: list[tuple[Tensor, Tensor]] = []  # (mean loss, on the device; indices) of each batch
        self._saved = time.monotonic()

    def run(self) -> Progress:
        """Train to the last epoch, from wherever `progress` stands.

        Raises:
            InputError: a loss is not finite, or a file cannot be written.
            snapshot.Stopped: SIGTERM or Ctrl-C; the state is saved.
        """
        book = log.Journal(self.settings.ckpt_path, self.settings.log_dir, self.progress.history)
        with snapshot.StopRequest().heard() as stop:
            while self.progress.epoch < self.settings.num_epochs:
                clock = _Clock()
                self._learn(stop, clock)
                self._close_epoch(book, clock)
                self._stop_if_asked(stop)
        return self.progress

    def resume(self) -> None:
        """Take up the last snapshot of this training.

        Raises:
            InputError: there is none, or it is of another training.
        """
        state = snapshot.load(self.settings.ckpt_path)
        differing = [name for name, value in self.identity.items() if state["identity"].get(name) != value]
        if differing:
            told = ", ".join(
                f"{name}: {state['identity'].get(name)}, now {self.identity[name]}" for name in differing
            )
            raise InputError(
                f"the snapshot is of another training ({told}); take its settings or start anew."
            )
        self.progress = Progress(**state["progress"])
        if not self.group.is_main:
            self.progress.loss_sum, self.progress.seen = 0.0, 0  # the first process carries the sums of all
        self.learner.restore(state["learner"], self._steps_done)

    def _save(self) -> None:
        loss_sum, seen = self._sums()
        progress = asdict(self.progress) | {"loss_sum": loss_sum, "seen": seen}
        state = {"identity": self.identity, "progress": progress, "learner": self.learner.state()}
        if self.group.is_main:
            snapshot.save(self.settings.ckpt_path, state)
        self._saved = time.monotonic()

    def _sums(self) -> tuple[float, int]:
        shares = self.group.gather((self.progress.loss_sum, self.progress.seen))
        return sum(loss_sum for loss_sum, _ in shares), sum(seen for _, seen in shares)

    @property
    def _steps_done(self) -> int:
        return self.progress.epoch * len(self.train) + self.progress.batch

    def _learn(self, stop: snapshot.StopRequest, clock: _Clock) -> None:
        progress = self.progress
        looks = 1 if self.group.device.type == "cpu" else STEPS_BETWEEN_LOOKS
        batches = self.train.epoch(progress.epoch, first=progress.batch)
        size, count = self.settings.batch_size, len(self.data.train)
        span = {"done": progress.batch * size, "total": min(len(self.train) * size, count)}
        silent = not self.group.is_main
        with log.bar(progress.epoch, self.settings.num_epochs, **span, silent=silent) as bar:
            while True:
                asked = time.perf_counter()
                batch = next(batches, None)
                clock.waited += time.perf_counter() - asked
                if batch is None:
                    break
                whole = min(size, count - progress.batch * size)
                place = {"epoch": progress.epoch, "batch": progress.batch, "number": self._steps_done}
                images, labels, index = batch.to(self.group.device)
                loss = self.learner.step(images, labels, whole, **place)
                self._unread.append((loss, index))
                progress.batch += 1
                clock.seen += whole
                bar.update(whole)
                if progress.batch % looks == 0:
                    self._read_losses()
                    bar.set_postfix(self._told(clock), refresh=False)
                    self._save_if_due()
                    self._stop_if_asked(stop)
        self._read_losses()

    def _told(self, clock: _Clock) -> dict[str, str]:
        told = {"loss": f"{self.progress.loss_sum / self.progress.seen:.4f}"}
        if self.progress.best_epoch:
            told["auroc"] = f"{self.progress.best_auroc:.3f}"
        return told | {
            "lr": f"{self.learner.learning_rate:.1e}",
            "waiting": f"{clock.waited / clock.seconds:.0%}",
        }

    def _read_losses(self) -> None:
        values = torch.stack([loss for loss, _ in self._unread]).tolist() if self._unread else []
        first = self.progress.batch - len(values)
        for offset, (value, (_, index)) in enumerate(zip(values, self._unread, strict=True)):
            if not math.isfinite(value):
                raise InputError(self._describe_divergence(value, first + offset, index))
            self.progress.loss_sum += value * len(index)
            self.progress.seen += len(index)
        self._unread.clear()

    def _describe_divergence(self, value: float, batch: int, index: Tensor) -> str:
        names = [self.data.train.names[i] for i in index.tolist()]
        files = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        kept = "no epoch was kept yet"
        if self.progress.best_epoch:
            kept = f"{self.settings.ckpt_path} holds epoch {self.progress.best_epoch}"
        return (
            f"the loss became {value} in epoch {self.progress.epoch + 1}, batch {batch + 1} ({files}); "
            f"{kept}. A smaller LEARNING_RATE usually helps."
        )

    def _close_epoch(self, book: log.Journal, clock: _Clock) -> None:
        progress = self.progress
        row = {
            "learning_rate": self.learner.learning_rate,
            "images_per_second": clock.seen / clock.seconds,
            "share_waiting_for_data": clock.waited / clock.seconds,
            "seconds": clock.seconds,
        }
        loss_sum, seen = self._sums()
        logits = inference.predict(
            self.learner.tested,
            self.val,
            self.group,
            image_size=self.settings.image_size,
            note="validating",
        )
        auroc = metrics.auroc(self.data.val.labels, logits)
        mean, covered = metrics.macro(auroc)
        row = {
            "epoch": progress.epoch + 1,
            "train_loss": loss_sum / seen,
            "val_loss": _mean_cross_entropy(logits, self.data.val.labels),
            "val_auroc": mean,
            "findings_covered": covered,
        } | row
        # Where no finding has both classes the mean is NaN, no epoch beats another, and the latest is kept.
        best = not mean <= progress.best_auroc
        if best:
            progress.best_epoch, progress.best_auroc = row["epoch"], mean
        progress.epoch, progress.batch, progress.seen, progress.loss_sum = row["epoch"], 0, 0, 0.0
        if self.group.is_main:
            if best:
                self.keep(self.learner.tested.state_dict(), row["epoch"], mean)
            book.add(row, auroc)
            print(
                f"epoch {row['epoch']}/{self.settings.num_epochs}: training loss {row['train_loss']:.4f}, "
                f"validation AUROC {mean:.3f} over {covered} findings, "
                f"{row['images_per_second']:.0f} images/s"
                f"{', best so far' if best else ''}"
            )
        self._save()

    def _save_if_due(self) -> None:
        due = time.monotonic() - self._saved > 60 * self.settings.save_minutes
        if self.group.gather(due)[0]:
            self._save()

    def _stop_if_asked(self, stop: snapshot.StopRequest) -> None:
        numbers = [number for number in self.group.gather(stop.number) if number is not None]
        if numbers:
            self._save()
            raise snapshot.Stopped(numbers[0])


def _mean_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    return binary_cross_entropy(None, torch.from_numpy(logits), torch.from_numpy(labels).double()).item()
