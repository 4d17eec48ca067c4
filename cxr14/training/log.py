"""The log of a training: progress bar, CSV file, TensorBoard."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from cxr14.files import atomic_write, wrap_disk_errors
from cxr14.findings import FINDINGS
from cxr14.models.checkpoint import log_path


def progress_bar(epoch: int, epochs: int, done: int, total: int, disable: bool) -> tqdm:
    """Return the progress bar of one epoch, in radiographs.

    Args:
        epoch: counted from 0.
        epochs: epochs of the training.
        done: radiographs before the start, in a resumed epoch.
        total: radiographs of the epoch.
        disable: show nothing.
    """
    return tqdm(
        total=total,
        initial=done,
        desc=f"epoch {epoch + 1}/{epochs}",
        unit="img",
        leave=False,
        disable=disable,
    )


class TrainingLog:
    """The metrics of each epoch, as a CSV file that is rewritten after each one.

    Args:
        checkpoint: path of the checkpoint, which determines that of the CSV file.
        log_dir: TensorBoard's folder, or None.
        history: rows of the epochs before the start, in a resumed training.

    Raises:
        InputError: TensorBoard's folder cannot be written. Where its disk fills later, a warning says so.
    """

    def __init__(self, checkpoint: Path, log_dir: Path | None, history: list[dict[str, Any]]) -> None:
        self.path = log_path(checkpoint)
        self.history = history
        self._writer = None
        if log_dir is not None:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, so only where it is needed

            with wrap_disk_errors(log_dir):
                self._writer = SummaryWriter(str(log_dir), purge_step=len(history) + 1)

    def append(self, row: dict[str, Any], auroc: np.ndarray) -> None:
        """Add one epoch.

        Args:
            row: metrics by column name, among them "epoch", counted from 1.
            auroc: (14,) validation AUROC of each finding, NaN where undefined.
        """
        self.history.append(row)
        with atomic_write(self.path) as temporary:
            pd.DataFrame(self.history).to_csv(temporary, index=False)
        if self._writer is None:
            return
        metrics = {name: value for name, value in row.items() if name != "epoch"}
        metrics.update({f"auroc/{finding}": float(auroc[i]) for i, finding in enumerate(FINDINGS)})
        try:
            for name, value in metrics.items():
                self._writer.add_scalar(name, value, row["epoch"])
            self._writer.flush()
        except OSError as error:  # a full disk; the CSV file has the same numbers
            print(f"warning: TensorBoard's files cannot be written ({error.strerror}).", file=sys.stderr)
            self._writer = None
