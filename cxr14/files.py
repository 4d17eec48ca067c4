"""Files that are whole or not there: written aside, brought to the disk, renamed into place."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cxr14.errors import InputError


@contextmanager
def atomic_write(path: Path, previous: Path | None = None) -> Iterator[Path]:
    """Yield a path beside `path` to write to, and rename it to `path` once the block has ended well.

    Whatever interrupts the block, `path` holds all of its old content or all of its new one.

    Args:
        path: the file that appears; its folder is made where it is missing.
        previous: where the old content of `path` goes instead of being lost.

    Raises:
        InputError: the disk is full, the folder cannot be written, and the like; `path` is untouched.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with wrap_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield aside
            with aside.open("rb") as file:
                os.fsync(file.fileno())
            if previous is not None and path.exists():
                path.replace(previous)
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def wrap_disk_errors(path: Path) -> Iterator[None]:
    """Turn the errors of a disk that is full, read-only and the like into an InputError that names `path`."""
    try:
        yield
    except OSError as error:
        told = error.strerror or error
        raise InputError(
            f"{path} could not be written ({told}); what was done before is kept: mend that and run the same "
            "command again."
        ) from error
