"""The published ImageNet-1k weights: found on this machine or downloaded once."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub
import torch
from torch import nn

from cxr14.errors import InputError
from cxr14.models import published

_TIMEOUT_SECONDS = 10.0  # without an answer, or without a byte
_HUB_FILE = "model.safetensors"


def initialize(model: nn.Module, pretrained: bool) -> nn.Module:
    """Load a network's published ImageNet-1k weights, if wanted.

    The file is looked for in torch.hub's folder of checkpoints (below TORCH_HOME) and in Hugging Face's cache
    (below HF_HOME). If neither has it, it is downloaded into the former, from HF_ENDPOINT if that is set.

    Args:
        model: a network whose ``pretrained_cfg`` (timm's) says where the weights are published.
        pretrained: whether to load them; False changes nothing.

    Returns:
        The same network. A classifier with other than the published number of outputs keeps its weights.

    Raises:
        InputError: the weights cannot be downloaded; the message gives their address, and where to put a file
            that was downloaded elsewhere.
    """
    if pretrained:
        path = _find_or_download(model.pretrained_cfg)
        published.fill(model, published.state_dict_of(published.read_file(path), str(path)), str(path))
    return model


def _find_or_download(timm_cfg: dict) -> Path:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    repository = timm_cfg.get("hf_hub_id")
    if not repository:
        url = timm_cfg["url"]
        path = folder / url.rpartition("/")[2]
        return path if path.is_file() else _download(url, path)
    path = folder / f"{repository.rpartition('/')[2]}.safetensors"
    if path.is_file():
        return path
    cached = huggingface_hub.try_to_load_from_cache(repository, _HUB_FILE)
    if isinstance(cached, str):
        return Path(cached)
    url = huggingface_hub.hf_hub_url(repository, _HUB_FILE)
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise _unavailable(url, path, "HF_HUB_OFFLINE is set")
    return _download(url, path)


def _download(url: str, path: Path) -> Path:
    # torch.hub tries once; without a network Hugging Face's own client retries for a minute.
    print(f"Downloading {url}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _socket_timeout():
            torch.hub.download_url_to_file(url, str(path))
        published.read_file(path)
    except (OSError, InputError) as error:
        path.unlink(missing_ok=True)  # the next run would take an incomplete file for the weights
        raise _unavailable(url, path, _reason(error)) from error
    return path


def _unavailable(url: str, path: Path, reason: str) -> InputError:
    return InputError(
        f"the published ImageNet-1k weights could not be downloaded from {url} ({reason}); download the file "
        f"elsewhere and put it at {path}, or train from random weights with --no-pretrained."
    )


@contextmanager
def _socket_timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_SECONDS)  # urllib, and so torch.hub, would wait forever
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _reason(error: Exception) -> str:
    if isinstance(error, InputError):
        return "the transfer was incomplete"
    return str(getattr(error, "reason", None) or error).strip() or type(error).__name__
