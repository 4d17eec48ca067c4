"""The journal of a run: its answers on disk, to resume it after an interruption."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cxr14.deployment.prediction.answers import Answer, from_line, to_line
from cxr14.errors import InputError
from cxr14.files import wrap_disk_errors

try:
    import fcntl
except ImportError:  # Windows: two runs are not kept apart there
    fcntl = None

SUFFIX = ".unfinished"
"""What the journal of a table is called, after the name of the table."""


class Journal:
    """Answers in the order in which they came; only where each of them stands is kept in memory."""

    def __init__(self, file: BinaryIO) -> None:
        """Take an open journal whose content is complete lines."""
        self._file = file
        self._places: dict[str, int] = {}
        self._end = file.tell()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, shown: str) -> bool:
        return shown in self._places

    def add(self, answer: Answer) -> None:
        """Write an answer; a second one of the same radiograph is ignored."""
        if answer.shown in self._places:
            return
        line = to_line(answer).encode() + b"\n"
        self._file.seek(self._end)
        self._file.write(line)
        self._file.flush()
        self.note(answer.shown, self._end, len(line))

    def note(self, shown: str, start: int, length: int) -> None:
        """Record where the answer of a radiograph stands."""
        self._places[shown] = start
        self._end = start + length

    def answer(self, shown: str) -> Answer:
        """Return the answer of a radiograph."""
        self._file.seek(self._places[shown])
        return from_line(self._file.readline().decode())


@contextmanager
def open_journal(table: Path | None, run: Mapping[str, object]) -> Iterator[Journal]:
    """Yield the journal beside a table, which keeps the answers of an interrupted run.

    It is removed once the block has ended well, or when it holds no answer.

    Args:
        table: the table that the run is to write; None: the journal is lost with the process.
        run: what an interrupted run must have in common with this one.

    Raises:
        InputError: it belongs to another kind of run, another process is writing to it, or it cannot be
            written.
    """
    if table is None:
        with tempfile.TemporaryFile() as file:
            yield Journal(file)
        return
    path = table.with_name(table.name + SUFFIX)
    with wrap_disk_errors(path):
        table.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            _lock(file, table)
            journal = _resume(file, path, json.dumps(run, sort_keys=True))
            try:
                yield journal
            except BaseException:
                if not len(journal):
                    path.unlink()
                raise
            path.unlink()


def _lock(file: BinaryIO, table: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError(f"another predict.py is writing {table}: wait until it has ended.") from None


def _resume(file: BinaryIO, path: Path, head: str) -> Journal:
    """Read an earlier run's answers up to the first damaged line, and cut the rest off."""
    file.seek(0)
    first = file.readline()
    if first.endswith(b"\n") and first.rstrip() != head.encode():
        raise InputError(
            f"{path} was begun with another model or another --maps: run that command again to finish it, or "
            "delete the file."
        )
    if not first.endswith(b"\n"):
        file.seek(0)
        file.truncate()
        file.write(head.encode() + b"\n")
    journal = Journal(file)
    end = file.tell()
    for line in file:
        try:
            answer = from_line(line.decode())
        except (ValueError, TypeError):
            break
        if not line.endswith(b"\n"):
            break
        journal.note(answer.shown, end, len(line))
        end += len(line)
    file.seek(end)
    file.truncate()
    return journal
