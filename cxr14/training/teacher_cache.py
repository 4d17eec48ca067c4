"""A teacher's logits on disk, so that each view is computed once.

Order and crops depend on the seed, the epoch and the batch alone. So a teacher's logits are the same in every
training with the same list, seed, batch size, image size and crops, whatever the student and its loss.
An epoch is one .npy file, (N, 14) float32 in the order of the training; NaN: not computed yet.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cxr14.errors import InputError
from cxr14.files import atomic_write

KEY_FILE = "key.json"
_KEY_DIGITS = 16


class TeacherCache:
    """The logits of one teacher on the views of one training.

    Args:
        folder: holds a folder for each key; made where it is missing.
        key: everything that the logits depend on, as plain values: hash of the teacher's weights, fingerprint
            of the list, seed, batch size, image sizes, crops, blends, kind of device.
        rows: N, the views of an epoch.
        findings: F, the logits of a view.

    Raises:
        InputError: the folder of the key holds another key.
    """

    def __init__(self, folder: Path, key: Mapping[str, object], rows: int, findings: int) -> None:
        text = json.dumps({**key, "rows": rows, "findings": findings}, sort_keys=True, indent=1)
        self.folder = folder / sha256(text.encode()).hexdigest()[:_KEY_DIGITS]
        self.shape = (rows, findings)
        self._epoch, self._logits = -1, np.empty(self.shape, np.float32)
        path = self.folder / KEY_FILE
        if not path.exists():
            with atomic_write(path) as part:
                part.write_text(text)
        elif path.read_text() != text:
            raise InputError(
                f"{self.folder} holds teacher logits of another training; delete it, or set TEACHER_CACHE to "
                "another folder."
            )

    def logits(self, epoch: int, rows: slice, compute: Callable[[], Tensor]) -> Tensor:
        """Return the teacher's (B, F) logits of some views, computed where they are not on disk.

        Args:
            epoch: counted from 0.
            rows: places of the views in the order of the epoch.
            compute: asks the teacher: () -> (B, F) float32 logits.
        """
        if epoch != self._epoch:
            self._epoch, self._logits = epoch, self._open(epoch)
        stored = self._logits[rows]
        if not np.isnan(stored).any():
            return torch.from_numpy(np.array(stored))
        logits = compute()
        stored[...] = logits.detach().float().cpu().numpy()
        return logits

    def _open(self, epoch: int) -> np.ndarray:
        path = self.folder / f"epoch-{epoch + 1:04d}.npy"
        if not path.exists():
            with atomic_write(path) as part, part.open("wb") as file:
                np.save(file, np.full(self.shape, np.nan, np.float32))
        try:
            whole = np.load(
                path, mmap_mode="r"
            )  # unlike "r+", it does not lengthen a file that was cut short
        except (OSError, ValueError) as error:
            raise self._damaged(path) from error
        if whole.shape != self.shape or whole.dtype != np.float32:
            raise self._damaged(path)
        return np.lib.format.open_memmap(path, mode="r+")

    @staticmethod
    def _damaged(path: Path) -> InputError:
        return InputError(f"the teacher's logits in {path} are damaged; delete that file and run again.")
