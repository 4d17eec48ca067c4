"""DICOM files that are damaged or built to harm: refused with one sentence, at once and in little memory."""

import subprocess
import sys

import pytest

from cxr14.data import dicom_frames
from cxr14.data.dicom import is_dicom, read_dicom
from cxr14.errors import InputError

pytest.importorskip("pydicom")

import struct

from tests.data.dicom_files import ID, NAME, compressed, dataset, picture, saved
from tests.data.hostile_dicom import HOSTILE, REFUSE_ALL


@pytest.mark.parametrize(("make", "message"), HOSTILE, ids=[make.__name__ for make, _ in HOSTILE])
def test_unusable_file_raises_input_error_without_patient_data(make, message, tmp_path, recwarn, capfd):
    path = make(tmp_path)
    assert is_dicom(path)
    recwarn.clear()
    with pytest.raises(InputError, match=message) as raised:
        read_dicom(path)
    texts = [str(raised.value), *(str(one.message) for one in recwarn), *capfd.readouterr()]
    assert not any("Secret" in text or NAME in text or ID in text for text in texts)
    assert "\n" not in str(raised.value) and str(path) not in str(raised.value)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of the memory is read from Linux's /proc")
def test_hostile_files_cost_little_time_and_memory(tmp_path):
    paths = [saved(dataset(picture(), 8), tmp_path)]
    for make, _ in HOSTILE:
        (tmp_path / make.__name__).mkdir()
        paths.append(make(tmp_path / make.__name__))
    done = subprocess.run([sys.executable, "-c", REFUSE_ALL, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, *_ in lines] == [make.__name__ for make, _ in HOSTILE]
    assert sum(int(kilobytes) for _, kilobytes, _ in lines) < 100_000  # by which the peak grew in all
    for name, _, seconds in lines:
        assert float(seconds) < 0.2, name


def test_claimed_sizes():
    values = picture(shape=(31, 57))
    for kind, options in (("JPEG", {}), ("JPEG2000", {"no_jp2": True}), ("JPEG2000", {})):
        frame = compressed(values, kind, **options)
        assert dicom_frames.claimed_size(frame) == (31, 57)
        for end in range(40):
            assert dicom_frames.claimed_size(frame[:end]) in (None, (31, 57))
    assert dicom_frames.claimed_size(b"") is None


def test_rle_frames_that_fit():
    header = struct.pack("<16I", 1, 64, *[0] * 14)
    assert dicom_frames.rle_fits(header + b"\xf7\x05", 10)  # ten times 5
    assert dicom_frames.rle_fits(header + b"\x01ab\xf9\x05", 10)
    assert not dicom_frames.rle_fits(header + b"\xf5\x05", 10)
    assert not dicom_frames.rle_fits(header[:30], 10)
    assert not dicom_frames.rle_fits(struct.pack("<16I", 1, 10, *[0] * 14), 10)
