"""Versions that weights were made with, and the state of the clone."""

import importlib.metadata
import platform
import subprocess

import timm
import torch

from cxr14.settings import ROOT


def in_use() -> dict[str, str]:
    """Return the version of each, and the state of the clone, by name."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "cxr14": _version(),
        "revision": _revision(),
    }


def _version() -> str:
    """Return the version of this package, or "unknown" for a clone that is on PYTHONPATH only."""
    try:
        return importlib.metadata.version("cxr14")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _revision() -> str:
    """Name the state of the clone, or "unknown" in an installed package and where git cannot tell."""
    if not (ROOT / ".git").exists():  # git would look in the folders above
        return "unknown"
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
