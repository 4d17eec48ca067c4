"""Radiographs as people have them: what is refused without being decoded, and what is warned of."""

import time
import warnings
from functools import partial

import numpy as np
import pytest
from PIL import Image

from cxr14.data.radiograph_files import TURNED, read_radiograph
from cxr14.errors import InputError
from tests.data.png_files import png_header
from tests.hostile.processes import peak_memory

MOST_GROWTH = 100
"""Megabytes that a process may need to refuse files."""


@pytest.mark.forks
def test_hostile_files_are_refused_without_decoding(tmp_path, tmp_path_factory):
    said = tmp_path_factory.mktemp("said") / "output"
    frames = [Image.new("L", (32, 32), value) for value in (0, 90, 200)]
    frames[0].save(tmp_path / "animated.png", save_all=True, append_images=frames[1:])
    Image.new("L", (32, 32)).save(tmp_path / "gif.png", "GIF")
    contents = {
        "bomb.png": png_header(30_000, 30_000),
        "wide.png": png_header(9_000, 9_000),
        "empty.png": b"",
        "text.png": b"a text, not a picture",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name, reason in {
        "bomb.png": "too many|exceeds limit",
        "wide.png": "too many",
        "empty.png": "cannot be decoded",
        "text.png": "cannot be decoded",
        "gif.png": "cannot be decoded",
        "animated.png": "several pictures",
    }.items():
        start = time.monotonic()
        with pytest.raises(InputError, match=reason):
            read_radiograph(tmp_path / name)
        assert time.monotonic() - start < 0.2, name
    assert peak_memory(partial(refuse_all, tmp_path), said) < MOST_GROWTH


def refuse_all(folder):
    """Read every file of a folder; each must be refused."""
    for path in folder.iterdir():
        with pytest.raises(InputError):
            read_radiograph(path)


def test_colour_and_empty_pictures_are_warned_of(tmp_path):
    gray = np.random.default_rng(0).integers(0, 256, (80, 60), dtype=np.uint8)
    as_rgb = np.stack([gray] * 3, axis=2)
    Image.fromarray(as_rgb).save(tmp_path / "gray.png")
    Image.fromarray(as_rgb).save(tmp_path / "gray.jpg")
    marked = as_rgb.copy()
    marked[:8, :8] = (255, 0, 0)
    Image.fromarray(marked).save(tmp_path / "marked.png")
    photograph = as_rgb // 2
    photograph[..., 0] += 100
    Image.fromarray(photograph).save(tmp_path / "photograph.jpg")
    Image.new("L", (50, 50), 7).save(tmp_path / "black.png")
    for name in ("gray.png", "gray.jpg", "marked.png"):
        assert read_radiograph(tmp_path / name).warnings == (), name
    assert "colour" in read_radiograph(tmp_path / "photograph.jpg").warnings[0]
    assert "one gray value" in read_radiograph(tmp_path / "black.png").warnings[0]


def test_pictures_stored_turned_are_read_as_stored_and_warned_of(tmp_path):
    pytest.importorskip("pydicom")
    from tests.deployment.page.radiograph_files import write_pictures

    write_pictures(tmp_path)
    with warnings.catch_warnings(record=True) as of_pillow:  # about damaged metadata
        warnings.simplefilter("always")
        said = {path.name for path in tmp_path.iterdir() if TURNED in read_radiograph(path).warnings}
    assert not of_pillow
    assert said == {
        *("turned.jpg", "turned.png", "big-endian.jpg", "big-endian.png"),
        *("turned-colour.jpg", "turned16.png", "late.png"),
    }
    turned, upright = (read_radiograph(tmp_path / name).gray for name in ("turned.jpg", "upright.jpg"))
    np.testing.assert_array_equal(turned, upright)
