"""Atomic file writes, text files, hashes, and disk errors as user errors."""

import codecs
import hashlib
import os
import shutil
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


def require_space(folder: Path, needed: int, purpose: str, advice: str) -> None:
    """Check that a disk has enough free space.

    Args:
        folder: a folder on the disk; it is made if it is missing.
        needed: bytes.
        purpose: what needs them, the subject of the message, such as "the download".
        advice: what to do if there is too little, such as "choose another --out".

    Raises:
        InputError: less is free, or the folder cannot be made.
    """
    with wrap_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{purpose} needs {needed / 1e9:.2f} GB more in {folder}, where {free / 1e9:.2f} GB are free: "
            f"{advice}."
        )


@contextmanager
def wrap_disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError, such as that of a full or read-only disk, into an InputError that names `path`."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} could not be written ({error.strerror or error}); nothing that was finished before is "
            "lost: solve the problem and run the same command again."
        ) from error
