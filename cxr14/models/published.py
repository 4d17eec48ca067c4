"""Published weight files, translated to timm's tensor names."""

import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from timm.layers import resample_abs_pos_embed_nhwc, resize_rel_pos_bias_table
from torch import Tensor, nn

from cxr14.errors import InputError

Tensors = dict[str, Tensor]

_MOST_LISTED = 3  # tensor names of each kind in an error

# What torch.load(weights_only=True) says of a pickle that calls functions or creates objects.
_CODE = re.compile(
    "unsupported (global|class)|module .* is blocked|call reduce|create new object|can only build",
    re.IGNORECASE,
)
_CALLS = ("REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD")  # of pickle


def read_file(path: Path) -> object:
    """Read a .pth, .pt, .pth.tar or .safetensors file on the CPU, without running code in it.

    Raises:
        InputError: the file is missing, broken, of another kind, or contains code.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}; train the network first, or give the path of one.")
    _require_uncompressed(path)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds of exception for broken bytes
        if _contains_code(path, error):
            raise InputError(
                f"{path} is dangerous: besides weights it contains objects, which can run code when they are "
                "loaded; it is not loaded. Use a file with the state dict alone."
            ) from error
        raise InputError(
            f"{path} is no checkpoint, or it is truncated or corrupt; copy or make it again."
        ) from error


def state_dict_of(content: object, origin: str) -> Tensors:
    """Return the tensors in a file's content: a bare state dict, or one under ``state_dict`` or ``model``.

    Args:
        content: what `read_file` returned.
        origin: how an error names the file.

    Raises:
        InputError: there are no tensors in it.
    """
    for wrapping in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapping), Mapping):
            content = content[wrapping]
    is_mapping = isinstance(content, Mapping) and bool(content)
    if not is_mapping or not all(isinstance(k, str) and torch.is_tensor(v) for k, v in content.items()):
        raise InputError(
            f"{origin} holds no state dict; a mapping from names to tensors is expected, such as model1.pth; "
            "a snapshot, model1.last.pth, is for --resume alone."
        )
    return dict(content)


def fill(model: nn.Module, tensors: Tensors, origin: str, require_classifier: bool = False) -> int | None:
    """Load published tensors into a network: all, or all but a classifier with other outputs.

    Args:
        model: a network; one that is not timm's must use the same tensor names as the file.
        tensors: a state dict in any published naming.
        origin: how messages name the file.
        require_classifier: refuse a classifier with another number of outputs; otherwise the network keeps
            its own.

    Returns:
        The number of outputs of the file's classifier; None: the network has no classifier that is known.

    Raises:
        InputError: a tensor is missing, unknown or of another shape; the first of each kind are listed. The
            network is not changed then.
    """
    expected = model.state_dict()
    tensors = _resample_position_tables(translate(tensors, model), expected, model, origin)
    classifier = _classifier_keys(model, expected)
    outputs = next((len(tensors[key]) for key in classifier if key in tensors and tensors[key].dim()), None)
    if _differ_in_outputs_only(tensors, expected, classifier):
        here = expected[classifier[0]].shape[0]
        if require_classifier:
            raise InputError(f"{origin} has {outputs} outputs, but {here} are expected.")
        print(f"{origin} has {outputs} outputs, this network {here}: all but the classifier is loaded.")
        tensors = tensors | {key: expected[key] for key in classifier}
    # PyTorch before 0.4.1 did not store this counter; it only matters to BatchNorm without momentum.
    counters = {key: expected[key] for key in expected if key.endswith("num_batches_tracked")}
    tensors = counters | tensors
    _require_same_shapes(model, tensors, expected, origin)
    model.load_state_dict(tensors)
    return outputs


def translate(tensors: Tensors, model: nn.Module) -> Tensors:
    """Rename published tensors to timm's names; other names stay as they are.

    Known are DataParallel's ``module.``, arnoweng/CheXNet, jitdee-ai/darmo, danczs/Visformer and
    microsoft/Cream AutoFormerV2.

    Args:
        tensors: a state dict.
        model: the network that they belong to.
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
    # Masks and indices follow from the window size; the network computes them.
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
    """Return the renaming for darmo's files.

    Args:
        places: the positions in timm's stages of darmo's blocks 0, 1, 2, …, then of its final_expand_layer.
    """

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


