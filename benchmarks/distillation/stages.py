"""The stages of the experiment: which runs each of them holds."""

from collections.abc import Callable
from dataclasses import replace

from benchmarks.distillation.regimes import Regime
from benchmarks.distillation.runs import Run

STUDENT, OFA, CHEXNET = "1-EEEA-Net-C2", "2-OFA-595", "3-CheXNet"


def map_of_regimes() -> list[Run]:
    """Return stage 0: the student and possible teachers alone, each at two lengths.

    A network is at its plateau where twice the epochs raise its validation AUROC by less than 0.003.
    """
    easy = Regime(train_count=2_000, image_size=64, difficulty="easy")
    lengths = [(easy, (24, 48))]
    lengths += [(Regime(train_count=5_000), (16, 32)), (Regime(train_count=1_000), (40, 80))]
    return [
        Run(replace(regime, epochs=epochs), network)
        for regime, both in lengths
        for epochs in both
        for network in (CHEXNET, STUDENT)
    ]


STAGES: dict[str, Callable[[], list[Run]]] = {"map": map_of_regimes}
