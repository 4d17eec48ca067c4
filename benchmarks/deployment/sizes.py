"""Megabytes that predict.py needs installed: in environments of their own, without torch."""

import subprocess
import sys
from pathlib import Path

from cxr14.settings import ROOT

_ENVIRONMENTS = {
    "requirements-predict.txt": ["-r", "requirements-predict.txt"],
    "the same with [dicom]": ["-r", "requirements-predict.txt", "-e", ".[dicom]"],
}


def measure(work: Path) -> dict[str, object]:
    """Install each set of packages and add up its files; a reason instead where they cannot be had."""
    return {
        name: _size(work / f"environment-{row}", words)
        for row, (name, words) in enumerate(_ENVIRONMENTS.items())
    }


def _size(folder: Path, words: list[str]) -> float | str:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    install = ["install", "--quiet", "--disable-pip-version-check", "--no-compile", *words]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", *install],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        return "not measured: the packages could not be installed"
    return sum(path.stat().st_size for path in packages.rglob("*") if path.is_file()) / 1e6
