"""Files that are whole or not there: written aside, brought to the disk, renamed into place."""

import codecs
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


def read_text(path: Path, what: str, hint: str = "") -> str:
    """Return the text of a list or table that people edit, saved as UTF-8 or UTF-16.

    Args:
        path: the file. A byte order mark, as editors and spreadsheets write it, is not part of the text.
        what: how a message calls it, such as "the image list".
        hint: what the message for a missing file adds: where such a file comes from.

    Raises:
        InputError: it is missing, a folder, of another encoding, or no text.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{what} {path} does not exist{f'; {hint}' if hint else ''}.") from None
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read ({error.strerror or error}).") from None
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError(f"{what} {path} cannot be read: it is not text in UTF-8; save it as UTF-8.")
    return text


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
