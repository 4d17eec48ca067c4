"""The stages of the experiment: which runs each of them holds."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Literal

from benchmarks.distillation.arms import BY_NAME, DEFAULT, Arm
from benchmarks.distillation.regimes import LEARNING_RATES, Regime
from benchmarks.distillation.runs import Run
from cxr14.models.zoo import NAMES
from cxr14.settings import STUDENT

Budget = Literal["cores", "gpu"]
"""What can be had: hours of two cores, or of a GPU."""

OFA, CHEXNET, VISFORMER, AUTOFORMER = NAMES[1:]

TAUGHT_IN = Regime(train_count=2_000, difficulty="easy", epochs=24)
"""The regime of the teachers, who are at their plateau there."""

FIT = TAUGHT_IN.times(2)
"""The regime in which the finalists are compared on two cores, and at twice its length."""

FINALIST_RATES = {"labels": 3e-3, DEFAULT: 9e-3, "matching, T 4": 3e-3}
"""The finalists, chosen on validation by the screening, each with its best learning rate in `FIT`."""

SCREENED = replace(TAUGHT_IN, learning_rate=FINALIST_RATES[DEFAULT])
"""The regime of the screening, half as long."""

_TEACHERS = {
    "none": (),
    "best": (CHEXNET,),
    "alike": (CHEXNET, CHEXNET),
    "two": (OFA, CHEXNET),
    "three": (OFA, CHEXNET, VISFORMER),
    "five": NAMES,
    "itself": (STUDENT,),
    "sharper": (CHEXNET,),
}

_OF_THE_SCREENING = (
    "labels",
    "labels, smoothed",
    "labels, light mixup",
    "labels, clipped",
    "study",
    "bernoulli",
    "matching",
    "matching, mixup",
    "matching, T 2",
    "matching, T 4",
    "matching, T 8",
    "matching, T 4, w 0",
    "matching, T 4, w 0.5",
    "matching, T 4, light mixup",
    "matching, T 4, correlation",
    "matching, T 4, rank",
    "two alike",
    "two alike, uncalibrated",
    "two teachers",
    "two by finding",
    "control: itself",
    "control: permuted",
    "control: doubled",
)
"""Arms of the screening."""

_SMALL = replace(TAUGHT_IN, image_size=32, drawn_for=64)
"""A regime that takes half the time or less: the radiographs of the others, seen at half their size."""

_OF_LARGE_TEACHERS = (
    "labels",
    DEFAULT,
    "two teachers",
    "three teachers",
    "five teachers",
    "five by finding",
    "sharper teacher",
)
"""Arms of `_SMALL`, because their teachers take long."""

_LARGE = replace(TAUGHT_IN, image_size=128)
"""A regime whose class activation maps have several cells."""

RATES = (0.001, 0.003, 0.006, 0.009, 0.027)
"""Learning rates of the student that are compared."""

RATE_SEEDS = 3
"""Seeds that a rate needs to be called the best: at a high one some trainings lag behind."""

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
    longest = Run(FIT.times(2), STUDENT)
    return [
        Run(regime.times(length), network)
        for regime in dict.fromkeys(regimes)
        for length in (1, 2)
        for network in networks
    ] + [longest]


def screening(_: Budget) -> list[Run]:
    """Return most arms, in half of the finalists' epochs."""
    return _screened(_OF_THE_SCREENING, TAUGHT_IN, SCREENED.learning_rate)


def several(_: Budget) -> list[Run]:
    """Return several teachers and a sharper one, with labels alone and the default, on small radiographs.

    Labels alone are far better at their own rate there than at that of the screening.
    """
    return _screened(_OF_LARGE_TEACHERS, _SMALL, None)


def maps(_: Budget) -> list[Run]:
    """Return what the maps add to the default, on radiographs that are large enough for them."""
    return _screened(("labels", DEFAULT, "bernoulli, maps"), _LARGE, SCREENED.learning_rate)


def _screened(names: Iterable[str], regime: Regime, learning_rate: float | None) -> list[Run]:
    """Return arms with two seeds, with teachers of the regime."""
    taught = replace(regime, learning_rate=learning_rate)
    return [_run(BY_NAME[name], taught, seed, regime) for seed in (0, 1) for name in names]


def rates(_: Budget) -> list[Run]:
    """Return the finalists and their teacher at several learning rates: one may suit another arm better.

    Shorter trainings and harder signs have one seed.
    """
    students = [
        _run(BY_NAME[name], _at(regime, rate, STUDENT), seed, taught_in)
        for regime, taught_in, seeds in (
            (TAUGHT_IN, TAUGHT_IN, 1),
            (FIT, TAUGHT_IN, RATE_SEEDS),
            (_HARDER, _HARDER, 1),
        )
        for rate in RATES
        for seed in range(seeds)
        for name in FINALIST_RATES
    ]
    return [Run(_at(TAUGHT_IN, rate, CHEXNET), CHEXNET) for rate in TEACHER_RATES] + students


def finalists(budget: Budget, length: int = 1) -> list[Run]:
    """Return the finalists with all seeds, in `length` times their epochs, each at its best learning rate.

    On a GPU they are trained in larger regimes too, and at all rates.
    """
    regimes = FINALIST_REGIMES if budget == "gpu" else {FIT: TAUGHT_IN}
    return [
        _run(BY_NAME[name], _at(regime.times(length), rate, STUDENT), seed, taught_in)
        for regime, taught_in in regimes.items()
        for seed in range(FINALIST_SEEDS)
        for name, best in FINALIST_RATES.items()
        for rate in (RATES if budget == "gpu" else (best,))
    ]


STAGES: dict[str, Callable[[Budget], list[Run]]] = {
    "map": map_of_regimes,
    "screening": screening,
    "several": several,
    "maps": maps,
    "rates": rates,
    "finalists": finalists,
    "longer": partial(finalists, length=2),
}


def _at(regime: Regime, rate: float, network: str) -> Regime:
    """Return the regime at a learning rate of a network; None stands for the network's own."""
    return replace(regime, learning_rate=None if rate == LEARNING_RATES[network] else rate)


def _run(arm: Arm, regime: Regime, seed: int, taught_in: Regime) -> Run:
    """Return the run of an arm.

    A teacher is trained once, with seed 0 and in the regime `taught_in`, on the list that its students have;
    a second one of the same network has seed 1. A sharper one sees the radiographs at the size that they are
    drawn for.
    """
    if arm.teaching == "sharper":
        taught_in = replace(taught_in, image_size=taught_in.drawn_for, drawn_for=0)
    networks = _TEACHERS[arm.teaching]
    teachers = tuple(
        Run(taught_in, network, seed=networks[:place].count(network))
        for place, network in enumerate(networks)
    )
    return Run(regime, STUDENT, arm.name, seed, teachers, arm.flags, arm.control)
