"""Scoring on the CPU: what folded BatchNorm and small parts of a batch are worth.

    python -m benchmarks.scoring                            # EEEA-Net-C2 and CheXNet; a minute on 2 cores
    python -m benchmarks.scoring --networks 5-AutoFormerV2-base

Contestants take turns on one resident batch of radiographs, one crop each, in the processor's own time:
  before       the network as it is, the whole batch at a time;
  folded       BatchNorm folded into the convolutions, as the test scripts score;
  parts of N   N crops at a time, whose activations are smaller than the processor's cache;
and both together. The ratio is the median over the rounds. What ten crops of NIH's 25,596 test radiographs
take is computed from it. Writes benchmarks/results/scoring-cpu.json.
"""

import statistics
import time
from dataclasses import dataclass
from functools import partial

import torch
import tyro
from torch import nn

from benchmarks.common import Settings, keep_result
from cxr14.evaluation import inference
from cxr14.models import zoo
from cxr14.models.folding import fold
from cxr14.runtime import devices

TEST_LIST = 25_596
SIDE, IMAGE_SIZE = 256, 224
PARTS = (2, 4, 8)


@dataclass(kw_only=True)
class ScoringSettings(Settings):
    """Settings of this benchmark."""

    networks: tuple[str, ...] = ("1-EEEA-Net-C2", "3-CheXNet")
    """Folders of the networks."""
    batch_size: int = 32
    """Radiographs of the batch."""
    rounds: int = 5
    """Turns of each contestant."""
    image_size: int = IMAGE_SIZE
    """Side of a crop, in pixels."""


def contestants(model: nn.Module, image_size: int, batch_size: int) -> dict[str, tuple[nn.Module, int]]:
    """Return networks and the crops that they score at once, by name."""
    folded = fold(model, image_size)
    found = {"before": (model, batch_size), "folded": (folded, batch_size)}
    found |= {f"parts of {size}": (model, size) for size in PARTS if size < batch_size}
    found |= {f"folded, parts of {size}": (folded, size) for size in PARTS if size < batch_size}
    return found


@torch.inference_mode()
def score_in_parts(model: nn.Module, images: torch.Tensor, image_size: int, size: int) -> torch.Tensor:
    """Return the logits of the centre crops, computed `size` radiographs at a time."""
    return torch.cat([inference._forward(model, part, image_size, 1) for part in images.split(size)])


def row(settings: ScoringSettings, name: str) -> dict[str, object]:
    """Let the contestants of one network take turns."""
    torch.manual_seed(0)
    network = zoo.build(name, pretrained=False, image_size=settings.image_size).eval()
    model = devices.place(network, torch.device("cpu"))
    side = round(settings.image_size * SIDE / IMAGE_SIZE)
    images = torch.randint(0, 256, (settings.batch_size, side, side), dtype=torch.uint8)
    found = contestants(model, settings.image_size, settings.batch_size)
    seconds: dict[str, list[float]] = {kind: [] for kind in found}
    for number in range(settings.rounds + 1):
        for kind, (network, size) in found.items():
            score = partial(score_in_parts, network, images, settings.image_size, size)
            began = time.process_time()
            score()
            if number:  # the first one warms up
                seconds[kind].append(time.process_time() - began)
    ratios = {
        kind: statistics.median(a / b for a, b in zip(seconds["before"], values, strict=True))
        for kind, values in seconds.items()
    }
    core_ms = {kind: statistics.median(values) / len(images) * 1e3 for kind, values in seconds.items()}
    return {
        "what": name,
        "ms of a core, a radiograph": core_ms,
        "times as fast as before": ratios,
        "minutes of a core for ten crops of NIH's test list, computed": {
            kind: core_ms[kind] * 10 * TEST_LIST / 60e3 for kind in ("before", "folded")
        },
    }


def main(settings: ScoringSettings) -> None:
    """Measure, print and keep."""
    devices.choose("cpu")
    rows = [row(settings, name) for name in settings.networks]
    content = {"threads": torch.get_num_threads(), "rows": rows}
    keep_result(settings, "scoring", torch.device("cpu"), content)


if __name__ == "__main__":
    main(tyro.cli(ScoringSettings, description=__doc__))
