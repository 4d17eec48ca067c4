"""Weight files as the field publishes them, translated to the names that timm's networks use.

Each file is read without running any code in it, translated tensor by tensor, and must fit exactly.
"""

import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from timm.layers import resample_abs_pos_embed_nhwc, resize_rel_pos_bias_table
from torch import Tensor, nn

from cxr14.errors import InputError

Tensors = dict[str, Tensor]

_LISTED = 3  # keys that an error shows of each kind


def read_file(path: Path) -> object:
    """Read what a .pth, .pt, .pth.tar or .safetensors file holds, on the CPU, without running code in it.

    Raises:
        InputError: the file is missing, truncated, of another kind, or holds more than plain data.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}; train the network first, or give the path of one.")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch says "Weights only load failed" both for forbidden objects and for bytes that are no pickle.
        if "Unsupported global" in str(error) or "Unsupported class" in str(error):
            raise InputError(
                f"{path} holds objects besides weights, which could run code and are never loaded; "
                "save its state dict alone."
            ) from error
        raise _unreadable(path) from error
    except Exception as error:  # torch.load meets broken bytes with many kinds of exception
        raise _unreadable(path) from error


def state_dict_of(content: object, origin: str) -> Tensors:
    """Find the tensors in what a file holds: a bare state dict, or one under ``state_dict`` or ``model``.

    Args:
        content: what `read_file` returned.
        origin: how an error names the file.

    Raises:
        InputError: there are no tensors in it.
    """
    for wrapping in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapping), Mapping):
            content = content[wrapping]
    if not isinstance(content, Mapping) or not content or not all(map(torch.is_tensor, content.values())):
        raise InputError(f"{origin} holds no state dict; a mapping from names to tensors is expected.")
    return dict(content)


def fill(model: nn.Module, tensors: Tensors, origin: str, whole: bool = False) -> None:
    """Fill a network with published tensors: all of them, or all but a classifier of other outputs.

    Args:
        model: a network of the zoo.
        tensors: a state dict in any published naming.
        origin: how messages name the file.
        whole: refuse a classifier with another number of outputs instead of leaving the network's own.

    Raises:
        InputError: a tensor is missing, unknown or of another shape; the first of each are listed.
    """
    expected = model.state_dict()
    tensors = _at_this_size(translate(tensors, model), expected, model, origin)
    kept = _classifier_to_keep(model, tensors, expected)
    if kept:
        had, has = (side[kept[0]].shape[0] for side in (tensors, expected))
        if whole:
            raise InputError(f"{origin} has {had} outputs, but {has} are expected.")
        print(f"{origin} has {had} outputs, this network {has}: everything but the classifier is loaded.")
        tensors.update({key: expected[key] for key in kept})
    # PyTorch before 0.4.1 did not store this counter; it only matters to BatchNorm without momentum.
    tensors = {key: expected[key] for key in expected if key.endswith("num_batches_tracked")} | tensors
    _require_same_keys(model, tensors, expected, origin)
    model.load_state_dict(tensors)


def translate(tensors: Tensors, model: nn.Module) -> Tensors:
    """Rename published tensors to timm's names; what is named so already stays as it is.

    Known are DataParallel's ``module.``, arnoweng/CheXNet, jitdee-ai/darmo, danczs/Visformer and
    microsoft/Cream AutoFormerV2.

    Args:
        tensors: a state dict.
        model: the network that it is meant for.
    """
    tensors = {key.removeprefix("module."): tensor for key, tensor in tensors.items()}
    if "densenet121.features.conv0.weight" in tensors or "features.conv0.weight" in tensors:
        rename = _from_torchvision_densenet
    elif "first_conv.conv.weight" in tensors:
        stages = enumerate(getattr(model, "blocks", ()))
        rename = _from_darmo([f"{number}.{block}" for number, stage in stages for block in range(len(stage))])
    elif "stem.1.bn.weight" in tensors:
        rename = _from_visformer
    elif "layers.0.downsample.reduction.weight" in tensors:
        rename = _from_autoformer
    else:
        return dict(tensors)
    # Masks and indices follow from the window size; a network works them out for itself.
    derived = ("attn_mask", "relative_position_index")
    return {rename(key): tensor for key, tensor in tensors.items() if not key.endswith(derived)}


def _from_torchvision_densenet(key: str) -> str:
    key = key.removeprefix("densenet121.").replace("classifier.0.", "classifier.")
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", key)


def _from_visformer(key: str) -> str:
    return key.replace(".bn.", ".")


def _from_autoformer(key: str) -> str:
    # The published network reduces at the end of a stage, timm's at the start of the next.
    key = re.sub(r"^layers\.(\d+)\.downsample", lambda found: f"layers.{int(found[1]) + 1}.downsample", key)
    return re.sub(r"^head\.", "head.fc.", key)


_DARMO_ENDS = {
    "first_conv.conv": "conv_stem",
    "first_conv.bn": "bn1",
    "feature_mix_layer.conv": "conv_head",
    "classifier.linear": "classifier",
}
_DARMO_SEPARABLE = {
    "depth_conv.conv": "conv_dw",
    "depth_conv.bn": "bn1",
    "point_linear.conv": "conv_pw",
    "point_linear.bn": "bn2",
}
_DARMO_RESIDUAL = {
    "inverted_bottleneck.conv": "conv_pw",
    "inverted_bottleneck.bn": "bn1",
    "depth_conv.conv": "conv_dw",
    "depth_conv.bn": "bn2",
    "depth_conv.se.fc.reduce": "se.conv_reduce",
    "depth_conv.se.fc.expand": "se.conv_expand",
    "point_linear.conv": "conv_pwl",
    "point_linear.bn": "bn3",
}


def _from_darmo(places: list[str]) -> Callable[[str], str]:
    """`places`: where darmo's blocks 0, 1, 2, … stand in timm's stages; last comes its final_expand_layer."""

    def rename(key: str) -> str:
        layer, _, tensor = key.rpartition(".")
        if found := re.fullmatch(r"blocks\.(\d+)\.mobile_inverted_conv\.(.+)", layer):
            number, part = int(found[1]), found[2]
            parts = _DARMO_RESIDUAL if number else _DARMO_SEPARABLE
            if number < len(places) and part in parts:
                return f"blocks.{places[number]}.{parts[part]}.{tensor}"
        elif places and (found := re.fullmatch(r"final_expand_layer\.(conv|bn)", layer)):
            return f"blocks.{places[-1]}.{found[1]}{'1' if found[1] == 'bn' else ''}.{tensor}"
        return f"{_DARMO_ENDS.get(layer, layer)}.{tensor}"

    return rename


def _at_this_size(tensors: Tensors, expected: Tensors, model: nn.Module, origin: str) -> Tensors:
    resized = {}
    for key in expected.keys() & tensors.keys():
        old, new = tensors[key], expected[key]
        if old.shape == new.shape or old.dim() != new.dim():
            continue
        # (1, channels, rows, columns)
        if re.fullmatch(r"pos_embed\d", key) and old.shape[:2] == new.shape[:2]:
            by_rows = resample_abs_pos_embed_nhwc(old.permute(0, 2, 3, 1), list(new.shape[2:]))
            resized[key] = by_rows.permute(0, 3, 1, 2)
        # (offsets, heads)
        elif key.endswith(".relative_position_bias_table") and old.shape[1] == new.shape[1]:
            window = model.get_submodule(key.rpartition(".")[0]).window_size
            with warnings.catch_warnings():  # timm indexes in a way that torch calls deprecated
                warnings.simplefilter("ignore", UserWarning)
                resized[key] = resize_rel_pos_bias_table(old, window, new.shape)
    if resized:
        print(f"{origin}: {len(resized)} position tables are resampled to this image size.")
    return tensors | resized


def _classifier_to_keep(model: nn.Module, tensors: Tensors, expected: Tensors) -> list[str]:
    classifier = next(name for name, module in model.named_modules() if module is model.get_classifier())
    keys = [f"{classifier}.weight", f"{classifier}.bias"]
    if any(key not in tensors or tensors[key].dim() != expected[key].dim() for key in keys):
        return []
    outputs = {tensors[key].shape[0] for key in keys}
    alike_but_for_outputs = all(tensors[key].shape[1:] == expected[key].shape[1:] for key in keys)
    other = len(outputs) == 1 and outputs != {expected[keys[0]].shape[0]}
    return keys if other and alike_but_for_outputs else []


def _require_same_keys(model: nn.Module, tensors: Tensors, expected: Tensors, origin: str) -> None:
    differences = {
        "missing": [key for key in expected if key not in tensors],
        "unknown": [key for key in tensors if key not in expected],
        "of another shape": [
            f"{key} {tuple(tensors[key].shape)} for {tuple(expected[key].shape)}"
            for key in expected
            if key in tensors and tensors[key].shape != expected[key].shape
        ],
    }
    told = [
        f"{len(keys)} tensors {what} ({', '.join(keys[:_LISTED])}{', …' if len(keys) > _LISTED else ''})"
        for what, keys in differences.items()
        if keys
    ]
    if told:
        raise InputError(f"{origin} does not fit this {type(model).__name__}: {'; '.join(told)}.")


def _unreadable(path: Path) -> InputError:
    return InputError(f"{path} is no checkpoint, or it is truncated or corrupt; copy or make it again.")
