"""Contents of files in folders and archives, with a limit, and their checksums."""

import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from cxr14.data.dicom import MOST_BYTES
from cxr14.errors import InputError


@dataclass(frozen=True)
class ZipMember:
    """A file in a zip archive; the process that decodes it reads it."""

    archive: Path
    member: str


Payload = Path | ZipMember | bytes | np.ndarray
"""What can be decoded: a file, its content, or (H, W) uint8."""


def content_of(payload: Payload) -> bytes | np.ndarray:
    """Return the content of a file, read where it is not read yet; pixels are returned as they are.

    A file that cannot be read, or is larger than `MOST_BYTES`, has no content; so an archive of kilobytes
    cannot fill the memory.

    Raises:
        InputError: an archive is damaged.
    """
    if isinstance(payload, Path):
        try:
            return payload.read_bytes() if payload.stat().st_size <= MOST_BYTES else b""
        except OSError:
            return b""
    if not isinstance(payload, ZipMember):
        return payload
    try:
        archive = _opened(payload.archive)
        # No more than the directory says is ever inflated.
        return (
            archive.read(payload.member) if archive.getinfo(payload.member).file_size <= MOST_BYTES else b""
        )
    # RuntimeError: a member is encrypted, or compressed in a way that zipfile does not know.
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged_error(payload.archive, error) from None


def checksum(content: bytes | np.ndarray) -> str:
    """Return the CRC-32 of a content in hexadecimal digits; nothing for no content."""
    return f"{zlib.crc32(content):08x}" if len(content) else ""


def read_member(file: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the content of a member of a tar archive, as `content_of` does."""
    return file.extractfile(member).read() if member.size <= MOST_BYTES else b""


@lru_cache(maxsize=2)  # a process reads one archive after the other
def _opened(archive: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(archive)


def damaged_error(archive: Path, error: Exception) -> InputError:
    """Return the error for an archive that cannot be read."""
    if isinstance(error, RuntimeError):  # of zipfile: a password, an unknown compression
        return InputError(
            f"{archive} cannot be read ({error}): unpack it with another program and remove it there."
        )
    return InputError(
        f"{archive} is damaged ({error}): delete it and run download.py, which fetches only what is missing."
    )
