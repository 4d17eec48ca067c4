"""A packed store on a network disk, read through or copied once before the work."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path

from tqdm import tqdm

from cxr14.data.store_files import STORE_INDEX, STORE_PIXELS
from cxr14.errors import InputError
from cxr14.files import atomic_write, require_space, wrap_disk_errors

try:
    import fcntl
except ImportError:  # Windows: two processes may then copy the same store
    fcntl = None

OFF, MEMORY = "no", "memory"

_CHUNK = 8 << 20  # bytes; a network disk is read ahead within such a piece
_SHARE_OF_MEMORY = 0.8  # of what is free; the rest is for the work itself
_DIGITS = 16
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def preload(data_dir: Path, how: str, is_main: bool = True) -> Path:
    """Bring a packed store near, and return the folder to read radiographs from.

    Args:
        data_dir: the folder of the store.
        how: "no"; "memory": the store is read through once, so that the system keeps it in its cache, unless
            more memory would be needed than is free; or a folder on a local disk, or in /dev/shm, which
            receives a copy that later runs use again.
        is_main: whether to print and to show a bar.

    Raises:
        InputError: there is no store, or the folder cannot receive it.
    """
    if how == OFF:
        return data_dir
    pixels = data_dir / STORE_PIXELS
    if not (data_dir / STORE_INDEX).exists() or not pixels.exists():
        raise InputError(
            f"PRELOAD = {how!r} needs a packed store, and {data_dir} holds none: run "
            "ChestX-ray14/prepare.py, or set PRELOAD to no."
        )
    if how == MEMORY:
        _read_through(pixels, is_main)
        return data_dir
    return _copied(data_dir, Path(how).resolve(), is_main)


def free_memory() -> int | None:
    """Return the bytes of memory that this process can still use; None where the system does not tell.

    That is the system's MemAvailable, or what a container or a Slurm job leaves, if that is less.
    """
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        return None
    limit, used = _cgroup_value("memory.max"), _cgroup_value("memory.current")
    return min(free, max(limit - used, 0)) if limit is not None and used is not None else free


def _cgroup_value(name: str) -> int | None:
    try:
        own = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip().lstrip("/")
        return int((_CGROUP / own / name).read_text())
    except (OSError, ValueError):  # no such limit: the file is missing, or says "max"
        return None


def _read_through(pixels: Path, is_main: bool) -> None:
    size, free = pixels.stat().st_size, free_memory()
    if free is not None and size > _SHARE_OF_MEMORY * free:
        if is_main:
            print(
                f"{pixels} has {size / 1e9:.2f} GB, and {free / 1e9:.2f} GB of memory are free: it is read "
                "from the disk as it is needed. PRELOAD can also name a folder on a local disk.",
                file=sys.stderr,
            )
        return
    for _ in _pieces(pixels, "reading the store", is_main):
        pass


def _copied(data_dir: Path, folder: Path, is_main: bool) -> Path:
    pixels, index = data_dir / STORE_PIXELS, (data_dir / STORE_INDEX).read_bytes()
    # The index has a hash of each radiograph's pixels, so it names the content of the store.
    near = folder / sha256(index).hexdigest()[:_DIGITS]
    with wrap_disk_errors(near):
        near.mkdir(parents=True, exist_ok=True)
    with _waiting_lock(near / ".lock"):  # every process of a machine comes here; the first one copies
        target, size = near / STORE_PIXELS, pixels.stat().st_size
        if not target.exists() or target.stat().st_size != size:
            require_space(near, size, f"the copy of {pixels}", "name another folder in PRELOAD, or memory")
            with atomic_write(target) as part, part.open("wb") as file:
                for piece in _pieces(pixels, f"copying the store to {folder}", is_main):
                    file.write(piece)
        if not (near / STORE_INDEX).exists():
            with atomic_write(near / STORE_INDEX) as part:
                part.write_bytes(index)
    return near


def _pieces(path: Path, note: str, is_main: bool) -> Iterator[bytes]:
    with (
        path.open("rb", buffering=0) as file,
        tqdm(
            total=path.stat().st_size,
            desc=note,
            unit="B",
            unit_scale=True,
            leave=False,
            disable=not is_main,
        ) as bar,
    ):
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while piece := file.read(_CHUNK):
            yield piece
            bar.update(len(piece))


@contextmanager
def _waiting_lock(path: Path) -> Iterator[None]:
    with wrap_disk_errors(path), path.open("wb") if fcntl else nullcontext() as file:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
