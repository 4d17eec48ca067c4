"""Packing: processes decode and resize radiographs into the store."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from hashlib import blake2b
from itertools import islice
from multiprocessing import connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from cxr14.data.dicom import LATERAL_VIEW, MOST_BYTES, is_dicom
from cxr14.data.images import resize
from cxr14.data.prepare.contents import Payload, checksum, content_of
from cxr14.data.prepare.sources import Source
from cxr14.data.prepare.store import StoreWriter, finished_index, remove_unfinished
from cxr14.data.radiograph_files import TURNED, read_radiograph
from cxr14.data.store_files import StoreEntry
from cxr14.errors import InputError
from cxr14.files import wrap_disk_errors

# Radiographs sent to a process at a time: 6 MB of bytes if they come from a tar archive.
_GROUP = 16
# Groups submitted for each process: enough that none is idle, few enough that memory stays constant.
_QUEUED = 3
# Seconds between two commits; a power failure loses at most the work of this time.
_COMMIT_EVERY = 2.0


class _Task(NamedTuple):
    row: int
    name: str
    bytes: int
    payload: Payload


class _Target(NamedTuple):
    pixels: Path
    offset: int
    side: int


def pack(
    sources: Sequence[Source], names: Collection[str], folder: Path, side: int, workers: int
) -> list[StoreEntry]:
    """Pack radiographs; rows that an earlier run finished are kept.

    Args:
        sources: what they are read from; no name is in two of them.
        names: those to pack.
        folder: receives ``store.npy``, ``store.csv`` and ``store.txt``; rows are in the order of the names.
        side: S, pixels along one side of a packed radiograph.
        workers: processes that decode.

    Returns:
        The index, one entry for each radiograph. One that cannot be decoded has the state "unreadable" and a
        black row.

    Raises:
        InputError: the folder holds a store of another size or layout or a damaged one, an archive is
            damaged, or the disk is full.
    """
    sizes = dict(
        sorted((name, size) for source in sources for name, size in source.sizes.items() if name in names)
    )
    source_of = {name: source for source in sources for name in source.sizes}

    def content(name: str) -> str:
        return source_of[name].content_of(name)

    with wrap_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        index = finished_index(folder, sizes, side, content)
        if index is None:
            store = StoreWriter(folder, sizes, side, content)
            if len(store.done) < len(sizes):
                _fill(store, _tasks(store, sources), _Target(store.pixels, store.offset, side), workers)
            index = store.publish()
        remove_unfinished(folder)
    return index


def _tasks(store: StoreWriter, sources: Sequence[Source]) -> Iterator[_Task]:
    for source in sources:
        for name, payload in source.payloads(source.sizes.keys() & store.sizes.keys() - store.done.keys()):
            yield _Task(store.row_of(name), name, store.sizes[name], payload)


def _fill(store: StoreWriter, tasks: Iterator[_Task], target: _Target, workers: int) -> None:
    pool = _started_pool(workers)
    total, done = len(store.sizes), len(store.done)
    try:
        with tqdm(total=total, initial=done, desc="packing", unit=" images", smoothing=0.05) as bar:
            committed = time.monotonic()
            for entries in _results(pool, tasks, target, limit=_QUEUED * workers):
                store.record(entries)
                bar.update(len(entries))
                if time.monotonic() - committed > _COMMIT_EVERY:
                    store.commit()
                    committed = time.monotonic()
    except BrokenProcessPool:
        raise InputError(
            "a decoding process was ended by the system, often for lack of memory: run the same command "
            "again with fewer --workers; it resumes."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        store.commit()


def _results(
    pool: ProcessPoolExecutor, tasks: Iterator[_Task], target: _Target, limit: int
) -> Iterator[list[StoreEntry]]:
    # Executor.map would read all tasks at once, which is 45 GB if they come from tar archives.
    pending = set()
    while group := list(islice(tasks, _GROUP)):
        pending.add(pool.submit(_pack_group, target, group))
        if len(pending) >= limit:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    for future in as_completed(pending):
        yield future.result()


def _started_pool(workers: int) -> ProcessPoolExecutor:
    # Ctrl-C reaches all processes of a terminal. Processes that are started while it is ignored ignore it
    # from the beginning, so that this one can let them finish what they are writing.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pool = ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), initializer=_exit_with_parent
        )
        for _ in range(workers):  # each one starts a process, because none is idle yet
            pool.submit(os.getpid)
    finally:
        signal.signal(signal.SIGINT, handler)
    return pool


def _exit_with_parent() -> None:
    # A process whose parent was killed would wait for work forever.
    parent = multiprocessing.parent_process()

    def wait_for_parent() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait_for_parent, daemon=True).start()


def _pack_group(target: _Target, group: Sequence[_Task]) -> list[StoreEntry]:
    entries = []
    with target.pixels.open("r+b") as file:
        for task in group:
            pixels, entry = _reduced(task, target.side)
            file.seek(target.offset + task.row * target.side**2)
            file.write(pixels.tobytes())
            entries.append(entry)
    return entries


def _reduced(task: _Task, side: int) -> tuple[np.ndarray, StoreEntry]:
    content = content_of(task.payload)
    gray, mode = content, "L"
    if not isinstance(content, np.ndarray):
        try:
            radiograph = read_radiograph(content)
        except InputError as error:
            nothing = np.zeros((side, side), np.uint8)
            # Pillow's own reasons hold addresses of memory, and the store is to be the same in every run.
            reason = str(error) if is_dicom(content) else ""
            if task.bytes > MOST_BYTES:
                reason = f"is larger than {MOST_BYTES // 1_000_000} MB"
            unreadable = StoreEntry(task.row, task.name, task.bytes, 0, 0, "", "unreadable", reason)
            return nothing, replace(unreadable, source=checksum(content))
        gray, mode = radiograph.gray, radiograph.mode
        if LATERAL_VIEW in radiograph.warnings:
            mode += ", lateral view"
        if TURNED in radiograph.warnings:
            mode += ", turned by its EXIF data"
    pixels = resize(gray, side)
    height, width = gray.shape
    state = "constant" if pixels.min() == pixels.max() else "ok"
    content_hash = blake2b(np.ascontiguousarray(pixels), digest_size=8).hexdigest()
    entry = StoreEntry(task.row, task.name, task.bytes, width, height, mode, state, content_hash)
    return pixels, replace(entry, source=checksum(content))
