"""The log of a training, as results carry it."""

import io
from pathlib import Path

import numpy as np
import pandas as pd

from cxr14.errors import InputError
from cxr14.files import read_text


def read_history(path: Path) -> list[dict[str, float]]:
    """Read the CSV log that a training writes beside its checkpoint.

    Returns:
        A dict for each epoch; nothing where there is no log.

    Raises:
        InputError: it is not the log of a training.
    """
    if not path.is_file():
        return []
    try:
        table = pd.read_csv(io.StringIO(read_text(path, "the log")))
    except ValueError as error:  # pandas' errors are of this kind
        raise _not_a_log(path, str(error)) from None
    if "epoch" not in table or not table["epoch"].between(1, 1e9).all():
        raise _not_a_log(path, "it has no column of epochs")
    if not all(pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes):
        raise _not_a_log(path, "it holds other values than numbers")
    return table.replace([np.inf, -np.inf], np.nan).to_dict("records")


def _not_a_log(path: Path, reason: str) -> InputError:
    return InputError(f"{path} is not the log of a training ({reason}): move it away, or put the log back.")
