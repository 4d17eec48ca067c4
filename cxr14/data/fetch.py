"""Download of one file over HTTP: resumed, checked by MD5, renamed when complete."""

import hashlib
import http
import http.client
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from cxr14.errors import InputError
from cxr14.files import wrap_disk_errors

_CHUNK = 1 << 20
_TIMEOUT = 30  # seconds without a byte
_MOST_FAILURES = 5  # attempts in a row without a new byte
_USER_AGENT = "cxr14"
_BROKEN = (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError)


class RemoteFile(NamedTuple):
    """A published file."""

    name: str
    url: str
    bytes: int
    md5: str


def fetch(file: RemoteFile, folder: Path, pause: float = 2.0) -> Path:
    """Download a file into a folder, or the part of it that is missing.

    Until it is complete and checked, the file is called ``<name>.part``; a later call resumes it.

    Args:
        file: the file, with its size and MD5 as published.
        folder: where to put it; it is made if it is missing.
        pause: seconds before the second attempt, doubled for each further one.

    Raises:
        InputError: the server does not send the file or sends other bytes than were published, or the disk is
            full.
    """
    path = folder / file.name
    if _size(path) == file.bytes:
        return path
    part = _part(path)
    with wrap_disk_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        for _ in range(2):  # wrong bytes may be right in a second download
            _complete(file, part, pause)
            if _md5(part) == file.md5:
                part.replace(path)
                return path
            part.unlink()
    raise InputError(f"{file.url} sent other bytes than were published as {file.name}: the MD5 differs.")


def missing_bytes(file: RemoteFile, folder: Path) -> int:
    """Return how many bytes of a file are not in the folder yet."""
    path = folder / file.name
    return 0 if _size(path) == file.bytes else file.bytes - _size(_part(path))


def _complete(file: RemoteFile, part: Path, pause: float) -> None:
    failures, reason = 0, "the connection ended"
    with tqdm(total=file.bytes, desc=file.name, unit="B", unit_scale=True) as bar:
        while (have := _size(part)) < file.bytes:
            if failures == _MOST_FAILURES:
                raise InputError(
                    f"{file.url} sent {have} of {file.bytes} bytes and then no more ({reason}): "
                    "check the connection; the same command goes on from there."
                )
            if failures:
                time.sleep(pause * 2 ** (failures - 1))
            try:
                _append(file, part, have, bar)
            except urllib.error.HTTPError as error:
                if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    part.unlink()
                elif error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR:  # asking again changes nothing
                    raise InputError(f"{file.url} cannot be downloaded ({error}).") from None
                reason = str(error)
            except _BROKEN as error:
                reason = str(error)
            failures = 0 if _size(part) > have else failures + 1


def _append(file: RemoteFile, part: Path, have: int, bar: tqdm) -> None:
    headers = {"User-Agent": _USER_AGENT} | ({"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(
        urllib.request.Request(file.url, headers=headers), timeout=_TIMEOUT
    ) as answer:
        is_partial = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        with part.open("ab" if is_partial else "wb") as out:
            bar.n = out.tell()
            while out.tell() <= file.bytes and (chunk := answer.read(_CHUNK)):
                out.write(chunk)
                bar.update(len(chunk))


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
