"""Predictions spread over processes and machines by Ray Data."""

import functools
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cxr14.deployment.card import ModelCard
from cxr14.deployment.prediction.answers import Answer, Predictor, Task, from_line, to_line
from cxr14.deployment.prediction.model import Network
from cxr14.deployment.prediction.radiographs import LeftOut
from cxr14.errors import InputError

LOCAL = "local"
"""The address that starts Ray on this machine alone."""

_FILES_AT_A_TIME = 32  # of one task, a third of a second: what a lost machine has to repeat is little
_SECONDS_TO_CONNECT = 10
_MEMORY = 256 << 20  # bytes of Ray's store on this machine; paths and answers are all that goes through it


def answers_by_ray(
    tasks: Sequence[Task], model: bytes, card: ModelCard, maps: Path | None, address: str
) -> Iterator[Answer | LeftOut]:
    """Yield an answer for each file, or why it is left out, in any order.

    What a process or machine has not finished when it is lost, others do again. All machines must see the
    files under the same paths.

    Args:
        tasks: the files.
        model: content of the model's file.
        card: its card.
        maps: existing folder for drawings of the heat maps; None draws none.
        address: "local" for the cores of this machine, "auto" or HOST:PORT for a cluster that is running.

    Raises:
        InputError: Ray is not installed, there is no cluster, or a drawing cannot be written.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError("--address needs Ray: pip install -e .[ray]") from None
    if address not in (LOCAL, "auto"):
        _require_reachable(address)
    local = {"include_dashboard": False, "object_store_memory": _MEMORY} if address == LOCAL else {}
    try:
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **local)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"there is no cluster of Ray at {address} ({_first_line(error)}).") from None
    try:
        yield from _run(
            tasks, functools.partial(_answer_batch, model=model, card=card, maps=maps and maps.absolute())
        )
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, InputError):
            raise InputError(str(cause)) from None
        raise InputError(f"Ray could not go on ({_first_line(error)}); the same command resumes.") from error
    finally:
        ray.shutdown()


def _require_reachable(address: str) -> None:
    # Ray itself would try for minutes.
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"--address {address} is not {LOCAL}, auto or HOST:PORT.")
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"there is no cluster of Ray at {address} ({error}).") from None


def _run(tasks: Sequence[Task], answer_batch: functools.partial) -> Iterator[Answer | LeftOut]:
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # Whole paths, for other processes stand in other folders; as bytes, for a path need not be text.
    items = [
        {
            "number": number,
            "path": os.fsencode(task.path.absolute()),
            "shown": task.shown,
            "drawing": task.drawing,
        }
        for number, task in enumerate(tasks)
    ]
    blocks = -(-len(items) // _FILES_AT_A_TIME)
    # Tasks, not actors: an actor that no machine has room for any more would keep its files waiting.
    answered = ray.data.from_items(items, override_num_blocks=blocks).map_batches(
        answer_batch, batch_size=None
    )
    for batch in answered.iter_batches(batch_size=None, prefetch_batches=0):
        for number, line, reason in zip(batch["number"], batch["line"], batch["reason"], strict=True):
            yield from_line(line) if line else LeftOut(tasks[number].path, reason)


def _answer_batch(
    batch: dict[str, np.ndarray], model: bytes, card: ModelCard, maps: Path | None
) -> dict[str, Sequence]:
    predictor = _predictor(model, card, maps)
    lines, reasons = [], []
    for path, shown, drawing in zip(batch["path"], batch["shown"], batch["drawing"], strict=True):
        found = predictor(Task(Path(os.fsdecode(path)), shown, drawing))
        is_left_out = isinstance(found, LeftOut)
        lines.append("" if is_left_out else to_line(found))
        reasons.append(found.reason if is_left_out else "")
    return {"number": batch["number"], "line": lines, "reason": reasons}


_last: tuple[str, Path | None, Predictor] | None = None


def _predictor(model: bytes, card: ModelCard, maps: Path | None) -> Predictor:
    """Return the model, which a process loads once for all its tasks."""
    global _last
    if _last is None or _last[:2] != (card.model_hash, maps):
        _last = (card.model_hash, maps, Predictor(Network(model), card, maps))
    return _last[2]


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
