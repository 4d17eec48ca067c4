"""Atomic file writes, locks, text files, hashes, and disk errors as user errors."""

import codecs
import errno
import glob
import hashlib
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cxr14.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: files of killed runs are not recognised there, and nothing is locked
    fcntl = None

MOST_TEXT = 1 << 30
"""Bytes of the largest text file that is read; NIH's table has 8 MB."""

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


@contextmanager
def atomic_write(path: Path, previous: Path | None = None, *, one_of_many: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` to write to, and rename it to `path` once the block has ended well.

    Whatever interrupts the block, `path` holds all of its old content or all of its new one. What a process
    that was killed has left unfinished is removed.

    Args:
        path: the file that appears; its folder is made where it is missing.
        previous: where the old content of `path` goes instead of being lost.
        one_of_many: do without what takes long beside thousands of files. Whoever writes them calls
            `remove_unfinished` once, and a power cut can leave the newest of them empty.

    Raises:
        InputError: the disk is full, the folder cannot be written, and the like; `path` is untouched.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with wrap_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not one_of_many:
                remove_unfinished(path.parent, path.name)
            # The lock on the empty file tells other processes that its writer lives.
            with aside.open("wb") as claim:
                _lock(claim.fileno())
                yield aside
                if not one_of_many:
                    with aside.open("rb") as file:
                        os.fsync(file.fileno())
                if previous is not None and path.exists():
                    path.replace(previous)
                aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def remove_unfinished(folder: Path, name: str = "*") -> None:
    """Remove what processes that were killed within `atomic_write` have left in a folder.

    Args:
        folder: the folder; nothing happens where it does not exist.
        name: the file that they were writing; "*": any.
    """
    for part in folder.glob(f".{glob.escape(name) if name != '*' else name}.*.part"):
        if part.is_file():
            with suppress(OSError), part.open("rb") as file:
                if _lock(file.fileno()):
                    part.unlink()


@contextmanager
def exclusive(lock: Path, problem: str) -> Iterator[None]:
    """Refuse to run while another process is within this block for the same lock.

    Args:
        lock: a file that exists during the block; the system frees it even if the process is killed.
        problem: how the message begins if another process has it, such as "another run writes model1.pth".

    Raises:
        InputError: another process has the lock; the message says which one.
    """
    made = [folder for folder in lock.parents if not folder.exists()]
    with wrap_disk_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _open_locked(lock)
    if descriptor is None:
        raise InputError(f"{problem} ({_holder(lock)}): wait until it has ended.")
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)
        with suppress(OSError):  # the run has left files in them
            for folder in made:
                folder.rmdir()


def _open_locked(lock: Path) -> int | None:
    """Return a descriptor of the locked file, or None where another process has locked it."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        # A lock of the process, not of the open file: reader processes that outlive a killed training for a
        # moment do not hold it.
        if not _lock(descriptor, by_process=True):
            os.close(descriptor)
            return None
        # The process that had the lock before may have removed the file in between.
        if os.fstat(descriptor).st_nlink:
            started = time.strftime("%Y-%m-%d %H:%M:%S")
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}, since {started}".encode())
            return descriptor
        os.close(descriptor)


def _holder(lock: Path) -> str:
    try:
        return lock.read_text(encoding="utf-8", errors="replace")[:200] or "just started"
    except OSError:
        return "just ended"


def _lock(descriptor: int, by_process: bool = False) -> bool:
    """Lock a file without waiting; return whether that succeeded."""
    if fcntl is None:
        return by_process
    try:
        (fcntl.lockf if by_process else fcntl.flock)(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without locks cannot refuse a second run.
        return by_process and error.errno not in (errno.EACCES, errno.EAGAIN)
    return True


def read_bytes(path: Path, what: str, hint: str = "") -> bytes:
    """Return the content of a small file.

    Args:
        path, what, hint: as in `read_text`.

    Raises:
        InputError: it is missing, a folder, a named pipe or a device, larger than `MOST_TEXT`, or cannot be
            read.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError(f"{what} {path} cannot be read: it is a named pipe or a device.")
        if path.stat().st_size > MOST_TEXT:
            raise InputError(f"{what} {path} is too large; {MOST_TEXT >> 20} MB are the most.")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{what} {path} does not exist{f'; {hint}' if hint else ''}.") from None
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read ({error.strerror or error}).") from None


def read_text(path: Path, what: str, hint: str = "") -> str:
    """Return the text of a list or table that people edit, saved as UTF-8 or UTF-16.

    Args:
        path: the file. A byte order mark, as editors and spreadsheets write it, is not part of the text.
        what: how a message calls it, such as "the image list".
        hint: what the message for a missing file adds: where such a file comes from.

    Raises:
        InputError: as in `read_bytes`; or it is of another encoding, or no text.
    """
    content = read_bytes(path, what, hint)
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError(f"{what} {path} cannot be read: it is not text in UTF-8; save it as UTF-8.")
    return text


def find_files(folder: Path, name: str) -> list[Path]:
    """Return the files of one name below a folder, sorted; those of links to folders are not looked at.

    Raises:
        InputError: a folder below cannot be read, so that files would be left out without a word.
    """
    found = [Path(place, name) for place, _, names in os.walk(folder, onerror=refuse_folder) if name in names]
    return sorted(path for path in found if path.exists())


def refuse_folder(error: OSError) -> None:
    """Raise an InputError for a folder that `os.walk` cannot read; its argument ``onerror``."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise InputError(
            f"the folder {error.filename} cannot be read ({error.strerror}): give yourself the permission to "
            "read it, or move it elsewhere."
        ) from None


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
    """Turn an OSError, such as that of a full or read-only disk, into an InputError that names `path`.

    Libraries report a full disk by errors of their own, which Python remembers the OSError behind.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        cause = error if isinstance(error, OSError) else _disk_error_behind(error)
        if cause is None:
            raise
        raise InputError(
            f"{path} could not be written ({cause.strerror or cause}); nothing that was finished before is "
            "lost: solve the problem and run the same command again."
        ) from error


def _disk_error_behind(error: BaseException) -> OSError | None:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, OSError) and error.errno in _DISK:
            return error
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None
