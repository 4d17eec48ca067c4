"""The networks by the name of their folder."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from torch import nn

from cxr14.errors import InputError
from cxr14.script import SMALLEST_IMAGE
from cxr14.settings import ROOT

NAMES: tuple[str, ...] = (
    "1-EEEA-Net-C2",
    "2-OFA-595",
    "3-CheXNet",
    "4-Visformer-small",
    "5-AutoFormerV2-base",
)
"""The folders of the study's five networks, in its order."""

# The build of a wheel copies the numbered folders there (setup.py). A clone has no such folder.
_INSTALLED = Path(__file__).resolve().parent.parent / "networks"

_modules: dict[str, ModuleType] = {}


def available() -> tuple[str, ...]:
    """Return the numbered folders that hold a ``model.py``: the five networks', then a user's own."""
    found = sorted(path.parent.name for path in _folder().glob("[0-9]*/model.py"))
    return (*NAMES, *(name for name in found if name not in NAMES))


def build(name: str, num_classes: int = 14, pretrained: bool = True, image_size: int = 224) -> nn.Module:
    """Build a network.

    Args:
        name: its folder, one of `available`.
        num_classes: outputs; 1000 for the published classifier.
        pretrained: load the published ImageNet-1k weights, which are fetched once and cached; False: random
            weights.
        image_size: side of the square input in pixels; 32 or more. A network with position tables gets tables
            of this size, the others take images of any size.

    Returns:
        A network (B, 3, image_size, image_size) float32, ImageNet-normalised -> (B, num_classes) logits.

    Raises:
        InputError: no such network, an image size that is too small, or weights that cannot be had.
    """
    if image_size < SMALLEST_IMAGE:
        raise InputError(f"an image size of {image_size} is too small; {SMALLEST_IMAGE} pixels is the least.")
    module = model_file(name)
    if not hasattr(module, "build_model"):
        raise InputError(f"{module.__file__} has no function build_model; copy that of another network.")
    return module.build_model(num_classes=num_classes, pretrained=pretrained, image_size=image_size)


def model_file(name: str) -> ModuleType:
    """Import the ``model.py`` of a folder; the files of several networks are separate modules.

    Args:
        name: the folder, one of `available`.

    Raises:
        InputError: there is no such folder or file.
    """
    if name not in available():
        raise InputError(f"there is no network {name!r}; known are {', '.join(available())}.")
    if name not in _modules:
        path = _folder() / name / "model.py"
        if not path.is_file():
            raise InputError(
                f"{path} is missing; clone the whole repository, or install cxr14 from it with pip."
            )
        spec = importlib.util.spec_from_file_location(f"cxr14.models.zoo:{name}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look up the module of their class there
        spec.loader.exec_module(module)
        _modules[name] = module
    return _modules[name]


def _folder() -> Path:
    """Return the folder that holds the numbered folders, in a clone and in an installed package."""
    return _INSTALLED if _INSTALLED.is_dir() else ROOT
