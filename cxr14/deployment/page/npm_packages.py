"""The npm packages inside the page: pinned, fetched by npm, checked by their hash."""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr14.errors import InputError
from cxr14.files import atomic_write


@dataclass(frozen=True, kw_only=True)
class NpmPackage:
    """One version of a package, under the MIT licence."""

    name: str
    version: str
    integrity: str
    """SHA-512 of its archive in base64, as npm's registry publishes it."""
    copyright: str
    """The copyright notice of its licence."""
    purpose: str
    """What the page does with it."""

    @property
    def spec(self) -> str:
        """What npm calls this version."""
        return f"{self.name}@{self.version}"

    @property
    def archive(self) -> str:
        """Name of the file that ``npm pack`` writes."""
        return f"{self.name}-{self.version}.tgz"


ONNX_RUNTIME = NpmPackage(
    name="onnxruntime-web",
    version="1.30.0",
    integrity="sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    copyright="Copyright (c) Microsoft Corporation. All rights reserved.",
    purpose="runs the model; the components that it contains are listed in its ThirdPartyNotices.txt",
)
DICOM_PARSER = NpmPackage(
    name="dicom-parser",
    version="1.8.21",
    integrity="sha512-lYCweHQDsC8UFpXErPlg86Px2A8bay0HiUY+wzoG3xv5GzgqVHU3lziwSc/Gzn7VV7y2KeP072SzCviuOoU02w==",
    copyright="Copyright (c) 2014 Chris Hafey (chafey@gmail.com)",
    purpose="finds the tags of DICOM files",
)
JPEG_LOSSLESS = NpmPackage(
    name="jpeg-lossless-decoder-js",
    version="2.1.2",
    integrity="sha512-fYf/plymnuKwVw+s8gJ8O/BPw8y8OLaN11MBvEcT05kuy3m45o7BEC4J0JbxMNUYyO+MdK/I/jq0q1gkVYZm2Q==",
    copyright="Copyright (c) 2015 RII-UTHSCSA",
    purpose="decodes lossless JPEG in DICOM files",
)
PACKAGES = (ONNX_RUNTIME, DICOM_PARSER, JPEG_LOSSLESS)


def read_files(package: NpmPackage, names: Sequence[str], folder: Path) -> dict[str, bytes]:
    """Return files of a package; its archive is fetched where the folder does not hold it.

    Args:
        package: the package.
        names: of the files, relative to the package.
        folder: holds the archives.

    Raises:
        InputError: npm is not installed or cannot fetch the archive, or the archive is not the pinned one.
    """
    path = folder / package.archive
    if not path.exists():
        _fetch(package, path)
    _require_pinned(package, path)
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:  # in one pass: the archive is compressed as a whole
            name = member.name.partition("/")[2]
            if name in names:
                found[name] = archive.extractfile(member).read()
            if len(found) == len(names):
                break
    return found


def _fetch(package: NpmPackage, path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            f"npm, which fetches {package.spec}, is not installed: install Node.js, or put {package.archive} "
            f"from another computer's npm pack into {path.parent}."
        )
    print(f"fetching {package.spec} …", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", package.spec, "--pack-destination", folder]
        # Nothing of the package is run, and without a network this ends soon.
        command += [
            "--ignore-scripts",
            "--fetch-retries=1",
            "--fetch-retry-mintimeout=1000",
            "--loglevel=error",
        ]
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            check=False,
        )
        fetched = Path(folder, package.archive)
        if done.returncode or not fetched.is_file():
            raise InputError(
                f"npm could not fetch {package.spec} ({_reason(done.stderr)}): connect to a network for this "
                f"once, or put {package.archive} from another computer's npm pack into {path.parent}."
            )
        _require_pinned(package, fetched)
        with atomic_write(path) as aside:
            shutil.copyfile(fetched, aside)


def _reason(messages: str) -> str:
    """Return the code of npm's error, such as ENOTFOUND."""
    words = messages.split()
    return words[words.index("code") + 1] if "code" in words[:-1] else "npm gave no reason"


def _require_pinned(package: NpmPackage, path: Path) -> None:
    if not path.is_file():  # a named pipe would be read for ever
        raise InputError(f"{path} is no file; delete it and run this again.")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha512").digest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    if f"sha512-{base64.b64encode(digest).decode()}" != package.integrity:
        raise InputError(
            f"{path} is not {package.spec}: its hash differs; delete the file and run this again."
        )
