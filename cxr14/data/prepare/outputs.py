"""Lists and report of prepare.py, and the record that protects other files."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from cxr14.errors import InputError
from cxr14.files import atomic_write, fingerprint, wrap_disk_errors

RECORD = ".prepare.sha256"
"""Lines as ``sha256sum`` writes them: the hash of each file that prepare.py wrote, and its path."""


def require_own(out: Path, paths: Iterable[Path]) -> None:
    """Check that prepare.py wrote whatever it is going to replace.

    Args:
        out: folder of the record.
        paths: files that are going to be written.

    Raises:
        InputError: one of them exists and is not as an earlier run wrote it.
    """
    with wrap_disk_errors(out):
        record = out / RECORD
        known = set(record.read_text(encoding="utf-8").splitlines()) if record.exists() else set()
        for path in paths:
            if path.exists() and _line(out, path, fingerprint(path)) not in known:
                raise InputError(
                    f"{path} would be replaced, but it is not as prepare.py wrote it: move it away or choose "
                    "another --out."
                )


def write(out: Path, texts: Mapping[Path, str]) -> None:
    """Write the files atomically, each one recorded before it appears.

    Raises:
        InputError: the disk is full, or a file is not as prepare.py wrote it.
    """
    require_own(out, texts)
    lines = [_line(out, path, hashlib.sha256(text.encode()).hexdigest()) for path, text in texts.items()]
    record = out / RECORD
    earlier = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    _write_text(record, "\n".join([*earlier, *lines]) + "\n")
    for path, text in texts.items():
        _write_text(path, text)
    _write_text(record, "\n".join(lines) + "\n")


def remove_leftovers(out: Path, paths: Iterable[Path]) -> None:
    """Remove what a run that was killed while it wrote has left beside these files and the record."""
    for path in (out / RECORD, *paths):
        for leftover in path.parent.glob(f".{path.name}.*.part"):
            leftover.unlink()


def _line(out: Path, path: Path, digest: str) -> str:
    return f"{digest}  {path.relative_to(out).as_posix()}"


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
