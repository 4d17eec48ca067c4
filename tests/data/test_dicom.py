"""DICOM: one picture in many encodings, the order of transformations, and files that are refused."""

import io
import struct
import time
import warnings

import numpy as np
import pytest
from PIL import Image

from cxr14.data.dicom import is_dicom, read_dicom
from cxr14.errors import InputError

pydicom = pytest.importorskip("pydicom")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.uid import (  # noqa: E402
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

NAME = "Secret^Patient"


def picture(bits=8, shape=(48, 40)):
    """Return (H, W) values of so many bits, from 0 to the largest."""
    values = np.random.default_rng(0).integers(0, 2**bits, shape)
    values[0, 0], values[0, 1] = 0, 2**bits - 1
    return values.astype(np.uint16 if bits > 8 else np.uint8)


def dataset(values, bits, syntax=ExplicitVRLittleEndian, signed=False, **tags):
    """Return a data set of a radiograph with its pixels uncompressed."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3"
    made = Dataset()
    made.file_meta = meta
    made.PatientName, made.PatientID, made.Modality = NAME, "4711", "DX"
    made.Rows, made.Columns = values.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = 16 if bits > 8 else 8
    made.BitsStored, made.HighBit, made.PixelRepresentation = bits, bits - 1, int(signed)
    made.PixelData = np.ascontiguousarray(values).tobytes()
    for name, value in tags.items():
        setattr(made, name, value)
    return made


def saved(made, folder, name="a.dcm"):
    path = folder / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.save_as(path, enforce_file_format=True)
    return path


def with_frame(made, frame, syntax):
    """Replace the pixels by one compressed frame."""
    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = encapsulate([frame])
    made["PixelData"].VR = "OB"
    return made


def compressed(values, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_uncompressed_8_bit_picture_is_exact(syntax, tmp_path):
    path = saved(dataset(picture(), 8, syntax), tmp_path)
    np.testing.assert_array_equal(read_dicom(path)[0], picture())


def test_rle_picture_is_exact(tmp_path):
    made = dataset(picture(), 8)
    made.compress(RLELossless)
    np.testing.assert_array_equal(read_dicom(saved(made, tmp_path))[0], picture())


def test_lossless_jpeg_2000_picture_is_exact(tmp_path):
    frame = compressed(picture(), "JPEG2000", irreversible=False, no_jp2=True)
    made = with_frame(dataset(picture(), 8), frame, JPEG2000Lossless)
    np.testing.assert_array_equal(read_dicom(saved(made, tmp_path))[0], picture())


def test_jpeg_picture_is_within_one_gray_of_pillows(tmp_path):
    smooth = np.asarray(Image.fromarray(picture(shape=(6, 5))).resize((40, 48), Image.Resampling.BICUBIC))
    frame = compressed(smooth, "JPEG", quality=95)
    made = with_frame(dataset(smooth, 8), frame, JPEGBaseline8Bit)
    reference = np.asarray(Image.open(io.BytesIO(frame))).astype(int)
    assert np.abs(read_dicom(saved(made, tmp_path))[0] - reference).max() <= 1


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


def truncated(folder):
    path = saved(dataset(picture(), 8), folder)
    path.write_bytes(path.read_bytes()[:-500])
    return path


def garbage(folder):
    path = folder / "a.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + np.random.default_rng(1).bytes(3000))
    return path


def deflated(folder):
    return saved(dataset(picture(), 8, DeflatedExplicitVRLittleEndian), folder)


def several_frames(folder):
    made = dataset(picture(), 8, NumberOfFrames="3")
    made.PixelData = picture().tobytes() * 3
    return saved(made, folder)


def colour(folder):
    made = dataset(picture(), 8, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    made.PixelData = picture().tobytes() * 3
    return saved(made, folder)


def without_pixels(folder):
    made = dataset(picture(), 8)
    del made.PixelData
    return saved(made, folder)


def too_many_pixels(folder):
    return saved(dataset(picture(), 8, Rows=30_000, Columns=30_000), folder)


def larger_jpeg_2000(folder):
    frame = bytearray(compressed(picture(), "JPEG2000", no_jp2=True))
    start = frame.find(b"\xff\x4f\xff\x51")
    struct.pack_into(">2I", frame, start + 8, 20_000, 20_000)
    struct.pack_into(">2I", frame, start + 24, 20_000, 20_000)
    return saved(with_frame(dataset(picture(), 8), bytes(frame), JPEG2000Lossless), folder)


def larger_jpeg(folder):
    frame = compressed(np.zeros((400, 400), np.uint8), "JPEG")
    return saved(with_frame(dataset(picture(), 8), frame, JPEGBaseline8Bit), folder)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (truncated, "cannot be decoded"),
        (garbage, "damaged DICOM file|no picture"),
        (deflated, "deflated"),
        (several_frames, "3 pictures"),
        (colour, "colour"),
        (without_pixels, "no picture"),
        (too_many_pixels, "too many"),
        (larger_jpeg_2000, "another size"),
        (larger_jpeg, "another size"),
    ],
)
def test_unusable_file_raises_input_error_without_patient_data(make, message, tmp_path, recwarn):
    path = make(tmp_path)
    assert is_dicom(path)
    began = time.monotonic()
    with pytest.raises(InputError, match=message) as raised:
        read_dicom(path)
    assert time.monotonic() - began < 2
    texts = [str(raised.value), *(str(one.message) for one in recwarn)]
    assert not any("Secret" in text or "4711" in text for text in texts)


def test_other_files_are_no_dicom(tmp_path):
    (tmp_path / "short").write_bytes(b"DICM")
    assert not is_dicom(tmp_path / "short")
    assert not is_dicom(tmp_path / "missing")
    assert not is_dicom(tmp_path)
