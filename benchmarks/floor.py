"""Where the time of a training step goes on a CPU, and the floor that the machine sets.

    python -m benchmarks.floor                 # EEEA-Net-C2 at 224 px, batches of 16; 2 minutes
    python -m benchmarks.floor --threads 1     # beside other programs

The floor is computed: three times the network's MACs at the measured rate of a matrix product, plus the
bytes of the feature maps at the measured rate of a copy. A convolution reads its input and writes its output
forward, and reads both gradients and its input again backward; BatchNorm reads twice and writes once forward,
and twice and once backward; an activation reads and writes once each way. No real network reaches both rates:
depthwise convolutions have few operations for each byte. Writes benchmarks/results/floor-cpu.json.
"""

import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import tyro
from torch import nn
from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiled

from benchmarks.common import Settings, keep_result
from benchmarks.training import Bench, TrainingSettings
from benchmarks.turns import timed
from cxr14.models import profile, zoo
from cxr14.runtime import devices
from cxr14.settings import STUDENT

_PASSES = {"convolution": (2, 3), "BatchNorm": (3, 3), "activation": (2, 2)}
"""Times that a feature map crosses the memory, forward and backward, by kind of layer."""

_KINDS = {
    "convolution": ("convolution", "conv"),
    "BatchNorm": ("batch_norm",),
    "activation": ("hardswish", "relu", "gelu", "hardsigmoid", "silu", "sigmoid"),
    "optimizer and gradient norm": ("adam", "foreach", "norm", "clip"),
    "matrix products": ("addmm", "mm", "linear"),
    "pooling and sums": ("mean", "sum", "pool"),
    "elementwise": ("mul", "add", "div", "copy", "fill", "zero"),
}


@dataclass(kw_only=True)
class FloorSettings(Settings):
    """Settings of this benchmark."""

    network: str = STUDENT
    """Folder of the network."""
    image_size: int = 224
    """Side of the input, in pixels."""
    batch_size: int = 16
    """Radiographs in a step."""
    other_batch_sizes: tuple[int, ...] = (4, 8, 32)
    """Batch sizes that are timed by turns with it."""
    steps: int = 8
    """Steps of each."""
    threads: int = 0
    """As in a train script."""


def kind_of(operation: str) -> str:
    """Return the kind of work of one of torch's operations."""
    name = operation.lower().removeprefix("aten::")
    return next((kind for kind, parts in _KINDS.items() if any(part in name for part in parts)), "other")


def by_kind(step: partial, steps: int) -> dict[str, float]:
    """Return the milliseconds of a step by kind of work, from torch's profiler."""
    with profiled(activities=[ProfilerActivity.CPU], acc_events=True) as found:
        for _ in range(steps):
            step()
    total: dict[str, float] = defaultdict(float)
    for entry in found.key_averages():
        total[kind_of(entry.key)] += entry.self_cpu_time_total / 1e3 / steps
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def feature_bytes(model: nn.Module, image_size: int) -> float:
    """Return the bytes that cross the memory for one image in a training step, float32."""
    total = 0.0
    hooks = []

    def count(kind: str, _module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        total += sum(_PASSES[kind]) / 2 * 4 * (inputs[0].numel() + output.numel())

    for module in model.modules():
        kind = None
        if isinstance(module, nn.Conv2d):
            kind = "convolution"
        elif isinstance(module, nn.BatchNorm2d):
            kind = "BatchNorm"
        elif isinstance(module, nn.Hardswish | nn.ReLU | nn.SiLU | nn.GELU | nn.Hardsigmoid):
            kind = "activation"
        if kind:
            hooks.append(module.register_forward_hook(partial(count, kind)))
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, image_size, image_size))
    for hook in hooks:
        hook.remove()
    return total


def matrix_rate(side: int = 1024, repeats: int = 8) -> float:
    """Return the GFLOP/s of a float32 matrix product."""
    a, b = torch.randn(side, side), torch.randn(side, side)
    timed(partial(torch.mm, a, b), 2, a.device)
    return repeats * 2 * side**3 / timed(partial(torch.mm, a, b), repeats, a.device) / 1e9


def memory_rate(megabytes: int = 256, repeats: int = 4) -> float:
    """Return the GB/s of reading and writing in a copy that no cache holds."""
    source = torch.zeros(megabytes << 18)
    target = torch.empty_like(source)
    target.copy_(source)
    return (
        repeats * 2 * (megabytes << 20) / timed(partial(target.copy_, source), repeats, source.device) / 1e9
    )


def main(settings: FloorSettings) -> None:
    """Measure, print and keep."""
    devices.choose("cpu")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    with tempfile.TemporaryDirectory() as folder:
        options = {"device": "cpu", "image_size": settings.image_size, "files": 2}
        sizes = (settings.batch_size, *settings.other_batch_sizes)
        bench = Bench(TrainingSettings(batch_size=sizes[0], **options), Path(folder))
        train_step = bench.train_step(settings.network)
        batches = {}
        for size in sizes:
            bench.settings = TrainingSettings(batch_size=size, **options)
            bench.load_batch()
            batches[size] = (bench.pictures, bench.labels)

        def step(size: int) -> None:
            bench.pictures, bench.labels = batches[size]
            bench.bare_step(train_step)

        seconds: dict[int, list[float]] = {size: [] for size in sizes}
        for number in range(settings.steps + 1):
            for size in sizes:
                began = time.perf_counter()
                step(size)
                if number:
                    seconds[size].append(time.perf_counter() - began)
        kinds = by_kind(partial(step, sizes[0]), max(settings.steps // 2, 1))
    rates = {str(size): size / float(torch.tensor(values).median()) for size, values in seconds.items()}
    network = zoo.build(settings.network, pretrained=False, image_size=settings.image_size)
    macs = profile.macs(network, settings.image_size)
    matrix, memory = matrix_rate(), memory_rate()
    crossing = feature_bytes(network, settings.image_size)
    arithmetic, traffic = 6 * macs / matrix / 1e6, crossing / memory / 1e6
    content = {
        "network": settings.network,
        "threads": torch.get_num_threads(),
        "batch size": settings.batch_size,
        "images/s by batch size": rates,
        "ms of a training image": 1e3 / rates[str(settings.batch_size)],
        "ms of a training image by kind of work": {
            kind: value / settings.batch_size for kind, value in kinds.items()
        },
        "matrix GFLOP/s": matrix,
        "memory GB/s": memory,
        "MB of feature maps that cross the memory, an image": crossing / 1e6,
        "floor, ms of a training image": {
            "arithmetic": arithmetic,
            "memory": traffic,
            "both after one another": arithmetic + traffic,
        },
    }
    keep_result(settings, "floor", torch.device("cpu"), content)


if __name__ == "__main__":
    main(tyro.cli(FloorSettings, description=__doc__))
