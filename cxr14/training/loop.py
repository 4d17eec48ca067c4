"""The training loop of stages 1 to 6: epochs, validation, snapshots and resume."""

import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cxr14.data.loader import Batches
from cxr14.data.provenance import Provenance
from cxr14.errors import InputError
from cxr14.evaluation import inference, metrics
from cxr14.models import checkpoint
from cxr14.runtime import memory
from cxr14.runtime.distributed import ProcessGroup
from cxr14.settings import LoopSettings
from cxr14.training import identity as identities
from cxr14.training import log, snapshot
from cxr14.training.data import Data
from cxr14.training.losses import binary_cross_entropy
from cxr14.training.snapshot import Progress
from cxr14.training.train_step import TrainStep

# A GPU runs asynchronously, and reading a loss waits for it, so losses are read once in so many steps.
STEPS_BETWEEN_READS = 20


@dataclass
class _EpochTimer:
    """Durations within an epoch, in seconds, and the radiographs in that time."""

    started: float = field(default_factory=time.perf_counter)
    waiting: float = 0.0
    images: int = 0

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self.started


class TrainingLoop:
    """The epochs of one training.

    Args:
        train_step: takes one step.
        data: training and validation list.
        train_batches, val_batches: this process's share of their batches.
        identity: plain values that must be equal when the training is resumed.
        about: metadata of the checkpoint; epoch and AUROC are filled in for each best epoch.
        provenance: the patients whose radiographs the trained weights depend on.
    """

    def __init__(
        self,
        train_step: TrainStep,
        data: Data,
        train_batches: Batches,
        val_batches: Batches,
        identity: Mapping[str, Any],
        about: checkpoint.About,
        provenance: Provenance,
    ) -> None:
        self.train_step, self.data = train_step, data
        self.train_batches, self.val_batches = train_batches, val_batches
        self.identity, self.about, self.provenance = dict(identity), about, provenance
        self.settings: LoopSettings = train_step.settings
        self.group: ProcessGroup = train_step.group
        self.progress = Progress()
        self._unread: list[tuple[Tensor, Tensor]] = []  # (mean loss, on the device; indices) of each batch
        self._last_save = time.monotonic()

    def run(self) -> Progress:
        """Train from the current `progress` to the last epoch.

        Raises:
            InputError: a loss is not finite, a file cannot be written, or the memory is too small.
            snapshot.Stopped: at a signal or the time limit, after a snapshot has been saved.
        """
        training_log = log.TrainingLog(self.settings.ckpt_path, self.settings.log_dir, self.progress.history)
        with snapshot.StopSignal().handled() as stop, memory.explain_out_of_memory(self._memory_advice()):
            while self.progress.epoch < self.settings.num_epochs:
                timer = _EpochTimer()
                self._train_epoch(stop, timer)
                self._finish_epoch(training_log, timer)
                self._stop_if_signalled(stop)
        return self.progress

    def resume(self) -> None:
        """Restore the last snapshot of this training.

        Raises:
            InputError: there is none, it is damaged or dangerous, or of another training.
        """
        # Read by the main process alone: other machines need no copy of it.
        state = self.group.from_main(snapshot.load(self.settings.ckpt_path) if self.group.is_main else None)
        with snapshot.contents_checked(self.settings.ckpt_path):
            differences = identities.differences(state["identity"], self.identity)
            if differences:
                raise InputError(
                    f"the snapshot is of another training ({differences}); use its settings, lists and "
                    "weights, or start without --resume."
                )
            self.progress = Progress.from_plain(state["progress"])
            if not self.group.is_main:
                self.progress.loss_sum, self.progress.seen = 0.0, 0  # the main process has the sums of all
            self.train_step.load_state_dict(state["train_step"], self._completed_steps)

    def _memory_advice(self) -> str:
        settings = self.settings
        return (
            f"BATCH_SIZE = {settings.batch_size} in ACCUMULATE = {settings.accumulate} parts is too much. "
            f"--accumulate {2 * settings.accumulate} passes half as many radiographs at a time, a smaller "
            "BATCH_SIZE changes the training; a snapshot is whole, and --resume continues from it."
        )

    def _save(self) -> None:
        loss_sum, seen = self._sums()
        progress = {**asdict(self.progress), "loss_sum": loss_sum, "seen": seen}
        state = {
            "identity": self.identity,
            "progress": progress,
            "train_step": self.train_step.state_dict(),
        }
        if self.group.is_main:
            snapshot.save(self.settings.ckpt_path, state)
        self._last_save = time.monotonic()

    def _sums(self) -> tuple[float, int]:
        """Return the sum of the losses and the number of radiographs over all processes."""
        shares = self.group.gather((self.progress.loss_sum, self.progress.seen))
        return sum(loss_sum for loss_sum, _ in shares), sum(seen for _, seen in shares)

    @property
    def _completed_steps(self) -> int:
        return self.progress.epoch * len(self.train_batches) + self.progress.batch

    def _train_epoch(self, stop: snapshot.StopSignal, timer: _EpochTimer) -> None:
        progress = self.progress
        steps_between_reads = 1 if self.group.device.type == "cpu" else STEPS_BETWEEN_READS
        batches = self.train_batches.epoch(progress.epoch, first=progress.batch)
        size, count = self.settings.batch_size, len(self.data.train)
        with log.progress_bar(
            progress.epoch,
            self.settings.num_epochs,
            done=progress.batch * size,
            total=min(len(self.train_batches) * size, count),
            disable=not self.group.is_main,
        ) as bar:
            while True:
                requested = time.perf_counter()
                batch = next(batches, None)
                timer.waiting += time.perf_counter() - requested
                if batch is None:
                    break
                batch_size = min(size, count - progress.batch * size)
                images, labels, index = batch.to(self.group.device)
                loss = self.train_step(
                    images,
                    labels,
                    batch_size=batch_size,
                    epoch=progress.epoch,
                    batch=progress.batch,
                    step=self._completed_steps,
                )
                self._unread.append((loss, index))
                progress.batch += 1
                timer.images += batch_size
                bar.update(batch_size)
                if progress.batch % steps_between_reads == 0:
                    self._read_losses()
                    bar.set_postfix(self._postfix(timer), refresh=False)
                    self._save_if_due()
                    self._stop_if_signalled(stop)
        self._read_losses()

    def _postfix(self, timer: _EpochTimer) -> dict[str, str]:
        postfix = {"loss": f"{self.progress.loss_sum / self.progress.seen:.4f}"}
        if self.progress.best_epoch:
            postfix["auroc"] = f"{self.progress.best_auroc:.3f}"
        postfix["lr"] = f"{self.train_step.learning_rate:.1e}"
        postfix["waiting"] = f"{timer.waiting / timer.elapsed:.0%}"
        return postfix

    def _read_losses(self) -> None:
        values = torch.stack([loss for loss, _ in self._unread]).tolist() if self._unread else []
        first = self.progress.batch - len(values)
        for offset, (value, (_, index)) in enumerate(zip(values, self._unread, strict=True)):
            if not math.isfinite(value):
                raise InputError(self._divergence_message(value, first + offset, index))
            self.progress.loss_sum += value * len(index)
            self.progress.seen += len(index)
        self._unread.clear()

    def _divergence_message(self, value: float, batch: int, index: Tensor) -> str:
        names = [self.data.train.names[i] for i in index.tolist()]
        files = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        saved = "no checkpoint has been saved yet"
        if self.progress.best_epoch:
            saved = f"{self.settings.ckpt_path} holds epoch {self.progress.best_epoch}"
        return (
            f"the loss became {value} in epoch {self.progress.epoch + 1}, batch {batch + 1} ({files}); "
            f"{saved}. A smaller LEARNING_RATE usually helps."
        )

    def _finish_epoch(self, training_log: log.TrainingLog, timer: _EpochTimer) -> None:
        """Validate, save the checkpoint if this epoch is the best, and write log and snapshot."""
        progress = self.progress
        seconds, images_per_second = timer.elapsed, timer.images / timer.elapsed
        loss_sum, seen = self._sums()
        self.train_step.broadcast_buffers()
        logits = inference.predict(
            self.train_step.evaluated_model,
            self.val_batches,
            self.group,
            image_size=self.settings.image_size,
            note="validating",
        )
        auroc = metrics.auroc(self.data.selection_part.labels, logits)
        mean, covered = metrics.macro(auroc)
        row = {
            "epoch": progress.epoch + 1,
            "train_loss": loss_sum / seen,
            "val_loss": _mean_cross_entropy(logits, self.data.selection_part.labels),
            "val_auroc": mean,
            "findings_covered": covered,
            "learning_rate": self.train_step.learning_rate,
            "images_per_second": images_per_second,
            "share_waiting_for_data": timer.waiting / seconds,
            "seconds": seconds,
        }
        # If no finding has both classes, every mean is NaN, and the last epoch counts as the best.
        is_best = not mean <= progress.best_auroc
        if is_best:
            progress.best_epoch, progress.best_auroc = row["epoch"], mean
        progress.epoch, progress.batch, progress.seen, progress.loss_sum = row["epoch"], 0, 0, 0.0
        if self.group.is_main:
            if is_best:
                about = dataclasses.replace(self.about, epoch=row["epoch"], val_auroc=mean)
                weights = self.train_step.evaluated_model.state_dict()
                checkpoint.save(self.settings.ckpt_path, weights, about, self.provenance)
            training_log.append(row, auroc)
            print(
                f"epoch {row['epoch']}/{self.settings.num_epochs}: training loss {row['train_loss']:.4f}, "
                f"validation AUROC {mean:.3f} over {covered} findings, {images_per_second:.0f} images/s"
                f"{', best so far' if is_best else ''}"
            )
        self._save()

    def _save_if_due(self) -> None:
        due = time.monotonic() - self._last_save > 60 * self.settings.save_minutes
        if self.group.gather(due)[0]:
            self._save()

    def _stop_if_signalled(self, stop: snapshot.StopSignal) -> None:
        numbers = [number for number in self.group.gather(stop.number) if number is not None]
        if numbers:
            self._save()
            raise snapshot.Stopped(numbers[0])


def _mean_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    return binary_cross_entropy(None, torch.from_numpy(logits), torch.from_numpy(labels).double()).item()
