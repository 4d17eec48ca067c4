"""The published result table of the study that this repository reproduces.

Source: the study's table of results, measured on the test list of arnoweng/CheXNet (22,433 radiographs, split
by patient into 70 / 10 / 20 %), averaged over ten crops. It gives neither intervals nor seeds.
"""

from typing import NamedTuple

SOURCE = (
    "The study's own table of results: test list of arnoweng/CheXNet (22,433 radiographs, split 70/10/20 by "
    "patient), ten crops; without intervals"
)

IMAGE_SIZE = 224
"""Side in pixels at which the study counted MACs."""


class Published(NamedTuple):
    """A row of the study's table; an AUROC is 0 to 1; the study gives two of some."""

    parameters: int
    macs: int
    """Counted with thop's rules."""
    alone: tuple[float, ...]
    taught: tuple[float, ...]
    """Of EEEA-Net-C2 when this network teaches it."""


# The two transformers were counted with their 1000 ImageNet outputs, the others with 14.
TABLE = {
    "EEEA-Net-C2": Published(4_732_838, 311_335_744, (0.802,), (0.814,)),
    "OFA-595": Published(7_620_446, 543_255_984, (0.817,), (0.826,)),
    "CheXNet": Published(6_968_206, 2_895_997_440, (0.838, 0.841), (0.837, 0.838)),
    "Visformer-small": Published(40_219_592, 4_757_290_496, (0.821,), (0.823,)),
    "AutoFormerV2-base": Published(71_125_762, 12_749_295_552, (0.815,), (0.825,)),
}
