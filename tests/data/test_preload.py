"""A store that is read through or copied before the work."""

import multiprocessing
import os
from types import SimpleNamespace

import numpy as np
import pytest

from cxr14.data import preload
from cxr14.data.images import open_images
from cxr14.data.prepare.packing import pack
from cxr14.data.prepare.sources import find_sources
from cxr14.errors import InputError
from tests.nih_folder import names_of, write_images

NAMES = names_of(6)
SIDE = 40


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("far")
    write_images(folder / "files", NAMES, side=SIDE)
    pack(find_sources(folder / "files", SIDE), NAMES, folder / "store", SIDE, workers=1)
    return folder / "store"


def cached_pages(path):
    """Return the share of a file's pages that are in the system's cache, by mincore."""
    import ctypes
    import mmap

    size = path.stat().st_size
    pages = -(-size // mmap.PAGESIZE)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    with path.open("rb") as file:
        address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
        state = ctypes.create_string_buffer(pages)
        assert libc.mincore(address, size, state) == 0
        libc.munmap(address, size)
    return sum(byte & 1 for byte in state.raw[:pages]) / pages


def forget(path):
    """Drop a file from the system's cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_without_it_nothing_is_read(store):
    assert preload.preload(store, "no") == store


def test_memory_reads_every_byte_once(store, monkeypatch):
    read = []
    pieces = preload._pieces

    def counted(*words):
        for piece in pieces(*words):
            read.append(len(piece))
            yield piece

    monkeypatch.setattr(preload, "_pieces", counted)
    assert preload.preload(store, "memory") == store
    assert sum(read) == (store / "store.npy").stat().st_size


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="Linux's page cache")
def test_memory_leaves_the_store_in_the_cache_of_the_system(store):
    pixels = store / "store.npy"
    forget(pixels)
    if cached_pages(pixels) > 0.5:
        pytest.skip("this file system keeps its files in memory")
    preload.preload(store, "memory")
    assert cached_pages(pixels) == 1


def test_store_that_does_not_fit_into_memory_is_left_on_the_disk_and_this_is_said(store, monkeypatch, capsys):
    monkeypatch.setattr(preload, "free_memory", lambda: 1000)
    monkeypatch.setattr(preload, "_pieces", None)
    assert preload.preload(store, "memory") == store
    assert "it is read from the disk as it is needed" in capsys.readouterr().err


def test_copy_gives_the_same_radiographs_and_is_made_once(store, tmp_path, monkeypatch):
    near = preload.preload(store, str(tmp_path / "near"))
    assert near.parent == tmp_path / "near"
    expected, found = (open_images(folder).read(NAMES, SIDE) for folder in (store, near))
    np.testing.assert_array_equal(expected, found)
    monkeypatch.setattr(preload, "_pieces", None)
    assert preload.preload(store, str(tmp_path / "near")) == near


def test_copy_that_was_interrupted_is_made_again(store, tmp_path):
    near = preload.preload(store, str(tmp_path))
    with (near / "store.npy").open("r+b") as file:
        file.truncate(100)
    assert preload.preload(store, str(tmp_path)) == near
    assert (near / "store.npy").read_bytes() == (store / "store.npy").read_bytes()


def test_two_processes_make_one_copy(store, tmp_path):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        places = pool.starmap(preload.preload, 2 * [(store, str(tmp_path), False)])
    assert places[0] == places[1]
    assert (places[0] / "store.npy").read_bytes() == (store / "store.npy").read_bytes()
    assert len(list(tmp_path.rglob("*.npy"))) == 1


def test_disk_without_space_raises_input_error(store, tmp_path, monkeypatch):
    monkeypatch.setattr("cxr14.files.shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(InputError, match=r"the copy of .+ needs .+ GB more in .+: name another folder"):
        preload.preload(store, str(tmp_path))


def test_plain_files_raise_input_error(store):
    with pytest.raises(InputError, match="needs a packed store"):
        preload.preload(store.parent / "files", "memory")


def test_free_memory_is_at_most_that_of_the_job(monkeypatch):
    everything = preload.free_memory()
    assert everything is None or everything > 1e6
    if everything is None:
        pytest.skip("the system does not tell")
    monkeypatch.setattr(preload, "_cgroup_value", {"memory.max": 5_000_000, "memory.current": 2_000_000}.get)
    assert preload.free_memory() == 3_000_000
