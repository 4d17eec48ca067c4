"""DICOM: one picture in many encodings, the order of transformations, and odd values of other tags."""

import importlib.util
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr14.data.dicom import is_dicom, read_dicom
from cxr14.errors import InputError

pytest.importorskip("pydicom")

from pydicom.dataset import Dataset
from pydicom.uid import JPEGLosslessSV1

from tests.data.dicom_files import (
    ENCODINGS,
    LOSSY,
    NEED_GDCM,
    NOT_FOR_DCMTK,
    by_gdcm,
    dataset,
    dcmtk_command,
    jpeg_of_12_bits,
    picture,
    saved,
    smooth_picture,
)

HAS_GDCM = importlib.util.find_spec("gdcm") is not None
NEEDS_GDCM = pytest.mark.skipif(not HAS_GDCM, reason="python-gdcm is not installed: pip install -e .[dicom]")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=NEEDS_GDCM if name in NEED_GDCM else ()) for name in ENCODINGS]
)
def test_every_encoding_of_a_picture_gives_its_grays(name, tmp_path):
    gray = smooth_picture()
    path = saved(ENCODINGS[name](gray, tmp_path), tmp_path)
    found, warned = read_dicom(path)
    assert warned == ()
    assert np.abs(found.astype(int) - gray).max() <= (1 if name in LOSSY else 0)
    np.testing.assert_array_equal(read_dicom(path.read_bytes())[0], found)


@pytest.mark.skipif(not shutil.which("dcmj2pnm"), reason="dcmtk is not installed: apt-get install dcmtk")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=NEEDS_GDCM if name in NEED_GDCM else ())
        for name in ENCODINGS
        if name not in NOT_FOR_DCMTK
    ],
)
def test_grays_are_those_of_dcmtk(name, tmp_path):
    made = ENCODINGS[name](smooth_picture(), tmp_path)
    path = saved(made, tmp_path)
    subprocess.run(dcmtk_command(name, path, tmp_path / "o.pgm"), check=True, capture_output=True)
    theirs = np.asarray(Image.open(tmp_path / "o.pgm")).astype(int)
    assert np.abs(theirs - read_dicom(path)[0]).max() <= 1


@pytest.mark.skipif(
    not importlib.util.find_spec("data_store"), reason="pydicom-data (34 MB) is not installed"
)
def test_a_real_chest_radiograph_is_the_same_compressed_and_not():
    import data_store  # the module that pydicom-data installs

    folder = Path(data_store.__file__).parent / "data"
    first, second = (read_dicom(folder / f"RG1_{kind}.dcm")[0] for kind in ("UNCR", "J2KR"))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (1955, 1841)
    assert first[:50, :50].mean() < 100 < first[900:1000, 850:950].mean()  # air is dark, the spine bright


@NEEDS_GDCM
def test_compression_without_its_decoder_names_the_extra(tmp_path):
    path = saved(by_gdcm(dataset(picture(), 8), JPEGLosslessSV1, tmp_path), tmp_path)
    code = (
        "import sys, pathlib; sys.modules['gdcm'] = None\n"
        "from cxr14.data.dicom import read_dicom\n"
        "try: read_dicom(pathlib.Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("InputError") and "pip install -e .[dicom]" in done.stdout
    assert done.stderr == ""


def test_jpeg_of_12_bits_names_a_tool(tmp_path):
    with pytest.raises(InputError, match="dcmdjpeg"):
        read_dicom(saved(jpeg_of_12_bits(), tmp_path))


def test_dicom_without_pydicom_names_the_extra(tmp_path, monkeypatch):
    path = saved(dataset(picture(), 8), tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pydicom"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(InputError, match=r"pip install -e .\[dicom\]"):
        read_dicom(path)


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO 2022 IR 149", b"Hong^Gildong=\x1b$)C\xfb\xf3^\xd1\xce\xd4\xd7"),
        ("ISO_IR 192", b"Secret^\xff\xfe\xe5\x8f"),  # no valid UTF-8
        ("NO_SUCH_SET", b"Secret^Patient\\\x1b$B;"),
        ("GB18030", b"\xcd\xf5^\xd0\xa1\xb6\xab"),
        ("", b"Secret^\xc4rzte" * 40),
    ],
)
def test_names_in_odd_encodings_are_neither_read_nor_repeated(character_set, name, tmp_path, capfd):
    made = dataset(
        picture(), 8, SpecificCharacterSet="ISO_IR 100", PatientName="N" * (len(name) + len(name) % 2)
    )
    path = saved(made, tmp_path)
    content = path.read_bytes()
    padded = name.ljust(len(name) + len(name) % 2)
    content = content.replace(b"N" * len(padded), padded)
    # The element ends with its value, so another length is written into it.
    start = content.index(b"CS", content.index(b"\x08\x00\x05\x00")) + 2
    value = character_set.encode().ljust(len(character_set) + len(character_set) % 2)
    content = content[:start] + len(value).to_bytes(2, "little") + value + content[start + 2 + 10 :]
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found, said = read_dicom(path)
    np.testing.assert_array_equal(found, picture())
    assert not warned and not said
    assert "".join(capfd.readouterr()) == ""


