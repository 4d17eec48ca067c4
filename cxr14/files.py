"""Files that are whole or not there: written aside, then renamed into place."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cxr14.errors import InputError


@contextmanager
def written_aside(path: Path, previous: Path | None = None) -> Iterator[Path]:
    """Yield a path beside `path` to write to, and rename it to `path` once the block has ended well.

    Whatever interrupts the block, `path` holds all of its old content or all of its new one.

    Args:
        path: the file that appears.
        previous: where the old content of `path` goes instead of being lost.

    Raises:
        InputError: the disk is full, the folder cannot be written, and the like; `path` is untouched.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            path.replace(previous)
        aside.replace(path)
    except OSError as error:
        raise InputError(f"{path} could not be written ({error.strerror or error}); what stood there is whole.") from error
    finally:
        aside.unlink(missing_ok=True)
