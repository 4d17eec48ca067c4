"""MedMNIST's copy of ChestX-ray14, one ``.npz`` file with its own split."""

import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from cxr14.data.dicom import MOST_BYTES
from cxr14.data.prepare.contents import Payload, checksum
from cxr14.data.splits import SIDES
from cxr14.errors import InputError
from cxr14.findings import FINDINGS


class MedMnist:
    """A file such as ``chestmnist_224.npz``, read as a stream: the largest would take 5 GB of memory.

    It has no file names, so a radiograph is named by its place, such as ``chestmnist_train_000000.png``. It
    has no patients either: the authors split by patient, but the file does not allow to check that.

    Attributes:
        sizes: name -> bytes of its pixels.
        labels: name -> (14,) uint8; MedMNIST keeps NIH's order of the findings.
        split: "train", "val" and "test" -> names.

    Raises:
        InputError: it is missing, damaged, or of another set than ChestMNIST.
    """

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.sizes: dict[str, int] = {}
        self.labels: dict[str, np.ndarray] = {}
        self.split: dict[str, list[str]] = {}
        self._checksums: dict[str, str] = {}
        with self._opened() as file:
            for side in SIDES:
                with file.open(f"{side}_images.npy") as stream:
                    count, height, width = _shape_of_images(stream)
                    if stream.tell() + count * height * width != file.getinfo(f"{side}_images.npy").file_size:
                        raise ValueError(f"its {side}_images are not as large as they say")
                if file.getinfo(f"{side}_labels.npy").file_size > MOST_BYTES:
                    raise ValueError(f"its {side}_labels are too large")
                with file.open(f"{side}_labels.npy") as stream:
                    labels = np.lib.format.read_array(stream)
                if labels.shape != (count, len(FINDINGS)) or not np.isin(labels, (0, 1)).all():
                    raise ValueError(
                        f"its {side}_labels are not {count} times {len(FINDINGS)} zeros and ones"
                    )
                names = [f"chestmnist_{side}_{row:06d}.png" for row in range(count)]
                self.split[side] = names
                self.labels |= zip(names, labels.astype(np.uint8), strict=True)
                self.sizes |= dict.fromkeys(names, height * width)

    def payloads(self, names: Collection[str]) -> Iterator[tuple[str, Payload]]:
        """Yield the named radiographs in the order of the file, as (H, W) uint8."""
        with self._opened() as file:
            for side, members in self.split.items():
                with file.open(f"{side}_images.npy") as stream:
                    _, height, width = _shape_of_images(stream)
                    for name in members:
                        pixels = stream.read(height * width)
                        if name in names:
                            yield name, np.frombuffer(pixels, np.uint8).reshape(height, width)

    def content_of(self, name: str) -> str:
        """Read the whole file at the first call."""
        if not self._checksums:
            self._checksums = {one: checksum(pixels) for one, pixels in self.payloads(self.sizes)}
        return self._checksums[name]

    def place_of(self, name: str) -> str:
        """Return file and name."""
        return f"{self.archive}: {name}"

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.archive) as file:
                yield file
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(
                f"{self.archive} cannot be read as ChestMNIST ({error}): download chestmnist_224.npz or a "
                "smaller one from medmnist.com and give it with --medmnist."
            ) from None


def _shape_of_images(stream: IO[bytes]) -> tuple[int, int, int]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, kind = read(stream)
    if len(shape) != 3 or by_columns or kind != np.uint8:
        raise ValueError(f"its images are {kind} {shape}, not (N, H, W) uint8")
    return shape
