"""The published ImageNet-1k weights: found on this machine, or fetched once."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub
import torch
from torch import nn

from cxr14.errors import InputError
from cxr14.models import published

_PATIENCE = 10.0  # seconds without an answer, or without a byte, before the person is told
_HUB_FILE = "model.safetensors"


def load_imagenet(model: nn.Module) -> None:
    """Fill a network with its published ImageNet-1k weights; a classifier of other outputs stays fresh.

    The file is looked for in torch.hub's folder of checkpoints (below TORCH_HOME) and in Hugging Face's cache
    (below HF_HOME); else it is fetched into the former, from HF_ENDPOINT where that is set.

    Args:
        model: a network whose ``pretrained_cfg`` (timm's) says where the weights are published.

    Raises:
        InputError: they cannot be had; the message says where they lie and where a file put by hand is found.
    """
    url, path, cached = _places(model.pretrained_cfg)
    if cached is None and not path.is_file():
        if "hf_hub_id" in model.pretrained_cfg and huggingface_hub.constants.HF_HUB_OFFLINE:
            raise _out_of_reach(url, path, "HF_HUB_OFFLINE is set")
        _fetch(url, path)
    found = cached or path
    published.fill(model, published.state_dict_of(published.read_file(found), str(found)), str(found))


def _places(timm_cfg: dict) -> tuple[str, Path, Path | None]:
    """Where the weights are published, where they are kept here, and where Hugging Face's cache has them."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if repository := timm_cfg.get("hf_hub_id"):
        url = huggingface_hub.hf_hub_url(repository, _HUB_FILE)
        path = folder / (repository.rpartition("/")[2] + Path(_HUB_FILE).suffix)
        cached = huggingface_hub.try_to_load_from_cache(repository, _HUB_FILE)
        return url, path, Path(cached) if isinstance(cached, str) and not path.is_file() else None
    url = timm_cfg["url"]
    return url, folder / url.rpartition("/")[2], None


def _fetch(url: str, path: Path) -> None:
    # torch.hub tries once; Hugging Face's own client goes on for a minute on a machine without a network.
    print(f"Fetching {url}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _impatient_sockets():
            torch.hub.download_url_to_file(url, str(path))
        published.read_file(path)
    except (OSError, InputError) as error:
        path.unlink(missing_ok=True)  # a transfer that broke off would be taken for the weights the next time
        raise _out_of_reach(url, path, _reason(error)) from error


def _out_of_reach(url: str, path: Path, reason: str) -> InputError:
    return InputError(
        f"the published ImageNet-1k weights cannot be had from {url} ({reason}); fetch the file elsewhere "
        f"and put it at {path}, or train from scratch with --no-pretrained."
    )


@contextmanager
def _impatient_sockets() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)  # urllib, and so torch.hub, would wait for ever
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _reason(error: Exception) -> str:
    if isinstance(error, InputError):
        return "the transfer broke off"
    return str(getattr(error, "reason", None) or error).strip() or type(error).__name__
