"""The packed store while it grows: stopped at each step of being published, it is found whole again."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cxr14.data import images
from cxr14.data.images import StoreEntry
from cxr14.data.prepare.store import GrowingStore, clear_up, finished_index
from cxr14.errors import InputError

SIZES = {f"{name}.png": number for number, name in enumerate("abcde")}
SIDE = 6


def fill(store, names):
    with store.pixels.open("r+b") as file:
        for name in names:
            row = store.row_of(name)
            file.seek(store.offset + row * SIDE**2)
            file.write(bytes([100 + SIZES[name]]) * SIDE**2)
            store.note([StoreEntry(row, name, SIZES[name], 9, 9, "L", "ok", name)])
    store.commit()


def check(folder):
    assert finished_index(folder, SIZES, SIDE) is not None
    pixels = images.open_images(folder).read(list(SIZES), SIDE)
    np.testing.assert_array_equal(pixels[:, 0, 0], 100 + np.arange(5))


class Killed(BaseException):
    """What no handler of the code under test takes for its own."""


@pytest.mark.parametrize("survived", range(4))
def test_stopped_between_any_two_moves_the_store_is_published_later(tmp_path, monkeypatch, survived):
    store = GrowingStore(tmp_path, SIZES, SIDE)
    fill(store, SIZES)
    moves = []
    move = Path.replace

    def replace(self, target):
        if len(moves) == survived:
            raise Killed
        moves.append(target)
        return move(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    if survived < 3:
        with pytest.raises(Killed):
            store.publish()
        assert finished_index(tmp_path, SIZES, SIDE) is None
        with pytest.raises(InputError, match="not complete"):
            images.open_images(tmp_path)
    else:
        store.publish()  # and killed before it is cleared up
    monkeypatch.undo()
    again = GrowingStore(tmp_path, SIZES, SIDE)
    assert again.done.keys() == SIZES.keys()
    again.publish()
    clear_up(tmp_path)
    check(tmp_path)
    assert not (tmp_path / images.STORE_WORKING).exists()


@pytest.mark.parametrize("lost", [1, 20, 40])
def test_a_line_that_the_power_cut_off_counts_as_never_written(tmp_path, lost):
    store = GrowingStore(tmp_path, SIZES, SIDE)
    fill(store, list(SIZES)[:3])
    journal = tmp_path / images.STORE_WORKING / "journal.csv"
    journal.write_bytes(journal.read_bytes()[:-lost] + bytes(lost % 3))
    again = GrowingStore(tmp_path, SIZES, SIDE)
    assert 1 <= len(again.done) < 3
    fill(again, SIZES.keys() - again.done.keys())
    assert GrowingStore(tmp_path, SIZES, SIDE).done.keys() == SIZES.keys()
    again.publish()
    check(tmp_path)


def test_rows_move_when_radiographs_come_and_go_while_it_grows(tmp_path):
    fewer = {name: SIZES[name] for name in ("b.png", "d.png")} | {"z.png": 1}
    store = GrowingStore(tmp_path, fewer, SIDE)
    with store.pixels.open("r+b") as file:
        for name in ("b.png", "d.png"):
            file.seek(store.offset + store.row_of(name) * SIDE**2)
            file.write(bytes([100 + SIZES[name]]) * SIDE**2)
            store.note([StoreEntry(store.row_of(name), name, SIZES[name], 9, 9, "L", "ok", "")])
    store.commit()
    more = GrowingStore(tmp_path, SIZES, SIDE)
    assert more.done.keys() == {"b.png", "d.png"}
    assert more.done["d.png"].row == 3
    fill(more, ["a.png", "c.png", "e.png"])
    more.publish()
    clear_up(tmp_path)
    check(tmp_path)


def test_a_row_whose_file_has_changed_is_not_trusted(tmp_path):
    fill(GrowingStore(tmp_path, SIZES, SIDE), SIZES)
    assert GrowingStore(tmp_path, SIZES | {"c.png": 77}, SIDE).done.keys() == SIZES.keys() - {"c.png"}


def test_an_unfinished_store_of_another_size_is_refused_and_kept(tmp_path):
    fill(GrowingStore(tmp_path, SIZES, SIDE), ["a.png"])
    with pytest.raises(InputError, match="--size 6"):
        GrowingStore(tmp_path, SIZES, SIDE + 1)
    assert GrowingStore(tmp_path, SIZES, SIDE).done.keys() == {"a.png"}


def test_no_room_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1 << 40, 1 << 40, 1000))
    with pytest.raises(InputError, match="make room"):
        GrowingStore(tmp_path, SIZES, SIDE)
    assert not list(tmp_path.iterdir())
