"""What the para-test scripts do: a network's table of parameters, its MACs, size and latency."""

from collections.abc import Callable

import torch
from torch import nn

from cxr14.models import profile
from cxr14.settings import ParaTestSettings


def para_test(build_model: Callable[..., nn.Module], settings: ParaTestSettings) -> None:
    """Print what a network costs.

    Args:
        build_model: builds the network.
        settings: the size of its images.
    """
    size = settings.image_size
    model = build_model(pretrained=False, image_size=size)
    rows = profile.parameters_table(model)
    widths = [max(len(str(row[column])) for row in rows) for column in range(3)]
    for name, shape, count in rows:
        print(f"{name:<{widths[0]}}  {shape!s:<{widths[1]}}  {count:>{widths[2]}}")
    print(f"The total number of parameters: {profile.total_parameters(model)}")
    print(f"Total FLOPs: {float(profile.macs(model, size))}")
    print(f"MACs with attention, without normalisation: {profile.macs_with_attention(model, size)}")
    print(f"Size on disk: {profile.size_on_disk(model) / 1e6:.1f} MB")
    threads = torch.get_num_threads()
    milliseconds = profile.latency(model, size) * 1e3
    print(f"Latency of one image on this CPU, {threads} threads: {milliseconds:.1f} ms (median)")
