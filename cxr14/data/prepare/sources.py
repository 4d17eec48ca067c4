"""Sources of radiographs: folders, zip and tar archives, read in place."""

import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from PIL import Image
from tqdm import tqdm

from cxr14.data.dicom import MOST_BYTES
from cxr14.data.prepare.contents import Payload, ZipMember, checksum, content_of, damaged_error, read_member
from cxr14.data.radiograph_files import SUFFIXES
from cxr14.errors import InputError
from cxr14.files import refuse_folder

_ARCHIVE_SUFFIXES = (".zip", ".tar.gz", ".tgz", ".tar")
_CHUNK = 1 << 16  # fits the processor's cache: 750 MB/s, with chunks of 1 MB 340


class Source(Protocol):
    """A folder or file with radiographs."""

    sizes: dict[str, int]
    """File name -> its size in bytes."""

    def payloads(self, names: Collection[str]) -> Iterator[tuple[str, Payload]]:
        """Yield the named radiographs, in the order in which they are read fastest."""
        ...

    def content_of(self, name: str) -> str:
        """Return the CRC-32 of a file's content, in hexadecimal digits."""
        ...

    def place_of(self, name: str) -> str:
        """Return where a radiograph is, for messages."""
        ...


class Files:
    """Plain image files in any number of folders."""

    def __init__(self, paths: dict[str, Path]) -> None:
        self.paths = paths
        self.sizes = {name: path.stat().st_size for name, path in paths.items()}

    def payloads(self, names: Collection[str]) -> Iterator[tuple[str, Payload]]:
        """Yield paths, sorted by name."""
        for name in sorted(names):
            yield name, self.paths[name]

    def content_of(self, name: str) -> str:
        """Read the file; nothing tells its content sooner."""
        return checksum(content_of(self.paths[name]))

    def place_of(self, name: str) -> str:
        """Return the path."""
        return str(self.paths[name])


class Zip:
    """A zip archive; the processes that decode its members also read them.

    Raises:
        InputError: it is damaged, or a member is a link or lies outside of it.
    """

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.sizes: dict[str, int] = {}
        self._members: dict[str, str] = {}
        self._checksums: dict[str, str] = {}
        try:
            with zipfile.ZipFile(archive) as file:
                entries = file.infolist()
        # RuntimeError, ValueError: a version that zipfile does not know, a name that cannot be decoded.
        except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
            raise damaged_error(archive, error) from None
        for entry in entries:
            _require_inside(archive, entry.filename, link=stat.S_ISLNK(entry.external_attr >> 16))
            name = _image_name(entry.filename)
            if name:
                _require_unique(name, self._members, archive)
                self._members[name], self.sizes[name] = entry.filename, entry.file_size
                has_content = 0 < entry.file_size <= MOST_BYTES
                self._checksums[name] = f"{entry.CRC:08x}" if has_content else ""

    def payloads(self, names: Collection[str]) -> Iterator[tuple[str, Payload]]:
        """Yield references to members, sorted by name."""
        for name in sorted(names):
            yield name, ZipMember(self.archive, self._members[name])

    def content_of(self, name: str) -> str:
        """Return what the archive's directory says."""
        return self._checksums[name]

    def place_of(self, name: str) -> str:
        """Return archive and member."""
        return f"{self.archive}: {self._members[name]}"


class Tar:
    """A tar archive, compressed or not, read sequentially: once to list it, once to pack it.

    Raises:
        InputError: it is damaged, or a member is a link or lies outside of it.
    """

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.sizes: dict[str, int] = {}
        self._checksums: dict[str, str] = {}
        for member, file in self._members():
            name = _image_name(member.name)
            if name:
                _require_unique(name, self.sizes, archive)
                self.sizes[name] = member.size
                self._checksums[name] = checksum(read_member(file, member))

    def payloads(self, names: Collection[str]) -> Iterator[tuple[str, Payload]]:
        """Yield the content of the files, in the order of the archive."""
        for member, file in self._members() if names else ():
            name = _image_name(member.name)
            if name in names:
                yield name, read_member(file, member)

    def content_of(self, name: str) -> str:
        """Return the checksum of the first pass."""
        return self._checksums[name]

    def place_of(self, name: str) -> str:
        """Return the archive."""
        return str(self.archive)

    def _members(self) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
        try:
            whole = self.archive.stat().st_size
            with self.archive.open("rb") as raw:
                stream = Gunzip(raw) if self.archive.suffix in {".gz", ".tgz"} else raw
                with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK) as file:
                    for member in file:
                        plain = member.isreg() or member.isdir()
                        _require_inside(self.archive, member.name, link=not plain)
                        if member.isreg():
                            yield member, file
                if stream is raw and file.offset + tarfile.BLOCKSIZE > whole:
                    raise EOFError("it ends too early")  # tarfile does not require an end mark
                while stream.read(_CHUNK):  # gzip's checksum comes after the end of the tar
                    pass
        except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
            raise damaged_error(self.archive, error) from None


