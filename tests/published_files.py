"""Files in the published formats, with weights that are computed instead of published.

tests/models/parity.json records, for each network, the names and shapes of the tensors in its published file,
and the logits that the published code gives for the weights and images of this module. A network that loads
the weights and gives the same logits is the published network.

| network | published format | outputs |
| --- | --- | --- |
| EEEA-Net-C2, OFA-595 | jitdee-ai/darmo, release 0.0.1: eeea-c2.pt, ofa595_1k_b1a18d5.pt | 1000 |
| CheXNet | arnoweng/CheXNet, model.pth.tar: DataParallel around torchvision's DenseNet-121 | 14 |
| Visformer-small | danczs/Visformer | 1000 |
| AutoFormerV2-base | microsoft/Cream, AutoFormerV2 S3-B | 1000 |

The recorded logits were computed in float64, CheXNet's before the sigmoid of its code.
"""

import functools
import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

RECORDED_OUTPUTS = 14
"""The logits of an ImageNet network are recorded for its first outputs only."""

_FILE = Path(__file__).parent / "models" / "parity.json"


def state_dict(network: str) -> dict[str, Tensor]:
    """Return a state dict with the names and shapes of a published file.

    Each tensor depends on its name, its shape, and the network's seed and gain alone.

    Args:
        network: folder of the network, such as 3-CheXNet.
    """
    facts = _facts(network)
    return {
        name: torch.from_numpy(_tensor(name, tuple(shape), facts["seed"], facts["gain"]))
        for name, shape in facts["tensors"].items()
    }


def empty_state_dict(network: str) -> dict[str, Tensor]:
    """Return zeros with the names and shapes of a published file; they use no memory."""
    return {name: torch.zeros(()).expand(shape) for name, shape in _facts(network)["tensors"].items()}


def outputs(network: str) -> int:
    """Return the number of outputs of the published network."""
    *_, bias_shape = _facts(network)["tensors"].values()
    return bias_shape[0]


def images(network: str) -> Tensor:
    """Return the (2, 3, 224, 224) float32 images, already normalised, for which the logits are recorded."""
    # The stream of RandomState is the same in every version of numpy, which default_rng does not promise.
    stream = np.random.RandomState(_facts(network)["seed"])
    return torch.from_numpy(stream.standard_normal((2, 3, 224, 224)).astype(np.float32))


def logits(network: str) -> Tensor:
    """Return the (2, 14) recorded logits of the published network for `images`."""
    return torch.tensor(_facts(network)["logits"], dtype=torch.float32)


@functools.cache
def _facts(network: str) -> dict:
    return json.loads(_FILE.read_text())[network.partition("-")[2]]


def _tensor(name: str, shape: tuple[int, ...], seed: int, gain: float) -> np.ndarray:
    kind = name.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return np.ones(shape, dtype=np.int64)
    stream = np.random.RandomState((zlib.crc32(name.encode()) + seed) & 0xFFFFFFFF)
    if kind == "running_var":
        values = stream.uniform(0.5, 1.5, shape)
    elif kind in ("running_mean", "bias", "relative_position_bias_table") or name.startswith("pos_embed"):
        values = 0.1 * stream.standard_normal(shape)
    elif len(shape) == 1:  # the scale of a normalisation layer
        values = stream.uniform(0.5, 1.3, shape)
    else:  # a convolution or linear layer: `gain` sets the variance of its outputs
        values = math.sqrt(gain / math.prod(shape[1:])) * stream.standard_normal(shape)
    return values.astype(np.float32)
