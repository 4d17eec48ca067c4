"""The five networks by the name of their folder: each ``model.py`` loaded by its path, side by side."""

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from cxr14.errors import InputError
from cxr14.settings import ROOT

if TYPE_CHECKING:  # torch takes seconds to load, and a name needs none of it
    from torch import nn

NAMES: tuple[str, ...] = (
    "1-EEEA-Net-C2",
    "2-OFA-595",
    "3-CheXNet",
    "4-Visformer-small",
    "5-AutoFormerV2-base",
)
"""The folders, in the study's order."""

TIMM_NAMES: dict[str, str] = {"eeea_net_c2": NAMES[0], "ofa_595": NAMES[1]}
"""What `timm.create_model` calls the two networks that timm does not have itself."""

SMALLEST_IMAGE = 32
"""Pixels: every network halves its image five times."""


def build(name: str, num_classes: int = 14, pretrained: bool = True, image_size: int = 224) -> "nn.Module":
    """Build one of the five networks.

    Args:
        name: its folder, one of `NAMES`.
        num_classes: outputs; 1000 for the published classifier.
        pretrained: take the published ImageNet-1k weights, fetched once and kept; False: random weights.
        image_size: side of the square images that it will see, in pixels; 32 or more.

    Returns:
        A network (B, 3, image_size, image_size) float32, ImageNet-normalised -> (B, num_classes) logits.

    Raises:
        InputError: no such network, an image too small, or weights that cannot be had.
    """
    if image_size < SMALLEST_IMAGE:
        raise InputError(f"an image size of {image_size} is too small; {SMALLEST_IMAGE} pixels is the least.")
    build_model = _model_file(name).build_model
    return build_model(num_classes=num_classes, pretrained=pretrained, image_size=image_size)


def register_with_timm() -> None:
    """Let `timm.create_model` build EEEA-Net-C2 and OFA-595, with 1000 outputs unless told otherwise."""
    from timm.models import register_model

    for timm_name, name in TIMM_NAMES.items():
        register_model(_timm_entry(timm_name, name))


def _timm_entry(timm_name: str, name: str) -> "Callable[..., nn.Module]":
    def entry(
        pretrained: bool = False,
        pretrained_cfg: object = None,
        pretrained_cfg_overlay: object = None,
        cache_dir: object = None,
        num_classes: int = 1000,
    ) -> "nn.Module":
        if pretrained_cfg or pretrained_cfg_overlay or cache_dir:
            raise InputError(f"{timm_name} has one published file; leave out pretrained_cfg and cache_dir.")
        return build(name, num_classes, pretrained)

    entry.__name__ = timm_name
    entry.__doc__ = f"Build {name}."
    return entry


def _require_known(name: str) -> None:
    if name not in NAMES:
        raise InputError(f"{name!r} is none of the networks {', '.join(NAMES)}.")


def _model_file(name: str) -> ModuleType:
    _require_known(name)
    module_name = f"cxr14.models.zoo:{name}"  # no import statement can spell it, so it meets no other module
    if module_name not in sys.modules:
        path = ROOT / name / "model.py"
        if not path.is_file():
            raise InputError(f"{path} is missing; cxr14 works from a checkout of its repository.")
        spec = importlib.util.spec_from_file_location(module_name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]  # a half-loaded module would hide the error the next time
            raise
    return sys.modules[module_name]
