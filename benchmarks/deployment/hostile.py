"""Time and memory to refuse files that are damaged or built to harm."""

import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.data.dicom_files import dataset, picture, saved
from tests.data.hostile_dicom import HOSTILE, REFUSE_ALL
from tests.data.png_files import png_header


def measure(work: Path) -> dict[str, object]:
    """Refuse each file in a process of its own kind; return the slowest and by how much memory grew."""
    good = saved(dataset(picture(), 8), work, "good.dcm")
    files = []
    for make, _ in HOSTILE:
        (work / make.__name__).mkdir()
        files.append(make(work / make.__name__))
    for name, content in {
        "bomb": png_header(30_000, 30_000),
        "wide": png_header(9_000, 9_000),
        "truncated": png_header(7_900, 7_900),
        "empty": b"",
        "text": b"a text",
    }.items():
        (work / f"image-{name}").mkdir()
        files.append(work / f"image-{name}" / "a.png")
        files[-1].write_bytes(content)
    (work / "image-animated").mkdir()
    files.append(work / "image-animated" / "a.png")
    frames = [Image.new("L", (32, 32), value) for value in (0, 90)]
    frames[0].save(files[-1], save_all=True, append_images=frames[1:])
    done = subprocess.run(
        [sys.executable, "-c", REFUSE_ALL, good, *files], capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    return {
        "files": len(lines),
        "most seconds": max(float(seconds) for _, _, seconds in lines),
        "MB by which the peak grew": sum(int(kilobytes) for _, kilobytes, _ in lines) / 1e3,
    }
