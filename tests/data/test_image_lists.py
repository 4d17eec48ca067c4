"""Image lists: what they hold, and what is refused."""

import codecs
import hashlib

import numpy as np
import pytest

from cxr14.data import image_lists
from cxr14.data.image_lists import ImageList
from cxr14.errors import InputError

ZEROS = "0 " * 13 + "0"


@pytest.fixture
def write(tmp_path):
    def write(text, name="list.txt"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_list_is_equal_after_writing_and_reading(tmp_path):
    labels = np.random.default_rng(0).integers(0, 2, (50, 14))
    names = [f"{i:08d}_000.png" for i in range(50)]
    image_lists.write_list(tmp_path / "deep" / "list.txt", names, labels)
    image_list = image_lists.read_list(tmp_path / "deep" / "list.txt")
    assert image_list.names == names
    assert image_list.labels.dtype == np.uint8
    np.testing.assert_array_equal(image_list.labels, labels)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["list.txt"]


def test_the_fingerprint_is_that_of_the_file_and_sees_one_changed_label(tmp_path):
    labels = np.zeros((3, 14), np.uint8)
    names = ["a.png", "b.png", "c.png"]
    image_lists.write_list(tmp_path / "list.txt", names, labels)
    image_list = image_lists.read_list(tmp_path / "list.txt")
    assert image_list.fingerprint == hashlib.sha256((tmp_path / "list.txt").read_bytes()).hexdigest()
    labels[2, 13] = 1
    assert ImageList(tmp_path, names, labels).fingerprint != image_list.fingerprint
    assert ImageList(tmp_path, names[::-1], image_list.labels).fingerprint != image_list.fingerprint


def test_fingerprint_ignores_white_space(write):
    tight = image_lists.read_list(write(f"a.png {ZEROS}\n", "tight.txt"))
    loose = image_lists.read_list(write(f"a.png\t{ZEROS.replace(' ', '  ')}\r\n\n", "loose.txt"))
    assert tight.fingerprint == loose.fingerprint


@pytest.mark.parametrize(
    "name, patient",
    [
        ("00000061_012.png", "00000061"),
        ("synthetic_00000003_001.png", "synthetic_00000003"),
        ("chestmnist_train_000017.png", "chestmnist_train_000017.png"),
        ("00000061_012_flip.png", "00000061"),
        ("rotated-00000061_012.jpg", "00000061"),
        ("00000061_012.png.png", "00000061"),
        ("0061_012.png", "0061_012.png"),
        ("100000061_012.png", "100000061_012.png"),
        ("film.png", "film.png"),
    ],
)
def test_patient_is_read_from_the_name(name, patient):
    assert image_lists.patient_of(name) == patient


@pytest.mark.parametrize(
    "text, words",
    [
        (f"a.png {ZEROS}\nb.png {ZEROS[2:]}\n", ["line 2", "13 labels"]),
        (f"a.png {ZEROS}\nb.png {ZEROS} 0\n", ["line 2", "15 labels"]),
        ("00000061_012.png\n", ["line 1", "prepare.py"]),
        (f"a.png {ZEROS[:-1]}2\n", ["line 1", "'2'"]),
        (f"a.png {ZEROS[:-1]}-1\n", ["line 1", "'-1'"]),
        ("\n\n", ["empty", "prepare.py"]),
    ],
)
def test_wrong_list_raises_input_error(write, text, words):
    path = write(text)
    with pytest.raises(InputError) as error:
        image_lists.read_list(path)
    assert all(word in str(error.value) for word in [str(path), *words])


def test_missing_list_raises_input_error_with_a_hint(tmp_path):
    with pytest.raises(InputError, match=r"prepare\.py.*make-phantoms\.py"):
        image_lists.read_list(tmp_path / "train_list.txt")


def test_image_in_place_of_a_list_raises_input_error(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read: it is not text"):
        image_lists.read_list(tmp_path / "list.txt")


def _list(path, names):
    return ImageList(path, names, np.zeros((len(names), 14), np.uint8))


def test_patient_in_two_lists_raises_input_error(tmp_path):
    train = _list(tmp_path / "train.txt", ["00000001_000.png", "00000002_000.png"])
    test = _list(tmp_path / "test.txt", ["00000002_005.png", "00000003_000.png"])
    with pytest.raises(InputError, match=r"00000002.*split by patient"):
        image_lists.require_disjoint(train, test)
    image_lists.require_disjoint(train, _list(tmp_path / "other.txt", ["00000004_000.png"]))


def test_a_repeated_name_is_counted_on_stderr(tmp_path, capsys):
    twice = _list(tmp_path / "train.txt", ["00000001_000.png"] * 3 + ["00000002_000.png"])
    image_lists.require_disjoint(twice, _list(tmp_path / "test.txt", ["00000003_000.png"]))
    assert "train.txt repeats a name in 2 of its lines" in capsys.readouterr().err


def test_names_without_patients_are_said_to_be_unchecked(tmp_path, capsys):
    a = _list(tmp_path / "a.txt", ["chestmnist_train_000000.png"])
    image_lists.require_disjoint(a, _list(tmp_path / "b.txt", ["chestmnist_test_000000.png"]))
    assert "cannot be checked" in capsys.readouterr().err


def test_missing_radiographs_are_counted_and_three_are_named(tmp_path):
    image_list = _list(tmp_path / "list.txt", [f"{i}.png" for i in range(9)])
    with pytest.raises(InputError, match=r"^5 of the 9 .*4\.png, 5\.png, 6\.png:"):
        image_lists.require_images(image_list, {f"{i}.png" for i in range(4)})
    image_lists.require_images(image_list, set(image_list.names))


ROWS = "00000001_000.png " + ZEROS + "\n00000002_000.png " + ZEROS[:-1] + "1\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom"])
def test_byte_order_mark_is_not_part_of_the_first_name(encoding, tmp_path):
    path = tmp_path / "list.txt"
    bom = codecs.BOM_UTF16_LE if encoding == "utf-16-le-bom" else b""
    path.write_bytes(bom + ROWS.encode(encoding.removesuffix("-bom")))
    image_list = image_lists.read_list(path)
    assert image_list.names == ["00000001_000.png", "00000002_000.png"]
    assert image_list.labels.sum() == 1


