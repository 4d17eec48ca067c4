"""Parameters, MACs, size on disk and latency of a network.

MACs are counted by the rules of thop, as in the study. A convolution or linear layer has one for each weight
and output position. Normalisation has four, average pooling one and softmax three for each output value.
Biases, activations, the matrix products of attention and global average pooling are not counted.
"""

import copy
import io
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import thop
import timm.layers
import torch
from thop.vision.basic_hooks import count_linear, count_normalization, zero_ops
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

# thop finds the rule of a layer by its exact type and knows only PyTorch's own. Global average pooling is a
# function, not a layer, in the published EEEA-Net-C2, OFA-595 and CheXNet, so thop did not count it there.
_TIMM_RULES = {
    timm.layers.BatchNormAct2d: count_normalization,
    timm.layers.Linear: count_linear,
    nn.AdaptiveAvgPool2d: zero_ops,
}

_MINIMUM_RUNS = 5


def parameters_table(model: nn.Module) -> list[tuple[str, tuple[int, ...], int]]:
    """Return a row (name, shape, count) for each trainable tensor, in the order of the network."""
    return [(name, tuple(tensor.shape), tensor.numel()) for name, tensor in model.named_parameters()]


def total_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters; running statistics of BatchNorm are not counted."""
    return sum(count for _, _, count in parameters_table(model))


def macs(model: nn.Module, image_size: int = 224) -> int:
    """Return the MACs of one image by the rules of thop; the study calls them FLOPs.

    Args:
        model: a network on the CPU; it is not changed.
        image_size: side of the image in pixels.
    """
    # A copy, because thop adds buffers to the layers.
    counted, _ = thop.profile(
        copy.deepcopy(model), inputs=(_image(image_size),), custom_ops=_TIMM_RULES, verbose=False
    )
    return int(counted)


def macs_with_attention(model: nn.Module, image_size: int = 224) -> int:
    """Return the MACs of all convolutions and matrix products for one image, including those of attention.

    This is half of the count of torch.utils.flop_counter, where a multiplication and an addition are two.

    Args:
        model: a network on the CPU.
        image_size: side of the image in pixels.
    """
    with _inference(model), FlopCounterMode(display=False) as counter:
        model(_image(image_size))
    return counter.get_total_flops() // 2


def size_on_disk(model: nn.Module) -> int:
    """Return the size of a file with a network's weights and running statistics, in bytes."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.tell()


def latency(model: nn.Module, image_size: int = 224, seconds: float = 1.0) -> float:
    """Return the median time of one image on this CPU in seconds, with torch's number of threads.

    Args:
        model: a network on the CPU.
        image_size: side of the image in pixels.
        seconds: duration of the measurement; at least five runs are timed.
    """
    with _inference(model):
        image = _image(image_size)
        model(image)  # the first run allocates memory and chooses kernels
        times: list[float] = []
        while len(times) < _MINIMUM_RUNS or sum(times) < seconds:
            start = time.perf_counter()
            model(image)
            times.append(time.perf_counter() - start)
    return statistics.median(times)


@contextmanager
def _inference(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def _image(size: int) -> torch.Tensor:
    return torch.zeros(1, 3, size, size)
