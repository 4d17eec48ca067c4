"""Exactness of the DICOM reader: one picture in many encodings, against its source and against dcmtk."""

import importlib.util
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
from PIL import Image

from cxr14.data.dicom import read_dicom
from tests.data.dicom_files import ENCODINGS, NEED_GDCM, dcmtk_command, saved, smooth_picture

SHAPE = (2048, 1800)


def measure(work: Path) -> dict[str, object]:
    """Return by how many grays each encoding differs, and the milliseconds to read it."""
    gray = smooth_picture(SHAPE)
    has_gdcm = importlib.util.find_spec("gdcm") is not None
    rows: dict[str, object] = {}
    for name, encode in ENCODINGS.items():
        if name in NEED_GDCM and not has_gdcm:
            rows[name] = "not measured: python-gdcm is not installed"
            continue
        path = saved(encode(gray, work), work)
        start = time.perf_counter()
        found = read_dicom(path)[0].astype(int)
        seconds = time.perf_counter() - start
        rows[name] = {
            "grays from the source": int(np.abs(found - gray).max()),
            "grays from dcmtk": _from_dcmtk(name, path, found, work / "theirs.pgm"),
            "ms": 1e3 * seconds,
        }
    return {"pixels": SHAPE, "rows": rows}


def _from_dcmtk(name: str, path: Path, found: np.ndarray, target: Path) -> int | str:
    command = dcmtk_command(name, path, target)
    if command is None:
        return "it has no decoder"
    if not shutil.which(command[0]):
        return "not installed"
    subprocess.run(command, check=True, capture_output=True)
    return int(np.abs(np.asarray(Image.open(target)).astype(int) - found).max())
