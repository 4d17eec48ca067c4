"""What a training says while it runs: a bar, a CSV log, and TensorBoard where a folder is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from cxr14.files import atomic_write
from cxr14.findings import FINDINGS
from cxr14.models.checkpoint import log_path


def bar(epoch: int, epochs: int, done: int, total: int, silent: bool) -> tqdm:
    """Return the bar of one epoch: share done, loss, radiographs a second, time left.

    Args:
        epoch: counted from 0.
        done, total: radiographs, so that a resumed epoch begins where it was.
    """
    return tqdm(
        total=total, initial=done, desc=f"epoch {epoch + 1}/{epochs}", unit="img", leave=False, disable=silent
    )


class Journal:
    """The epochs of one training as a table, written whole each time so that log and snapshot cannot differ.

    Args:
        checkpoint: names the CSV file.
        log_dir: TensorBoard's folder, or None.
        history: rows of the epochs already done, of a resumed training.
    """

    def __init__(self, checkpoint: Path, log_dir: Path | None, history: list[dict[str, Any]]) -> None:
        self.path = log_path(checkpoint)
        self.history = history
        self._board = None
        if log_dir is not None:
            from torch.utils.tensorboard import SummaryWriter  # only who asks for it pays its import

            self._board = SummaryWriter(str(log_dir), purge_step=len(history) + 1)

    def add(self, row: dict[str, Any], auroc: np.ndarray) -> None:
        """Append one epoch.

        Args:
            row: the epoch's figures by column name, "epoch" counted from 1 among them.
            auroc: (14,) validation AUROC of each finding, NaN where undefined.
        """
        self.history.append(row)
        with atomic_write(self.path) as aside:
            pd.DataFrame(self.history).to_csv(aside, index=False)
        if self._board is None:
            return
        figures = {name: value for name, value in row.items() if name != "epoch"}
        figures |= {f"auroc/{finding}": float(value) for finding, value in zip(FINDINGS, auroc, strict=True)}
        for name, value in figures.items():
            self._board.add_scalar(name, value, row["epoch"])
        self._board.flush()