def _require_uncompressed(path: Path) -> None:
    """Refuse a zip archive whose content is larger than the file: kilobytes could fill the memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return  # no archive; or a broken one, which is not loaded either
    if unpacked > path.stat().st_size:
        raise InputError(
            f"{path} is compressed: {unpacked / 1e6:.0f} MB in {path.stat().st_size / 1e6:.1f}. PyTorch does "
            "not compress weights, so it is not loaded."
        )


def _contains_code(path: Path, error: Exception) -> bool:
    # torch says "Weights only load failed" both for forbidden objects and for bytes that are no pickle.
    if "TorchScript archive" in str(error) or _CODE.search(str(error)):
        return True
    try:  # a file of pickle itself, whose newer protocols torch does not read
        with path.open("rb") as file:
            opcodes = {opcode.name for opcode, _, _ in pickletools.genops(file)}
    except ValueError:  # it is no pickle
        return False
    return not opcodes.isdisjoint(_CALLS)


def _resample_position_tables(tensors: Tensors, expected: Tensors, model: nn.Module, origin: str) -> Tensors:
    resampled = {}
    for key in expected.keys() & tensors.keys():
        old, new = tensors[key], expected[key]
        if old.shape == new.shape or old.dim() != new.dim():
            continue
        # (1, channels, rows, columns)
        if re.fullmatch(r"pos_embed\d", key) and old.shape[:2] == new.shape[:2]:
            channels_last = resample_abs_pos_embed_nhwc(old.permute(0, 2, 3, 1), list(new.shape[2:]))
            resampled[key] = channels_last.permute(0, 3, 1, 2)
        # (offsets, heads)
        elif key.endswith(".relative_position_bias_table") and old.shape[1] == new.shape[1]:
            window = model.get_submodule(key.rpartition(".")[0]).window_size
            with warnings.catch_warnings():  # timm indexes in a way that torch calls deprecated
                warnings.simplefilter("ignore", UserWarning)
                resampled[key] = resize_rel_pos_bias_table(old, window, new.shape)
    if resampled:
        print(f"{origin}: {len(resampled)} position tables are resampled to this image size.")
    return tensors | resampled


def _classifier_keys(model: nn.Module, expected: Tensors) -> list[str]:
    """Return the names of the classifier's weight and bias; outside timm, those of the last linear layer."""
    if hasattr(model, "get_classifier"):
        classifier = model.get_classifier()
    else:
        classifier = next((m for m in reversed(list(model.modules())) if isinstance(m, nn.Linear)), None)
    names = [name for name, module in model.named_modules() if module is classifier]
    keys = [f"{name}.{tensor}".removeprefix(".") for name in names for tensor in ("weight", "bias")]
    return [key for key in keys if key in expected]


def _differ_in_outputs_only(tensors: Tensors, expected: Tensors, keys: list[str]) -> bool:
    if not keys or any(key not in tensors for key in keys):
        return False
    if any(tensors[key].shape[1:] != expected[key].shape[1:] for key in keys):
        return False
    outputs = {tuple(tensors[key].shape[:1]) for key in keys}
    return len(outputs) == 1 and outputs != {tuple(expected[keys[0]].shape[:1])}


def _require_same_shapes(model: nn.Module, tensors: Tensors, expected: Tensors, origin: str) -> None:
    differences = {
        "missing": [key for key in expected if key not in tensors],
        "unknown": [key for key in tensors if key not in expected],
        "of another shape": [
            f"{key} {tuple(tensors[key].shape)} for {tuple(expected[key].shape)}"
            for key in expected
            if key in tensors and tensors[key].shape != expected[key].shape
        ],
    }
    messages = []
    for difference, keys in differences.items():
        if keys:
            more = ", …" if len(keys) > _MOST_LISTED else ""
            messages.append(f"{len(keys)} tensors {difference} ({', '.join(keys[:_MOST_LISTED])}{more})")
    if messages:
        raise InputError(f"{origin} does not fit this {type(model).__name__}: {'; '.join(messages)}.")
