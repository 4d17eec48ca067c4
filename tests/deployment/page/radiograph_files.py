"""Radiographs in many formats, and files that are none, for the tests of the page."""

import struct
import warnings

import numpy as np
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
)

from tests.data.dicom_files import ENCODINGS, NEED_GDCM, compressed, dataset, saved, with_frame
from tests.deployment.conftest import smooth_noise


def gray_picture(seed, size=(90, 70)):
    """Return (H, W) uint8."""
    return np.asarray(smooth_noise(np.random.default_rng(seed), size))


def write_pictures(folder):
    """Write PNG and JPEG files of every kind that Pillow reads as a radiograph."""
    gray = gray_picture(0)
    deep = gray.astype(np.uint16) * 13 + 100
    rgb = np.stack([gray, 255 - gray, gray // 2], axis=2)
    alpha = np.random.default_rng(1).integers(0, 256, gray.shape, dtype=np.uint8)
    kinds = {
        "bilevel": Image.fromarray(gray).convert("1"),
        "gray-alpha": Image.fromarray(np.dstack([gray, alpha])),
        "gray16": Image.fromarray(deep),
        "rgb": Image.fromarray(rgb),
        "rgb-gray": Image.fromarray(np.stack([gray] * 3, axis=2)),
        "rgba": Image.fromarray(np.dstack([rgb, alpha])),
        "palette": Image.fromarray(rgb).quantize(60),
        "palette4": Image.fromarray(rgb).quantize(11),
        "one-gray": Image.new("L", (50, 60), 7),
        "narrow": Image.fromarray(gray_picture(2, (700, 31))),
    }
    for name, image in kinds.items():
        image.save(folder / f"{name}.png")
    for bits in (2, 4):
        write_gray_png(folder / f"gray{bits}.png", gray >> (8 - bits), bits)
    write_interlaced_png(folder / "interlaced.png", gray_picture(3, (21, 19)))
    Image.fromarray(gray).save(folder / "gray.jpg", quality=90)
    Image.fromarray(gray).save(folder / "progressive.jpg", progressive=True, quality=80)
    Image.fromarray(rgb).save(folder / "colour.jpg", quality=90)
    Image.fromarray(rgb).save(folder / "full-colour.jpg", quality=95, subsampling=0)
    turned = Image.Exif()
    turned[274] = 6  # a quarter turn, which Pillow does not carry out
    upright = Image.Exif()
    upright[274] = 1
    big_endian = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"
    for kind, exif in {
        "turned": turned,
        "upright": upright,
        "big-endian": big_endian,
        "cut-exif": big_endian[:20],
    }.items():
        Image.fromarray(gray).save(folder / f"{kind}.jpg", exif=exif, quality=95)
        Image.fromarray(gray).save(folder / f"{kind}.png", exif=exif)
    Image.fromarray(rgb).save(folder / "turned-colour.jpg", exif=turned, quality=95)
    Image.fromarray(deep).save(folder / "turned16.png", exif=turned)
    late = compressed(gray, "PNG", exif=turned)  # the chunk may also follow the picture
    start = late.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(late[start : start + 4])
    last = late.index(b"IEND") - 4
    (folder / "late.png").write_bytes(late[:start] + late[end:last] + late[start:end] + late[last:])


def png_file(width, height, bits, rows, interlaced=False):
    """Return a gray PNG file of bare rows: a byte of 0, for no filter, and the packed pixels of each."""
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, int(interlaced))
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def write_gray_png(path, values, bits):
    """Write values of 2 or 4 bits, which Pillow reads but does not write."""
    rows = b""
    for row in values:
        in_bits = np.unpackbits(row[:, None], axis=1)[:, 8 - bits :]
        rows += b"\0" + np.packbits(in_bits).tobytes()
    path.write_bytes(png_file(values.shape[1], values.shape[0], bits, rows))


def write_interlaced_png(path, gray):
    """Write a picture in the seven passes of Adam7, which Pillow reads but does not write."""
    passes = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    rows = b""
    for row, column, down, right in passes:
        rows += b"".join(b"\0" + part.tobytes() for part in gray[row::down, column::right])
    path.write_bytes(png_file(gray.shape[1], gray.shape[0], 8, rows, interlaced=True))


NOT_READ_BY_THE_PAGE = ("RLE", "JPEG 2000", "JPEG-LS")
"""How the names of encodings begin that the page leaves to predict.py."""


def write_dicom(folder):
    """Write DICOM files that predict.py and the page both read with what is installed here."""
    gray = gray_picture(4)
    deep = gray.astype(np.uint16) * 9 + 500
    window = {"WindowCenter": "2300", "WindowWidth": "601"}
    falling = {"RescaleSlope": "-1", "RescaleIntercept": "4095", "WindowCenter": "1700", "WindowWidth": "700"}
    files = {
        "deep": dataset(deep, 12),
        "deep16": dataset(deep * 20, 16),
        "exact": dataset(deep, 12, VOILUTFunction="LINEAR_EXACT", **window),
        "sigmoid": dataset(deep, 12, VOILUTFunction="SIGMOID", **window),
        "falling": dataset(deep, 12, **falling),
        "rising": dataset(deep, 12, RescaleSlope="2.5", RescaleIntercept="-1024"),
        "slope-alone": dataset(gray, 8, RescaleSlope="2"),
        "signed": dataset(
            deep.astype(np.int16) - 1500, 12, signed=True, WindowCenter="800", WindowWidth="700"
        ),
        "unused-bits": dataset(deep | 0xF000, 12),
        "lateral": dataset(gray, 8, ViewPosition="LL"),
    }
    for name, encode in ENCODINGS.items():
        if name not in NEED_GDCM and not name.startswith(NOT_READ_BY_THE_PAGE):
            files[name] = encode(gray, folder)
    for name, made in files.items():
        saved(made, folder, f"{name}.dcm")


def write_lossless_jpeg(folder):
    """Write DICOM files of lossless JPEG; return name -> the gray that they hold."""
    deep = gray_picture(5).astype(np.uint16) * 16
    deep[0, :2] = 0, 4095
    gray = gray_picture(6)
    saved(with_frame(dataset(deep, 12), lossless_jpeg(deep, 12), JPEGLosslessSV1), folder, "lossless12.dcm")
    saved(with_frame(dataset(gray, 8), lossless_jpeg(gray, 8), JPEGLosslessSV1), folder, "lossless8.dcm")
    return {"lossless12.dcm": np.floor(deep / 4095 * 255 + 0.5), "lossless8.dcm": gray}


def lossless_jpeg(values, bits):
    """Encode values as lossless JPEG (ITU-T T.81, annex H), each predicted by its left neighbour."""
    rows, columns = values.shape
    codes = 17  # one for each number of bits that a difference may have, all of the length 5
    table = bytes([0, 0, 0, 0, 0, codes, *[0] * 11, *range(codes)])
    header = b"\xff\xd8" + _segment(0xC3, struct.pack(">BHHB", bits, rows, columns, 1) + b"\x01\x11\x00")
    header += _segment(0xC4, table) + _segment(0xDA, b"\x01\x01\x00\x01\x00\x00")
    predicted = np.empty((rows, columns), int)
    predicted[:, 1:] = values[:, :-1]
    predicted[1:, 0] = values[:-1, 0]
    predicted[0, 0] = 2 ** (bits - 1)
    stream = []
    for difference in (values.astype(int) - predicted).ravel():
        size = int(abs(difference)).bit_length()
        stream.append(f"{size:05b}")
        if size:
            stream.append(f"{difference if difference > 0 else difference + 2**size - 1:0{size}b}")
    text = "".join(stream)
    text += "1" * (-len(text) % 8)
    coded = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")
    return header + coded + b"\xff\xd9"


def _segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def write_broken(folder):
    """Write files that are refused."""
    gray = gray_picture(7)
    png, jpeg = compressed(gray, "PNG"), compressed(gray, "JPEG")
    contents = {
        "text.png": b"a text, not a picture",
        "empty.png": b"",
        "half.png": png[: len(png) // 2],
        "half.jpg": jpeg[: len(jpeg) // 2],
        "damaged.png": png[:200] + bytes([png[200] ^ 255]) + png[201:],
        "header.png": png[:30] + bytes([png[30] ^ 255]) + png[31:],
        "bomb.png": png_file(30_000, 30_000, 8, bytes(1000)),
        "wide.png": png_file(9_000, 9_000, 8, bytes(1000)),
        "header.dcm": bytes(128) + b"DICM" + b"no tags",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    frames = [Image.new("L", (32, 32), value) for value in (0, 90, 200)]
    frames[0].save(folder / "animated.png", save_all=True, append_images=frames[1:])
    Image.new("L", (32, 32)).save(folder / "gif.png", "GIF")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _write_refused_dicom(folder, gray, jpeg)


def _write_refused_dicom(folder, gray, jpeg):
    colour = dataset(gray, 8, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    colour.PixelData = np.stack([gray] * 3, axis=2).tobytes()
    none = dataset(gray, 8)
    del none.PixelData
    files = {
        "colour": colour,
        "none": none,
        "frames": dataset(gray, 8, NumberOfFrames=2),
        "short": dataset(gray[:40], 8, Rows=gray.shape[0]),
        "large": dataset(gray, 8, Rows=9_000, Columns=9_000),
        "size": with_frame(dataset(gray[:, :60], 8), jpeg, JPEGBaseline8Bit),
        "width": dataset(gray, 8, WindowCenter="100", WindowWidth="0"),
    }
    for name, made in files.items():
        saved(made, folder, f"{name}.dcm")
    deflated = dataset(gray, 8)
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    saved(deflated, folder, "deflated.dcm")


def write_not_read_here(folder):
    """Write files whose compressions predict.py reads, and the page does not."""
    gray = gray_picture(8)
    return [
        saved(encode(gray, folder), folder, f"{name}.dcm")
        for name, encode in ENCODINGS.items()
        if name not in NEED_GDCM and name.startswith(NOT_READ_BY_THE_PAGE)
    ]
