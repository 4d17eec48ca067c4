"""The packed store while it is filled; stopped at any step of its publication, it is published later."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cxr14.data import images
from cxr14.data.prepare.store import StoreWriter, finished_index, remove_unfinished
from cxr14.data.store_files import STORE_WORKING, StoreEntry
from cxr14.errors import InputError

SIZES = {f"{name}.png": number for number, name in enumerate("abcde")}
SIDE = 6


def fill(store, names):
    with store.pixels.open("r+b") as file:
        for name in names:
            row = store.row_of(name)
            file.seek(store.offset + row * SIDE**2)
            file.write(bytes([100 + SIZES[name]]) * SIDE**2)
            store.record([StoreEntry(row, name, SIZES[name], 9, 9, "L", "ok", name)])
    store.commit()


def check(folder):
    assert finished_index(folder, SIZES, SIDE) is not None
    pixels = images.open_images(folder).read(list(SIZES), SIDE)
    np.testing.assert_array_equal(pixels[:, 0, 0], 100 + np.arange(5))


class Killed(BaseException):
    """What no handler of the code under test takes for its own."""


@pytest.mark.parametrize("survived", range(4))
def test_stopped_between_any_two_moves_the_store_is_published_later(tmp_path, monkeypatch, survived):
    store = StoreWriter(tmp_path, SIZES, SIDE)
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
    again = StoreWriter(tmp_path, SIZES, SIDE)
    assert again.done.keys() == SIZES.keys()
    again.publish()
    remove_unfinished(tmp_path)
    check(tmp_path)
    assert not (tmp_path / STORE_WORKING).exists()


@pytest.mark.parametrize("lost", [1, 20, 40])
def test_truncated_journal_line_is_ignored(tmp_path, lost):
    store = StoreWriter(tmp_path, SIZES, SIDE)
    fill(store, list(SIZES)[:3])
    journal = tmp_path / STORE_WORKING / "journal.csv"
    journal.write_bytes(journal.read_bytes()[:-lost] + bytes(lost % 3))
    again = StoreWriter(tmp_path, SIZES, SIDE)
    assert 1 <= len(again.done) < 3
    fill(again, SIZES.keys() - again.done.keys())
    assert StoreWriter(tmp_path, SIZES, SIDE).done.keys() == SIZES.keys()
    again.publish()
    check(tmp_path)


def test_rows_move_when_radiographs_come_and_go_while_it_grows(tmp_path):
    fewer = {name: SIZES[name] for name in ("b.png", "d.png")} | {"z.png": 1}
    store = StoreWriter(tmp_path, fewer, SIDE)
    with store.pixels.open("r+b") as file:
        for name in ("b.png", "d.png"):
            file.seek(store.offset + store.row_of(name) * SIDE**2)
            file.write(bytes([100 + SIZES[name]]) * SIDE**2)
            store.record([StoreEntry(store.row_of(name), name, SIZES[name], 9, 9, "L", "ok", "")])
    store.commit()
    more = StoreWriter(tmp_path, SIZES, SIDE)
    assert more.done.keys() == {"b.png", "d.png"}
    assert more.done["d.png"].row == 3
    fill(more, ["a.png", "c.png", "e.png"])
    more.publish()
    remove_unfinished(tmp_path)
    check(tmp_path)


def test_row_of_a_changed_file_is_decoded_again(tmp_path):
    fill(StoreWriter(tmp_path, SIZES, SIDE), SIZES)
    assert StoreWriter(tmp_path, SIZES | {"c.png": 77}, SIDE).done.keys() == SIZES.keys() - {"c.png"}


def test_unfinished_store_of_another_size_raises_input_error(tmp_path):
    fill(StoreWriter(tmp_path, SIZES, SIDE), ["a.png"])
    with pytest.raises(InputError, match="--size 6"):
        StoreWriter(tmp_path, SIZES, SIDE + 1)
    assert StoreWriter(tmp_path, SIZES, SIDE).done.keys() == {"a.png"}


def test_full_disk_raises_input_error_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1 << 40, 1 << 40, 1000))
    with pytest.raises(InputError, match="free some space"):
        StoreWriter(tmp_path, SIZES, SIDE)
    assert not list(tmp_path.iterdir())


def _cut_short(path):
    path.write_bytes(path.read_bytes()[:-20])


def _overwrite(path):
    path.write_bytes(b"\xff\x93garbage" * 40)


def _empty(path):
    path.write_bytes(b"")


def _repeat_a_row(index):
    lines = index.read_text().splitlines()
    index.write_text("\n".join([*lines[:-1], lines[-2]]) + "\n")


def _number_a_row_too_high(index):
    index.write_text(index.read_text().replace("\n4,", "\n9,"))


def _save(array):
    def save(path):
        with path.open("wb") as file:
            np.save(file, array)

    return save


@pytest.mark.parametrize(
    "name, damage",
    [
        ("store.npy", Path.unlink),
        ("store.npy", _cut_short),
        ("store.npy", _overwrite),
        ("store.npy", _empty),
        ("store.npy", _save(np.zeros((5, SIDE), np.uint8))),
        ("store.npy", _save(np.zeros((5, SIDE, SIDE + 1), np.uint8))),
        ("store.npy", _save(np.zeros((5, SIDE, SIDE), np.float32))),
        ("store.npy", _save(np.zeros((5, SIDE, SIDE), np.uint8, order="F"))),
        ("store.npy", _save(np.zeros((4, SIDE, SIDE), np.uint8))),
        ("store.csv", _cut_short),
        ("store.csv", _overwrite),
        ("store.csv", _empty),
        ("store.csv", _repeat_a_row),
        ("store.csv", _number_a_row_too_high),
    ],
)
def test_damaged_store_raises_input_error_that_names_the_files(tmp_path, name, damage):
    store = StoreWriter(tmp_path, SIZES, SIDE)
    fill(store, SIZES)
    store.publish()
    remove_unfinished(tmp_path)
    damage(tmp_path / name)
    for use in (
        lambda: images.open_images(tmp_path),
        lambda: finished_index(tmp_path, SIZES, SIDE),
        lambda: StoreWriter(tmp_path, SIZES | {"f.png": 1}, SIDE),
    ):
        with pytest.raises(InputError, match=r"delete store\.npy and store\.csv in "):
            use()
    for file in ("store.npy", "store.csv"):
        (tmp_path / file).unlink(missing_ok=True)
    remove_unfinished(tmp_path)
    fill(StoreWriter(tmp_path, SIZES, SIDE), SIZES)


@pytest.mark.parametrize(
    "name, damage",
    [
        ("store.npy", _cut_short),
        ("store.npy", _overwrite),
        ("journal.csv", _overwrite),
        ("journal.csv", _empty),
        ("journal.csv", _number_a_row_too_high),
    ],
)
def test_damaged_unfinished_store_raises_input_error_that_names_the_folder(tmp_path, name, damage):
    fill(StoreWriter(tmp_path, SIZES, SIDE), SIZES)
    damage(tmp_path / STORE_WORKING / name)
    with pytest.raises(InputError, match=rf"delete the folder .*{STORE_WORKING}"):
        StoreWriter(tmp_path, SIZES, SIDE)


def test_unfinished_store_without_its_pixels_is_started_again(tmp_path):
    fill(StoreWriter(tmp_path, SIZES, SIDE), ["a.png"])
    (tmp_path / STORE_WORKING / "store.npy").unlink()
    store = StoreWriter(tmp_path, SIZES, SIDE)
    assert not store.done
    fill(store, SIZES)
    store.publish()
    check(tmp_path)


def test_files_of_others_are_neither_removed_nor_replaced(tmp_path):
    others = ("README.txt", "packing/slip.txt", "packing-slips/1.txt", f"{STORE_WORKING}-1/mine.txt")
    for name in others:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    store = StoreWriter(tmp_path, SIZES, SIDE)
    fill(store, SIZES)
    (tmp_path / STORE_WORKING / "notes.txt").write_text("mine")
    store.publish()
    remove_unfinished(tmp_path)
    check(tmp_path)
    assert {(tmp_path / name).read_text() for name in (*others, f"{STORE_WORKING}/notes.txt")} == {"mine"}


def test_array_of_others_is_not_replaced(tmp_path):
    _save(np.arange(3))(tmp_path / "store.npy")
    with pytest.raises(InputError, match="would be replaced"):
        StoreWriter(tmp_path, SIZES, SIDE)
    np.testing.assert_array_equal(np.load(tmp_path / "store.npy"), np.arange(3))
