"""The stages of the experiment: which runs each of them holds."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

from benchmarks.distillation.arms import ARMS, BY_NAME, Arm
from benchmarks.distillation.regimes import LEARNING_RATES, Regime
from benchmarks.distillation.runs import Run
from cxr14.models.zoo import NAMES
from cxr14.settings import STUDENT

Budget = Literal["cores", "gpu"]
"""What can be had: hours of two cores, or of a GPU."""

OFA, CHEXNET, VISFORMER, AUTOFORMER = NAMES[1:]

TAUGHT_IN = Regime(train_count=2_000, difficulty="easy", epochs=24)
"""The regime of the teachers, who are at their plateau there."""

FIT = replace(TAUGHT_IN, epochs=48, learning_rate=9e-3)
"""The regime in which the arms are compared on two cores, and at twice its length."""

SCREENED = replace(FIT, epochs=24)
"""The regime of the screening, half as long."""

_TEACHERS = {
    "none": (),
    "best": (CHEXNET,),
    "two": (OFA, CHEXNET),
    "three": (OFA, CHEXNET, VISFORMER),
    "five": NAMES,
    "itself": (STUDENT,),
}

_ON_CORES = (
    "labels",
    "labels, smoothed",
    "labels, light mixup",
    "labels, clipped",
    "study",
    "bernoulli",
    "matching",
    "matching, T 2",
    "matching, T 4",
    "matching, T 8",
    "matching, T 4, w 0",
    "matching, T 4, w 0.5",
    "matching, T 4, light mixup",
    "matching, T 4, correlation",
    "matching, T 4, rank",
    "two teachers",
    "two by finding",
    "control: itself",
    "control: permuted",
    "control: doubled",
)
"""Arms of the screening on two cores; a GPU has all of them."""

FINALISTS = ("labels", "bernoulli", "matching, T 4")
"""Arms with all seeds and two lengths, chosen on the validation AUROC of the screening."""

RATES = (0.001, 0.003, 0.006, 0.009, 0.027)
"""Learning rates of the student that are compared."""

RATE_SEEDS = 3
"""Seeds at each of them: at a high rate some trainings lag behind, which one seed does not show."""

TEACHER_RATES = (0.0003, 0.001, 0.003)
"""Learning rates of the best teacher that are compared."""

FINALIST_SEEDS = 5
_HARDER = Regime(train_count=5_000)
"""A regime with signs that are harder to see."""

_LARGER = (_HARDER, Regime(train_count=20_000, epochs=12))
FINALIST_REGIMES = {FIT: TAUGHT_IN} | {regime: regime for regime in _LARGER}
"""The regimes of the finalists, each with that of their teachers; on two cores the first alone."""


def map_of_regimes(budget: Budget) -> list[Run]:
    """Return stage 0: the student and possible teachers alone, each at two lengths.

    A network is at its plateau where twice the epochs raise its validation AUROC by less than 0.003.
    """
    regimes = [TAUGHT_IN, _HARDER, Regime(train_count=1_000, epochs=40)]
    networks = (CHEXNET, STUDENT)
    if budget == "gpu":
        networks = (*NAMES[1:], STUDENT)
        regimes += [
            Regime(train_count=count, image_size=size, epochs=epochs, label_noise=noise)
            for count, epochs in ((1_000, 40), (5_000, 16), (20_000, 12))
            for size in (64, 96, 128)
            for noise in (0.08, 0.0)
        ]
    at_its_best_rate = [Run(SCREENED.times(length), STUDENT) for length in (1, 2, 4)]
    return [
        Run(regime.times(length), network)
        for regime in dict.fromkeys(regimes)
        for length in (1, 2)
        for network in networks
    ] + at_its_best_rate


def screening(budget: Budget) -> list[Run]:
    """Return every arm with two seeds, in half of the finalists' epochs."""
    names = [arm.name for arm in ARMS] if budget == "gpu" else _ON_CORES
    return [
        run for seed in (0, 1) for name in names for run in _runs(BY_NAME[name], SCREENED, seed, TAUGHT_IN)
    ]


def rates(_: Budget) -> list[Run]:
    """Return the finalists at several learning rates and two lengths, so that none is compared at a rate that
    suits another, and their teacher at several."""
    students = [
        run
        for regime, taught_in in ((SCREENED, TAUGHT_IN), (FIT, TAUGHT_IN), (_HARDER, _HARDER))
        for rate in RATES
        for seed in range(RATE_SEEDS)
        for name in FINALISTS
        for run in _runs(BY_NAME[name], _at(regime, rate, STUDENT), seed, taught_in)
    ]
    return [Run(_at(TAUGHT_IN, rate, CHEXNET), CHEXNET) for rate in TEACHER_RATES] + students


def finalists(budget: Budget, length: int = 1) -> list[Run]:
    """Return the finalists with all seeds, in `length` times their epochs.

    On a GPU they are trained in larger regimes too.
    """
    return [
        run
        for regime, taught_in in list(FINALIST_REGIMES.items())[: None if budget == "gpu" else 1]
        for seed in range(FINALIST_SEEDS)
        for name in FINALISTS
        for run in _runs(BY_NAME[name], regime.times(length), seed, taught_in)
    ]


STAGES: dict[str, Callable[[Budget], list[Run]]] = {
    "map": map_of_regimes,
    "screening": screening,
    "rates": rates,
    "finalists": finalists,
    "longer": partial(finalists, length=2),
}


def _at(regime: Regime, rate: float, network: str) -> Regime:
    """Return the regime at a learning rate of a network; None stands for the network's own."""
    return replace(regime, learning_rate=None if rate == LEARNING_RATES[network] else rate)


def _runs(arm: Arm, regime: Regime, seed: int, taught_in: Regime) -> list[Run]:
    """Return the run of an arm. A sharper teacher comes with a control on radiographs drawn for it.

    A teacher is trained once, with seed 0 and in the regime `taught_in`, on the list that its students have.
    """
    if arm.teaching != "sharper":
        teachers = tuple(Run(taught_in, network) for network in _TEACHERS[arm.teaching])
        return [Run(regime, STUDENT, arm.name, seed, teachers, arm.flags, arm.control)]
    size = 2 * regime.image_size
    drawn = replace(regime, drawn_for=size)
    teachers = (Run(replace(taught_in, image_size=size), CHEXNET),)
    flags = {**arm.flags, "sharper-teacher": None}
    return [Run(drawn, STUDENT, "labels", seed), Run(drawn, STUDENT, arm.name, seed, teachers, flags)]
