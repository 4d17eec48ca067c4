"""One decoder for every pixel format, and two places to read radiographs from that agree."""

import os
import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cxr14.data import images
from cxr14.data.images import FolderImages, PackedImages, open_images
from cxr14.data.prepare.store import StoreWriter
from cxr14.data.store_files import STORE_INDEX, StoreEntry
from cxr14.errors import InputError
from tests.nih_folder import png, write_images

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def _png_by_hand(values, bits, colour):
    """A PNG written from its specification, so that Pillow is not tested against itself."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


@pytest.mark.parametrize("colour, channels", [(0, 1), (4, 2), (2, 3), (6, 4)])
def test_gray_survives_every_layout_of_channels(colour, channels):
    values = np.repeat(RAMP[..., None], channels, axis=-1)
    if channels in (2, 4):
        values = values.copy()
        values[..., -1] = 128  # transparency changes nothing
    gray = images.decode(_png_by_hand(values.squeeze(), 8, colour))
    assert gray.dtype == np.uint8
    np.testing.assert_array_equal(gray, RAMP)


def test_palette_image_is_decoded_by_its_colours(tmp_path):
    image = Image.fromarray(255 - RAMP)
    image.putpalette([value for i in range(256) for value in (255 - i,) * 3])
    image.save(tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").mode == "P"
    np.testing.assert_array_equal(images.decode(tmp_path / "p.png"), RAMP)


def test_one_bit_is_black_and_white(tmp_path):
    Image.fromarray(RAMP > 99).save(tmp_path / "1.png")
    assert Image.open(tmp_path / "1.png").mode == "1"
    np.testing.assert_array_equal(images.decode(tmp_path / "1.png"), np.where(RAMP > 99, 255, 0))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_deep_gray_keeps_the_contrast_of_the_bits_in_use(bits):
    top = 2**bits - 1
    deep = np.linspace(0, top, 400).round().astype(np.uint16).reshape(20, 20)
    gray = images.decode(_png_by_hand(deep, 16, 0))
    assert (gray.min(), gray.max()) == (0, 255)
    np.testing.assert_allclose(gray, deep / top * 255, atol=1)


def test_colour_becomes_luma():
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_allclose(images.decode(_png_by_hand(primaries, 8, 2))[0], [76, 150, 29], atol=1)


def test_a_damaged_file_is_named(tmp_path):
    whole = png(0)
    for name, content in {
        "cut.png": whole[: len(whole) // 2],
        "none.png": b"",
        "text.png": b"no image",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            images.decode(tmp_path / name)
    with pytest.raises(InputError, match="there is no radiograph"):
        images.decode(tmp_path / "missing.png")
    with pytest.raises(InputError, match="bytes given"):
        images.decode(whole[:-40])


def test_real_originals_of_both_formats_decode_alike(nih_mini):
    formats = {Image.open(path).mode for path in (nih_mini / "originals").iterdir()}
    assert formats == {"L", "RGBA"}
    for path in (nih_mini / "originals").iterdir():
        gray = images.decode(path)
        assert gray.shape == (1024, 1024)
        # images/ holds the same radiographs reduced by another filter.
        reduced = images.decode(nih_mini / "images" / path.name)
        difference = np.abs(images.resize(gray, 256).astype(int) - reduced)
        assert difference.mean() < 2.5


def test_resizing_is_antialiased_and_keeps_what_fits():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    inner = images.resize(stripes, 16)[:, 1:-1].astype(int)  # at the edge the triangle is cut
    assert np.abs(inner - 127).max() <= 2
    assert images.resize(stripes, 64) is stripes
    assert images.resize(np.full((30, 50), 7, np.uint8), 20).shape == (20, 20)


@pytest.fixture
def both(tmp_path):
    """The same radiographs as plain files and as a packed store, with one row of it unusable."""
    names = ["a.png", "b.png", "c.png"]
    write_images(tmp_path / "files", names)
    packed = tmp_path / "packed"
    packed.mkdir()
    store = StoreWriter(packed, dict.fromkeys([*names, "d.png"], 1), 40)
    with store.pixels.open("r+b") as file:
        file.seek(store.offset)
        for name in names:
            file.write(images.decode(tmp_path / "files" / name).tobytes())
    states = ["ok", "ok", "ok", "unreadable"]
    store.record(
        StoreEntry(row, name, 1, 40, 40, "L", state, "")
        for row, (name, state) in enumerate(zip(store.sizes, states, strict=True))
    )
    store.commit()
    store.publish()
    return open_images(tmp_path / "files"), open_images(packed)


def test_folder_and_store_give_the_same_pixels(both):
    files, packed = both
    assert isinstance(files, FolderImages) and isinstance(packed, PackedImages)
    assert set(files.names) == set(packed.names) == {"a.png", "b.png", "c.png"}
    for side in (40, 23, 64):
        batch = packed.read(["c.png", "a.png", "c.png"], side)
        assert batch.shape == (3, side, side) and batch.dtype == np.uint8
        np.testing.assert_array_equal(batch, files.read(["c.png", "a.png", "c.png"], side))


def test_store_is_pickled_as_a_path(both):
    packed = both[1]
    message = pickle.dumps(packed)
    assert len(message) < 500
    np.testing.assert_array_equal(pickle.loads(message).read(["b.png"], 40), packed.read(["b.png"], 40))


def test_an_empty_folder_says_how_to_get_radiographs(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"download\.py.*make-phantoms\.py"):
            open_images(folder)


def test_damaged_store_raises_input_error(both):
    folder = both[1].folder
    index = (folder / STORE_INDEX).read_text()

    def refused(text, words):
        (folder / STORE_INDEX).write_text(text)
        with pytest.raises(InputError, match=words):
            open_images(folder)

    refused(index.replace("layout 2", "layout 0"), "another layout.*layout 0")
    refused("", "another layout")
    refused(index + "4,e.png,1\n", "damaged")
    refused(index.rsplit("\n", 2)[0] + "\n", "not those that store.csv lists")
    (folder / STORE_INDEX).unlink()
    with pytest.raises(InputError, match=r"not complete.*prepare\.py again"):
        open_images(folder)


def test_bytes_and_file_decode_alike(tmp_path):
    content = png(3, mode="RGBA")
    (tmp_path / "x.png").write_bytes(content)
    np.testing.assert_array_equal(images.decode(tmp_path / "x.png"), images.decode(content))
    assert images.decode_picture(content).mode == "RGBA"


def test_named_pipes_and_folders_are_no_radiographs(tmp_path):
    write_images(tmp_path, ["a.png"])
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").mkdir()
    assert set(open_images(tmp_path).names) == {"a.png"}
