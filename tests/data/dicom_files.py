"""DICOM files of one small picture in many encodings, for tests of what reads them."""

import io
import warnings

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

NAME, ID = "Secret^Patient", "4711"


def picture(bits=8, shape=(48, 40)):
    """Return (H, W) values of so many bits, from 0 to the largest."""
    values = np.random.default_rng(0).integers(0, 2**bits, shape)
    values[0, 0], values[0, 1] = 0, 2**bits - 1
    return values.astype(np.uint16 if bits > 8 else np.uint8)


def smooth_picture(shape=(48, 40)):
    """Return (H, W) uint8 without edges, which JPEG changes little."""
    return np.asarray(Image.fromarray(picture(shape=(6, 5))).resize(shape[::-1], Image.Resampling.BICUBIC))


def dataset(values, bits, syntax=ExplicitVRLittleEndian, signed=False, **tags):
    """Return a data set of a radiograph with its pixels uncompressed."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3"
    made = Dataset()
    made.file_meta = meta
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.PatientName, made.PatientID, made.Modality = NAME, ID, "DX"
    made.Rows, made.Columns = values.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = 16 if bits > 8 else 8
    made.BitsStored, made.HighBit, made.PixelRepresentation = bits, bits - 1, int(signed)
    big = syntax == ExplicitVRBigEndian and bits > 8
    made.PixelData = (values.astype(">u2") if big else np.ascontiguousarray(values)).tobytes()
    for name, value in tags.items():
        setattr(made, name, value)
    return made


def saved(made, folder, name="a.dcm"):
    """Write a data set and return its path."""
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
    """Return the content of an image file."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg_of_12_bits():
    """Return a data set with a JPEG frame whose header says 12 bits."""
    frame = bytearray(compressed(picture(), "JPEG"))
    start = frame.find(b"\xff\xc0")
    frame[start + 1], frame[start + 4] = 0xC1, 12  # extended sequential, 12 bits
    return with_frame(dataset(picture(12), 12), bytes(frame), JPEGExtended12Bit)


# Gray 0 to 255 as 12 bits from 1000 on in steps of 8, and the window that shows it so.
_START, _STEP = 1000, 8
_WIDTH = 255 * _STEP + 1
_CENTER = _START + 255 * _STEP / 2 + 0.5


def _deep(gray):
    return gray.astype(np.uint16) * _STEP + _START


def _windowed(gray, **tags):
    return dataset(_deep(gray), 12, **({"WindowCenter": _CENTER, "WindowWidth": _WIDTH} | tags))


def _table(values, bits):
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [len(values) % 65536, 0, bits], values.astype("<u2").tobytes()
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "OW"
    return table


def _with_voi_table(gray):
    made = dataset(_deep(gray), 12)
    shown = np.clip((np.arange(4096) - _START) / (255 * _STEP), 0, 1)
    made.VOILUTSequence = [_table(np.rint(shown * 65535), 16)]
    return made


def _with_modality_table(gray):
    made = dataset(255 - gray, 8)  # the table turns dark into bright
    made.ModalityLUTSequence = [_table(np.arange(255, -1, -1), 8)]
    made.ModalityLUTSequence[0].ModalityLUTType = "US"
    return made


def _inverted(gray):
    return dataset(
        4095 - _deep(gray),
        12,
        PhotometricInterpretation="MONOCHROME1",
        PresentationLUTShape="INVERSE",
        WindowCenter=4095 - _CENTER + 1,  # a window is not symmetric about its centre
        WindowWidth=_WIDTH,
    )


def _rle(gray):
    made = _windowed(gray)
    made.compress(RLELossless, generate_instance_uid=False)
    return made


def _jpeg_2000(made, values):
    frame = compressed(values, "JPEG2000", irreversible=False, no_jp2=True)
    return with_frame(made, frame, JPEG2000Lossless)


def by_gdcm(made, syntax, folder):
    """Return a data set that gdcm has compressed."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(saved(made, folder, "before.dcm")))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(folder / "after.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return pydicom.dcmread(folder / "after.dcm")


ENCODINGS = {
    "explicit little endian": lambda gray, folder: dataset(gray, 8),
    "implicit little endian": lambda gray, folder: dataset(gray, 8, ImplicitVRLittleEndian),
    "explicit big endian, 12 bits": lambda gray, folder: dataset(
        _deep(gray), 12, ExplicitVRBigEndian, WindowCenter=_CENTER, WindowWidth=_WIDTH
    ),
    "MONOCHROME1": lambda gray, folder: dataset(255 - gray, 8, PhotometricInterpretation="MONOCHROME1"),
    "MONOCHROME1, 12 bits, window, INVERSE": lambda gray, folder: _inverted(gray),
    "12 bits, window": lambda gray, folder: _windowed(gray),
    "12 bits, two windows": lambda gray, folder: _windowed(
        gray, WindowCenter=[_CENTER, 2000], WindowWidth=[_WIDTH, 300]
    ),
    "12 bits, slope and window": lambda gray, folder: _windowed(
        gray,
        RescaleSlope=2,
        RescaleIntercept=-500,
        WindowCenter=2 * _CENTER - 500.5,
        WindowWidth=2 * _WIDTH - 1,
    ),
    "12 bits, VOI table": lambda gray, folder: _with_voi_table(gray),
    "modality table": lambda gray, folder: _with_modality_table(gray),
    "RLE, 12 bits": lambda gray, folder: _rle(gray),
    "JPEG 2000": lambda gray, folder: _jpeg_2000(dataset(gray, 8), gray),
    "JPEG 2000, 12 bits": lambda gray, folder: _jpeg_2000(_windowed(gray), _deep(gray)),
    "JPEG": lambda gray, folder: with_frame(
        dataset(gray, 8), compressed(gray, "JPEG", quality=100), JPEGBaseline8Bit
    ),
    "JPEG lossless, 12 bits": lambda gray, folder: by_gdcm(_windowed(gray), JPEGLosslessSV1, folder),
    "JPEG-LS, 12 bits": lambda gray, folder: by_gdcm(_windowed(gray), JPEGLSLossless, folder),
    "JPEG lossless, process 14, 12 bits": lambda gray, folder: by_gdcm(_windowed(gray), JPEGLossless, folder),
}
"""Ways to encode 8-bit gray, from the pixels and a folder for files to a data set."""

LOSSY = frozenset({"JPEG"})
NEED_GDCM = frozenset(name for name in ENCODINGS if name.startswith(("JPEG lossless", "JPEG-LS")))
NOT_FOR_DCMTK = frozenset({"JPEG 2000", "JPEG 2000, 12 bits"})
"""Encodings that dcmtk has no decoder for."""


def dcmtk_command(name, path, target):
    """Return the command by which dcmtk writes a file as 8-bit gray, PGM; None where it cannot."""
    if name in NOT_FOR_DCMTK:
        return None
    program = "dcml2pnm" if name.startswith("JPEG-LS") else "dcmj2pnm"
    # The first VOI table or window, which it would not apply by itself.
    tags = pydicom.dcmread(path, stop_before_pixels=True)
    display = ["+Wl", "1"] if "VOILUTSequence" in tags else ["+Wi", "1"] if "WindowWidth" in tags else []
    return [program, "+op", *display, str(path), str(target)]
