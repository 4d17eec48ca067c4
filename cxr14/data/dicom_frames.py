"""Checks of compressed DICOM pixels before anything is decoded.

A small file may claim or unfold to gigabytes, which its decoder would allocate.
"""

import struct
from collections.abc import Iterator
from itertools import pairwise

_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"  # SOI; SOC, then SIZ
_JPEG_2000_FILE = b"\0\0\0\x0cjP  "  # the codestream in the boxes of a JP2 file
# SOF0 to SOF15 but DHT, JPG and DAC, which lie between them; SOF55 is JPEG-LS.
_FRAME_STARTS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_FILL = 0xFF
_RLE_HEADER = 64  # bytes: the number of segments and 15 offsets


def claimed_size(frame: bytes) -> tuple[int, int] | None:
    """Return the rows and columns that a JPEG, JPEG-LS or JPEG 2000 frame claims; None if it claims none.

    Args:
        frame: one compressed picture.
    """
    try:
        if frame.startswith(_JPEG):
            return _jpeg_size(frame)
        if frame.startswith(_JPEG_2000_FILE):
            frame = next(content for kind, content in _boxes(frame) if kind == b"jp2c")
        if frame.startswith(_JPEG_2000):
            right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
            return bottom - top, right - left
    except (struct.error, IndexError, StopIteration):  # it ends too early
        pass
    return None


def rle_fits(frame: bytes, plane: int) -> bool:
    """Return whether no segment of an RLE frame unfolds to more than a plane of the picture.

    Args:
        frame: one compressed picture (DICOM PS3.5, annex G).
        plane: bytes of a plane: rows times columns.
    """
    try:
        count, *offsets = struct.unpack_from("<16I", frame)
        starts = [*offsets[:count], len(frame)]
        segments = [frame[start:end] for start, end in pairwise(starts)]
        return starts[0] >= _RLE_HEADER and all(_unfolds_within(segment, plane) for segment in segments)
    except struct.error:
        return False


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    at = len(_JPEG)
    while frame[at] == _FILL:
        marker = frame[at + 1]
        if marker == _FILL:
            at += 1
            continue
        if marker in _FRAME_STARTS:
            return struct.unpack_from(">2H", frame, at + 5)
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return None


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        header = 8
        if length == 1:
            length, header = struct.unpack_from(">Q", content, at + 8)[0], 16
        end = at + length if length else len(content)
        if end < at + header:
            raise IndexError
        yield kind, content[at + header : end]
        at = end


def _unfolds_within(segment: bytes, most: int) -> bool:
    # PackBits: a count below 128 precedes so many bytes and one more, one above it a byte to repeat.
    at, total = 0, 0
    # The padding to an even length may be a count without bytes.
    while at + 1 < len(segment):
        count = segment[at]
        if count < 128:
            at, total = at + count + 2, total + count + 1
        elif count > 128:
            at, total = at + 2, total + 257 - count
        else:
            at += 1
        if total > most + 1:
            return False
    return True
