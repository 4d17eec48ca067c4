"""DICOM files of radiographs as 8-bit gray, from the tags of the picture alone.

No tag about a patient is read, and no text of a file or of pydicom's warnings reaches a message.
"""

import re
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxr14.errors import InputError

if TYPE_CHECKING:  # an optional dependency, and half a second to load
    from pydicom import Dataset

SUFFIXES = frozenset({".dcm", ".dicom"})
MOST_PIXELS, MOST_BYTES = 64_000_000, 256_000_000

_TAGS = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "ViewPosition"),
)
_DEFLATED = "1.2.840.10008.1.2.1.99"
_LATERAL = frozenset({"LL", "RL", "LLD", "RLD", "LATERAL"})
_MISSING_DECODER = (
    "is compressed in a way that needs another decoder; install it with pip install -e .[dicom], or "
    "decompress the file with dcmdjpeg or gdcmconv --raw"
)


def is_dicom(path: Path) -> bool:
    """Return whether a file has DICOM's mark after its 128 bytes of preamble."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_dicom(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Decode a radiograph as the file says it is to be displayed.

    The order is the standard's (DICOM PS3.4, annex N.2): modality transformation, then the first VOI table or
    window, then the scale to 8 bits from the known range of the output. MONOCHROME1 is inverted once, so that
    bones are bright.

    Args:
        path: a file with DICOM's preamble.

    Returns:
        (H, W) uint8, and warnings about the radiograph.

    Raises:
        InputError: it is damaged, too large, in colour, has several frames, or its compression needs a
            decoder that is not installed. The message does not repeat the path.
    """
    try:
        from pydicom.pixels import apply_modality_lut, apply_voi_lut
    except ImportError:
        raise InputError("is a DICOM file; pip install -e .[dicom] installs what reads it") from None
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"is larger than {MOST_BYTES // 1_000_000} MB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they may repeat values of the file
        dataset = _read_tags(path)
        stored = _decode(dataset)
        try:
            values = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(np.float64)
            low, high = _output_range(dataset, values)
        except Exception as error:  # tables and windows fail in many ways
            raise InputError("has a table or window of gray values that cannot be applied") from error
    gray = np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        gray = 1 - gray
    view = str(dataset.get("ViewPosition") or "").upper()
    found = ("this is a lateral view, and the model knows frontal ones",) if view in _LATERAL else ()
    return np.floor(gray * 255 + 0.5).astype(np.uint8), found


def _read_tags(path: Path) -> "Dataset":
    from pydicom import config, dcmread
    from pydicom.filereader import read_file_meta_info

    config.settings.reading_validation_mode = config.IGNORE
    try:
        # Its content would be inflated before anything could be checked.
        if read_file_meta_info(path).get("TransferSyntaxUID") == _DEFLATED:
            raise InputError("is deflated; decompress it first, with dcmconv +te")
        dataset = dcmread(path, specific_tags=list(_TAGS))
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        frames, samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.get("SamplesPerPixel") or 1)
        interpretation = dataset.PhotometricInterpretation
        has_pixels = "PixelData" in dataset
    except InputError:
        raise
    except Exception as error:  # damaged files fail in many ways
        raise InputError("is a damaged DICOM file, or holds no picture") from error
    if not has_pixels:
        raise InputError("holds no picture")
    if frames != 1:
        raise InputError(f"holds {frames} pictures; a radiograph is one")
    if samples != 1 or interpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise InputError("is in colour, and a radiograph is gray")
    if not 0 < rows * columns <= MOST_PIXELS:
        raise InputError(f"has {rows:,} x {columns:,} pixels, too many for a radiograph")
    return dataset


def _decode(dataset: "Dataset") -> np.ndarray:
    from pydicom.encaps import get_frame

    size = int(dataset.Rows), int(dataset.Columns)
    try:
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            inner = _codestream_size(get_frame(dataset.PixelData, 0, number_of_frames=1))
            if inner is not None and inner != size:
                raise InputError("holds a picture of another size than its header says")
        pixels = dataset.pixel_array
    except InputError:
        raise
    except (RuntimeError, NotImplementedError, ImportError) as error:
        # pydicom names the missing decoders in the same kind of error as damage.
        missing = re.search("missing dependenc|no available|unable to decode", str(error).lower())
        raise InputError(_MISSING_DECODER if missing else "holds pixels that cannot be decoded") from error
    except Exception as error:  # damaged pixels fail in many ways
        raise InputError("holds pixels that cannot be decoded") from error
    if pixels.shape != size:
        raise InputError("holds a picture of another size than its header says")
    return pixels


def _codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Return rows and columns that a JPEG 2000 or JPEG stream claims; None where it is neither.

    A small stream may claim gigabytes, which its decoder would allocate.
    """
    start = frame.find(b"\xff\x4f\xff\x51")  # JPEG 2000: SOC, then SIZ
    if start >= 0 and len(frame) >= start + 24:
        right, bottom, left, top = struct.unpack(">4I", frame[start + 8 : start + 24])
        return bottom - top, right - left
    if not frame.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:  # JPEG and JPEG-LS: segments up to the start of frame
        marker, length = frame[at + 1], struct.unpack(">H", frame[at + 2 : at + 4])[0]
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            rows, columns = struct.unpack(">2H", frame[at + 5 : at + 9])
            return rows, columns
        at += 2 + length
    return None


def _output_range(dataset: "Dataset", values: np.ndarray) -> tuple[float, float]:
    """Return the gray values that become 0 and 255: known ones where the file defines them."""
    if dataset.get("VOILUTSequence"):
        return 0, 2 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
    bits, signed = int(dataset.BitsStored), bool(dataset.PixelRepresentation)
    lowest = -(2 ** (bits - 1)) if signed else 0
    ends = (lowest, lowest + 2**bits - 1)
    if dataset.get("ModalityLUTSequence"):
        ends = (0, 2 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1)
    elif "RescaleSlope" in dataset:
        slope, intercept = float(dataset.RescaleSlope), float(dataset.get("RescaleIntercept") or 0)
        ends = tuple(sorted(end * slope + intercept for end in ends))
    if dataset.get("WindowWidth") is not None or bits <= 8:
        return ends  # pydicom's window gives values over the whole range of the input
    return float(values.min()), float(values.max())