@pytest.mark.parametrize(
    "content",
    [
        ("Größe_000.png " + ZEROS).encode("latin-1"),
        ROWS.encode("utf-16-le"),  # without a byte order mark
        b"\x00\x01\x02" * 100,
        b"\x80\x04\x95",
    ],
    ids=["latin-1", "utf-16 without mark", "zeros", "pickle"],
)
def test_other_encodings_and_binary_files_raise_input_error(content, tmp_path):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(InputError, match="save it as UTF-8"):
        image_lists.read_list(tmp_path / "list.txt")


def test_folder_in_place_of_a_list_raises_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        image_lists.read_list(tmp_path)


def test_same_name_with_other_labels_raises_input_error(tmp_path):
    labels = np.zeros((3, 14), np.uint8)
    labels[2, 4] = 1
    names = ["00000001_000.png", "00000002_000.png", "00000001_000.png"]
    train = ImageList(tmp_path / "train.txt", names, labels)
    with pytest.raises(InputError, match=r"1 radiographs again with other labels, such as 00000001_000\.png"):
        image_lists.require_disjoint(train, _list(tmp_path / "test.txt", ["00000003_000.png"]))


def test_list_without_both_classes_raises_input_error(tmp_path):
    val = _list(tmp_path / "val.txt", [f"0000000{row}_000.png" for row in range(5)])
    with pytest.raises(InputError, match="no AUROC can be computed"):
        image_lists.require_both_classes(val)
    val.labels[:, 2] = 1
    with pytest.raises(InputError, match="no AUROC can be computed"):
        image_lists.require_both_classes(val)
    val.labels[0, 2] = 0
    image_lists.require_both_classes(val)
