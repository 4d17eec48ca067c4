"""Networks with random weights, and the wrappings in which weights are published."""

import torch
from torch import Tensor, nn

from cxr14.models import checkpoint, zoo

SMALLEST = "1-EEEA-Net-C2"


def about(**changes: object) -> checkpoint.About:
    return checkpoint.About(**{"network": SMALLEST, "image_size": 64} | changes)


def fresh(name: str = SMALLEST, outputs: int = 14, image_size: int = 64, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return zoo.build(name, outputs, pretrained=False, image_size=image_size)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)


WRAPPINGS = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {}}},
    "model": lambda state: {"model": state, "config": None},
    "DataParallel": lambda state: {"state_dict": {f"module.{key}": state[key] for key in state}},
}
