"""DICOM files that are damaged or built to harm, each with a word of the sentence that refuses it."""

import struct

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from tests.data.dicom_files import compressed, dataset, picture, saved, with_frame


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


def decoy_before_a_larger_jpeg_2000(folder):
    small, large = (
        compressed(picture(shape=shape), "JPEG2000", no_jp2=True) for shape in [(48, 40), (400, 400)]
    )
    boxes = [(b"jP  ", b"\r\n\x87\n"), (b"uuid", b"0123456789abcdef" + small[:100]), (b"jp2c", large)]
    frame = b"".join(struct.pack(">I4s", 8 + len(content), kind) + content for kind, content in boxes)
    return saved(with_frame(dataset(picture(), 8), frame, JPEG2000Lossless), folder)


def larger_jpeg_after_fill_bytes(folder):
    frame = compressed(np.zeros((400, 400), np.uint8), "JPEG")
    frame = frame.replace(b"\xff\xc0", b"\xff\xff\xff\xc0", 1)
    return saved(with_frame(dataset(picture(), 8), frame, JPEGBaseline8Bit), folder)


def neither_jpeg_nor_jpeg_2000(folder):
    return saved(with_frame(dataset(picture(), 8), b"GIF89a" + bytes(500), JPEG2000Lossless), folder)


def vast_jpeg_2000_of_few_bytes(folder):
    return _jpeg_2000_of(folder, 7_900, 7_900)


def _jpeg_2000_of(folder, rows, columns):
    frame = bytearray(compressed(picture(), "JPEG2000", no_jp2=True))
    for at in (8, 24):  # picture and tile
        struct.pack_into(">2I", frame, at, columns, rows)
    made = with_frame(dataset(picture(), 8, Rows=rows, Columns=columns), bytes(frame), JPEG2000Lossless)
    return saved(made, folder)


def unfolding_rle(folder):
    runs = b"\x81\x00" * 1_000_000  # 128 bytes each
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + runs
    return saved(with_frame(dataset(picture(), 8), frame, RLELossless), folder)


def inflating(folder):
    made = dataset(np.zeros((7_900, 7_900), np.uint8), 8, DeflatedExplicitVRLittleEndian)
    return saved(made, folder)


def thousands_of_frames(folder):
    return saved(dataset(picture(), 8, NumberOfFrames="5000"), folder)


def negative_size(folder):
    path = saved(dataset(picture(), 8), folder)
    path.write_bytes(path.read_bytes().replace(b"US\x02\x00\x30\x00", b"US\x02\x00\x00\x00", 1))
    return path


def window_of_no_width(folder):
    return saved(dataset(picture(12), 12, WindowCenter="5", WindowWidth="0"), folder)


def infinite_slope(folder):
    return saved(dataset(picture(12), 12, RescaleSlope="1e308", RescaleIntercept="1e308"), folder)


def table_shorter_than_it_says(folder):
    made, table = dataset(picture(), 8), Dataset()
    table.LUTDescriptor, table.LUTData = [60_000, 0, 16], bytes(6)
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "OW"
    made.VOILUTSequence = [table]
    return saved(made, folder)


def nested_a_thousand_times(folder):
    path = saved(dataset(picture(), 8), folder)
    sequence = struct.pack("<HH2sHI", 0x0028, 0x3010, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    content = path.read_bytes()
    at = content.index(b"\xe0\x7f\x10\x00")
    path.write_bytes(content[:at] + sequence * 1000 + content[at:])
    return path


def more_bits_than_allocated(folder):
    return saved(dataset(picture(), 8, BitsStored=40, BitsAllocated=64, HighBit=39), folder)


HOSTILE = [
    (truncated, "cannot be decoded"),
    (garbage, "damaged DICOM file|no picture"),
    (deflated, "deflated"),
    (inflating, "deflated"),
    (several_frames, "3 pictures"),
    (thousands_of_frames, "5,?000 pictures"),
    (colour, "colour"),
    (without_pixels, "no picture"),
    (too_many_pixels, "too many"),
    (negative_size, "too many|no picture|cannot be decoded"),
    (larger_jpeg_2000, "another size"),
    (decoy_before_a_larger_jpeg_2000, "another size"),
    (vast_jpeg_2000_of_few_bytes, "too small to hold"),
    (larger_jpeg, "another size"),
    (larger_jpeg_after_fill_bytes, "another size"),
    (neither_jpeg_nor_jpeg_2000, "cannot be decoded"),
    (unfolding_rle, "another size"),
    (window_of_no_width, "table or window"),
    (infinite_slope, "table or window"),
    (table_shorter_than_it_says, "table or window"),
    (nested_a_thousand_times, "damaged|table or window|no picture"),
    (more_bits_than_allocated, "cannot be decoded"),
]

REFUSE_ALL = """
import sys, time
from pathlib import Path
from cxr14.data.radiograph_files import read_radiograph
from cxr14.errors import InputError
good, *hostile = map(Path, sys.argv[1:])
read_radiograph(good)  # loads pydicom
peak = lambda: next(int(line.split()[1]) for line in open("/proc/self/status") if "VmHWM" in line)
for path in hostile:
    before, seconds = peak(), []
    for _ in range(2):
        start = time.perf_counter()
        try: read_radiograph(path)
        except InputError: seconds.append(time.perf_counter() - start)
        else: sys.exit(f"{path} was read")
    print(path.parent.name, peak() - before, min(seconds))
"""