class Gunzip:
    """A gzip file, inflated in pieces of the size that is wanted."""

    # Python 3.11's gzip reads in steps of 8 KB, which takes four times as long as decompressing.
    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: with gzip's header and checksum

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer than `size` at the end alone."""
        parts, missing = [], size
        while missing > 0:
            if self._inflate.eof:  # another gzip stream may follow, as bgzip writes them
                chunk = self._inflate.unused_data or self._raw.read(_CHUNK)
                if not chunk:
                    break
                self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
            else:
                chunk = self._inflate.unconsumed_tail or self._raw.read(_CHUNK)
            # No more than is wanted: a chunk of 64 KB may inflate to 64 MB.
            parts.append(self._inflate.decompress(chunk, missing))
            missing -= len(parts[-1])
            if not chunk and not parts[-1] and not self._inflate.eof:
                raise EOFError("it ends too early")
        return b"".join(parts)


def find_sources(source: Path, side: int) -> list[Source]:
    """Find every radiograph in a folder of any layout, or in one archive.

    Args:
        source: a folder with image files, zip and tar archives at any depth; or one such file.
        side: pixels along one side of a packed radiograph. If copies of a radiograph in several sizes have
            the same name, the smallest that is not below `side` is taken.

    Raises:
        InputError: there is no radiograph, an archive is damaged or unsafe, or two files of one name have the
            same size in pixels.
    """
    files = [Path(folder) / name for folder, name in _walk(source)] if source.is_dir() else [source]
    # Regular files only: opening a named pipe would wait for ever.
    archives = [path for path in files if path.name.endswith(_ARCHIVE_SUFFIXES) and path.is_file()]
    paths: dict[str, list[Path]] = {}
    for path in files:
        if (name := _image_name(path.name)) and path.is_file():
            paths.setdefault(name, []).append(path)
    sources: list[Source] = [Files({name: _choose_copy(copies, side) for name, copies in paths.items()})]
    for path in tqdm(archives, desc="listing", unit=" archives", disable=not archives):
        sources.append(Zip(path) if path.suffix == ".zip" else Tar(path))
    seen: dict[str, Source] = {}
    for one in sources:
        for name in one.sizes:
            if name in seen:
                raise _duplicate_error(name, seen[name].place_of(name), one.place_of(name))
            seen[name] = one
    if not seen:
        raise InputError(
            f"there is no radiograph in {source}, neither as a file nor in a .zip or .tar.gz archive."
        )
    return sources


def _walk(source: Path) -> Iterator[tuple[str, str]]:
    visited = set()
    for folder, subfolders, names in os.walk(source, onerror=refuse_folder, followlinks=True):
        real = Path(folder).resolve()
        subfolders[:] = [] if real in visited else sorted(name for name in subfolders if name[0] != ".")
        if real not in visited:
            yield from ((folder, name) for name in sorted(names))
        visited.add(real)


def _image_name(member: str) -> str | None:
    name = PurePosixPath(member).name
    hidden = name.startswith(".") or "__MACOSX" in member
    return name if not hidden and PurePosixPath(name).suffix.lower() in SUFFIXES else None


def _choose_copy(copies: list[Path], side: int) -> Path:
    if len(copies) == 1:
        return copies[0]
    by_width: dict[int, Path] = {}
    for path in copies:
        try:
            with Image.open(path) as image:
                width = image.width
        except OSError:
            width = 0
        if width in by_width:
            raise _duplicate_error(path.name, str(by_width[width]), str(path))
        by_width[width] = path
    large_enough = [width for width in by_width if width >= side]
    return by_width[min(large_enough, default=max(by_width))]


def _require_inside(archive: Path, member: str, link: bool) -> None:
    path = PurePosixPath(member.replace("\\", "/"))
    if link or path.is_absolute() or ".." in path.parts:
        kind = "is a link or a device" if link else "points outside of the archive"
        raise InputError(
            f"{member!r} in {archive} {kind}, which no archive of NIH has: get it from its source again."
        )


def _require_unique(name: str, known: Collection[str], archive: Path) -> None:
    if name in known:
        raise _duplicate_error(name, str(archive), "another folder of it")


def _duplicate_error(name: str, first: str, second: str) -> InputError:
    return InputError(
        f"there are two files {name}, in {first} and in {second}: remove one, or give one folder as --source."
    )