def test_monochrome1_is_inverted_once(tmp_path):
    tags = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    path = saved(dataset(255 - picture(), 8, **tags), tmp_path)
    np.testing.assert_array_equal(read_dicom(path)[0], picture())


@pytest.mark.parametrize("bits", [10, 12, 15, 16])
def test_deep_picture_without_window_is_scaled_to_its_own_range(bits, tmp_path):
    values = picture(bits)
    expected = np.floor(values / (2**bits - 1) * 255 + 0.5)
    np.testing.assert_array_equal(read_dicom(saved(dataset(values, bits), tmp_path))[0], expected)


def test_window_clips_and_is_not_stretched_again(tmp_path):
    values = picture(12)
    made = dataset(values, 12, WindowCenter="1000", WindowWidth="801")
    # PS3.3, C.11.2.1.2.1: linear from c - 0.5 - (w - 1) / 2 to c - 0.5 + (w - 1) / 2.
    expected = np.clip((values - 999.5) / 800 + 0.5, 0, 1) * 255
    assert np.abs(read_dicom(saved(made, tmp_path))[0] - expected).max() <= 0.51


def test_window_applies_after_slope_and_intercept(tmp_path):
    values = picture(12)
    tags = {"RescaleSlope": "2", "RescaleIntercept": "-1024", "WindowCenter": "976", "WindowWidth": "1601"}
    made = dataset(values, 12, **tags)
    expected = np.clip((2.0 * values - 1024 - 975.5) / 1600 + 0.5, 0, 1) * 255
    assert np.abs(read_dicom(saved(made, tmp_path))[0] - expected).max() <= 0.51


def test_first_of_two_windows_is_used(tmp_path):
    values = picture(12)
    one = saved(dataset(values, 12, WindowCenter="1000", WindowWidth="801"), tmp_path, "one.dcm")
    tags = {"WindowCenter": ["1000", "3000"], "WindowWidth": ["801", "200"]}
    two = saved(dataset(values, 12, **tags), tmp_path, "two.dcm")
    np.testing.assert_array_equal(read_dicom(one)[0], read_dicom(two)[0])


def test_signed_picture_keeps_its_order(tmp_path):
    values = (picture(12).astype(np.int16) - 2048).astype(np.int16)
    gray = read_dicom(saved(dataset(values, 12, signed=True), tmp_path))[0]
    expected = np.floor((values + 2048.0) / 4095 * 255 + 0.5)
    np.testing.assert_array_equal(gray, expected)


def test_voi_table_is_applied(tmp_path):
    made = dataset(picture(), 8)
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 8], list(range(255, -1, -1))
    made.VOILUTSequence = [table]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "US"
    np.testing.assert_array_equal(read_dicom(saved(made, tmp_path))[0], 255 - picture())


def test_lateral_view_is_warned_of(tmp_path):
    assert "lateral" in read_dicom(saved(dataset(picture(), 8, ViewPosition="LL"), tmp_path))[1][0]
    assert read_dicom(saved(dataset(picture(), 8, ViewPosition="PA"), tmp_path))[1] == ()


def test_other_files_are_no_dicom(tmp_path):
    (tmp_path / "short").write_bytes(b"DICM")
    assert not is_dicom(tmp_path / "short")
    assert not is_dicom(tmp_path / "missing")
    assert not is_dicom(tmp_path)
