"""The entry of the para-test scripts."""

from collections.abc import Callable

import torch
from torch import nn

from cxr14.models import profile
from cxr14.settings import ParaTestSettings


def para_test(build_model: Callable[..., nn.Module], settings: ParaTestSettings) -> None:
    """Print the parameters, MACs, size on disk and latency of a network.

    Args:
        build_model: builds the network, as in ``model.py``.
        settings: settings of the script.
    """
    size = settings.image_size
    model = build_model(pretrained=False, image_size=size)
    _print_table(profile.parameters_table(model))
    print(f"The total number of parameters: {profile.total_parameters(model)}")
    print(f"Total FLOPs: {float(profile.macs(model, size))}")
    print(f"MACs with attention, without normalisation: {profile.macs_with_attention(model, size)}")
    print(f"Size on disk: {profile.size_on_disk(model) / 1e6:.1f} MB")
    milliseconds = 1e3 * profile.latency(model, size)
    threads = torch.get_num_threads()
    print(f"Latency of one image on this CPU, {threads} threads: {milliseconds:.1f} ms (median)")


def _print_table(rows: list[tuple[str, tuple[int, ...], int]]) -> None:
    name_width, shape_width, count_width = (max(len(str(row[i])) for row in rows) for i in range(3))
    for name, shape, count in rows:
        print(f"{name:<{name_width}}  {shape!s:<{shape_width}}  {count:>{count_width}}")
