"""DICOM files of radiographs as 8-bit gray, from the tags of the picture alone.

No tag about a patient is read, and no text of a file or of pydicom's warnings reaches a message.
"""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from cxr14.data.dicom_frames import claimed_size, rle_fits
from cxr14.errors import InputError

if TYPE_CHECKING:  # an optional dependency, and half a second to load
    from pydicom import Dataset

SUFFIXES = frozenset({".dcm", ".dicom"})
MOST_PIXELS, MOST_BYTES = 64_000_000, 256_000_000

LATERAL_VIEW = "this is a lateral view, and the model knows frontal ones"
"""Warning about a radiograph whose tag says so."""

_TAGS = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "ViewPosition"),
)
_DEFLATED, _RLE, _JPEG_EXTENDED = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.51"
_PREAMBLE, _META_GROUP = 132, 0x0002
_LATERAL = frozenset({"LL", "RL", "LLD", "RLD", "LATERAL"})
# Of compressed pixels. Larger than this, they have to fill some of the file: a thousandth of a byte a pixel
# is a tenth of what the strongest compression of a radiograph leaves.
_MOST_PIXELS_OF_FEW_BYTES, _MOST_PIXELS_A_BYTE = 10_000_000, 1000

_NOT_INSTALLED = "is a DICOM file; pip install -e .[dicom] installs what reads it"
_NEEDS_EXTRA = (
    "is compressed in a way that needs another decoder; install it with pip install -e .[dicom], or "
    "decompress the file with dcmdjpeg or gdcmconv --raw"
)
_NEEDS_TOOL = "is compressed as 12-bit JPEG, which needs another tool; decompress the file with dcmdjpeg"
_OTHER_SIZE = "holds a picture of another size than its header says"
_CANNOT_BE_DECODED = "holds pixels that cannot be decoded"


def is_dicom(source: Path | bytes) -> bool:
    """Return whether a file, or its content, has DICOM's mark after the 128 bytes of preamble."""
    if isinstance(source, bytes):
        return source[128:132] == b"DICM"
    try:
        # Opening a named pipe would wait for ever.
        if not source.is_file():
            return False
        with source.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_dicom(source: Path | bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    """Decode a radiograph as the file says it is to be displayed.

    The order is the standard's (DICOM PS3.4, annex N.2): modality transformation, then the first VOI table or
    window, then the scale to 8 bits from the known range of the output. MONOCHROME1 is inverted once, so that
    bones are bright.

    Args:
        source: a file with DICOM's preamble, or the content of one.

    Returns:
        (H, W) uint8, and warnings about the radiograph.

    Raises:
        InputError: it is damaged, too large, in colour, has several frames, or its compression needs a
            decoder that is not installed. The message does not repeat the path.
    """
    try:
        from pydicom.pixels import apply_modality_lut, apply_voi_lut
    except ImportError:
        raise InputError(_NOT_INSTALLED) from None
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if size > MOST_BYTES:
        raise InputError(f"is larger than {MOST_BYTES // 1_000_000} MB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they may repeat values of the file
        dataset = _read_tags(source)
        stored = _decode(dataset)
        try:
            values = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(np.float64)
            low, high = _output_range(dataset, values)
            if not (np.isfinite([low, high]).all() and np.isfinite(values).all()):
                raise ValueError("not finite")
        except Exception as error:  # tables and windows fail in many ways
            raise InputError("has a table or window of gray values that cannot be applied") from error
    gray = np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        gray = 1 - gray
    view = str(dataset.get("ViewPosition") or "").upper()
    found = (LATERAL_VIEW,) if view in _LATERAL else ()
    return np.floor(gray * 255 + 0.5).astype(np.uint8), found


def _open(source: Path | bytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _read_tags(source: Path | bytes) -> "Dataset":
    from pydicom import config, dcmread
    from pydicom.filereader import read_dataset

    config.settings.reading_validation_mode = config.IGNORE
    try:
        with _open(source) as file:
            # Read alone, as dcmread would inflate the content before anything could be checked.
            file.seek(_PREAMBLE)
            meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != _META_GROUP)
            if meta.get("TransferSyntaxUID") == _DEFLATED:
                raise InputError("is deflated; decompress it first, with dcmconv +te")
            file.seek(0)
            dataset = dcmread(file, specific_tags=list(_TAGS))
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
    size = int(dataset.Rows), int(dataset.Columns)
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise InputError(_CANNOT_BE_DECODED)
    try:
        if syntax.is_encapsulated:
            _require_honest(dataset, syntax, size)
        pixels = dataset.pixel_array
    except InputError:
        raise
    except (RuntimeError, NotImplementedError, ImportError) as error:
        raise InputError(_decoder_message(syntax, str(error))) from error
    except Exception as error:  # damaged pixels fail in many ways
        raise InputError(_CANNOT_BE_DECODED) from error
    if pixels.shape != size:
        raise InputError(_OTHER_SIZE)
    return pixels


def _require_honest(dataset: "Dataset", syntax: str, size: tuple[int, int]) -> None:
    """Refuse compressed pixels that would unfold to more than the header says, or claim too much."""
    from pydicom.encaps import get_frame

    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    pixels = size[0] * size[1]
    if pixels > max(_MOST_PIXELS_OF_FEW_BYTES, _MOST_PIXELS_A_BYTE * len(frame)):
        raise InputError(f"claims {size[0]:,} x {size[1]:,} pixels, which it is too small to hold")
    if syntax == _RLE:
        if not rle_fits(frame, pixels):
            raise InputError(_OTHER_SIZE)
        return
    claimed = claimed_size(frame)
    if claimed is None:
        raise InputError(_CANNOT_BE_DECODED)
    if claimed != size:
        raise InputError(_OTHER_SIZE)


def _decoder_message(syntax: str, error: str) -> str:
    if syntax == _JPEG_EXTENDED:
        return _NEEDS_TOOL
    # pydicom names missing decoders in the same kinds of errors as damage.
    return _NEEDS_EXTRA if "missing dependenc" in error or "no available" in error else _CANNOT_BE_DECODED


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
