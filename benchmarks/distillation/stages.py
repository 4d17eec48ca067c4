"""The stages of the experiment: which runs each of them holds."""

from collections.abc import Callable

from benchmarks.distillation.regimes import Regime
from benchmarks.distillation.runs import Run

STUDENT, OFA, CHEXNET = "1-EEEA-Net-C2", "2-OFA-595", "3-CheXNet"


def map_of_regimes() -> list[Run]:
    """Return stage 0: the student and possible teachers alone, each at two lengths.

    A network is at its plateau where twice the epochs raise its validation AUROC by less than 0.003.
    """
    return [
        Run(Regime(train_count=count, image_size=size, epochs=epochs), network)
        for count, size, lengths in ((5_000, 64, (16, 32)), (1_000, 64, (40, 80)))
        for epochs in lengths
        for network in (STUDENT, CHEXNET)
    ]


STAGES: dict[str, Callable[[], list[Run]]] = {"map": map_of_regimes}
