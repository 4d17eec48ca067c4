"""What a network costs: parameters, multiply-accumulates (MACs), bytes on disk, and time for one image.

MACs go by thop's rules, the study's: a convolution or linear layer one for each weight at each place;
normalisation four, average pooling one and softmax three for each value given out. Biases,
activations, the products inside attention and the mean over the whole image are left out.
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

# thop goes by a layer's exact type, and knows PyTorch's own. The mean over the whole image is none of the
# published EEEA-Net-C2's, OFA-595's and CheXNet's layers but a function that thop does not see.
_TIMM_RULES = {
    timm.layers.BatchNormAct2d: count_normalization,
    timm.layers.Linear: count_linear,
    nn.AdaptiveAvgPool2d: zero_ops,
}

_FEWEST_RUNS = 5


def parameters_table(model: nn.Module) -> list[tuple[str, tuple[int, ...], int]]:
    """Return a row (name, shape, count) for each trainable tensor, from the image to the logits."""
    return [(name, tuple(tensor.shape), tensor.numel()) for name, tensor in model.named_parameters()]


def total_parameters(model: nn.Module) -> int:
    """Return how many trainable numbers a network has; the running statistics of BatchNorm are none."""
    return sum(count for _, _, count in parameters_table(model))


def macs(model: nn.Module, image_size: int = 224) -> int:
    """Return the MACs of one image by thop's rules, which the study calls FLOPs.

    Args:
        model: a network of the zoo on the CPU; it stays as it is.
        image_size: side of the image in pixels.
    """
    # thop leaves buffers behind in the layers that it has no rule for.
    counted, _ = thop.profile(
        copy.deepcopy(model), inputs=(_image(image_size),), custom_ops=_TIMM_RULES, verbose=False
    )
    return int(counted)


def macs_with_attention(model: nn.Module, image_size: int = 224) -> int:
    """Return the MACs of one image's convolutions and matrix products, those inside attention among them.

    Half of what torch.utils.flop_counter gives, which counts a multiplication and an addition as two.

    Args:
        model: a network of the zoo on the CPU.
        image_size: side of the image in pixels.
    """
    with _evaluated(model), FlopCounterMode(display=False) as counter:
        model(_image(image_size))
    return counter.get_total_flops() // 2


def size_on_disk(model: nn.Module) -> int:
    """Return the bytes of a network's weights and running statistics as a file."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.tell()


def latency(model: nn.Module, image_size: int = 224, seconds: float = 1.0) -> float:
    """Return the median seconds that one image takes on this CPU, with as many threads as torch uses.

    Args:
        model: a network of the zoo on the CPU.
        image_size: side of the image in pixels.
        seconds: time to spend on measuring.
    """
    with _evaluated(model):
        image = _image(image_size)
        model(image)  # the first run allocates and chooses kernels
        times: list[float] = []
        while len(times) < _FEWEST_RUNS or sum(times) < seconds:
            start = time.perf_counter()
            model(image)
            times.append(time.perf_counter() - start)
    return statistics.median(times)


@contextmanager
def _evaluated(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def _image(size: int) -> torch.Tensor:
    return torch.zeros(1, 3, size, size)
