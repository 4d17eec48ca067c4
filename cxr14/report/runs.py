"""Runs, arms, and the sections of the report."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from cxr14.data.kinds import KINDS
from cxr14.data.provenance import MAY_HAVE_SEEN_TEST_PATIENTS
from cxr14.evaluation.predictions import Predictions
from cxr14.settings import Rule


@dataclass(frozen=True, eq=False)
class Run:
    """Predictions of one trained network for the test list, and for the validation list if there are any."""

    folder: Path
    test: Predictions
    val: Predictions | None
    name: str = ""
    """Unique within a section: "EEEA-Net-C2 taught by CheXNet, seed 1"."""
    epochs_before: int | None = 0
    """Epochs that the weights it started from had been trained; None if unknown."""
    is_rising: bool | None = None
    """Whether validation AUROC was still rising when the training ended; None if unknown."""

    @property
    def network(self) -> str:
        """Name of the network, without the number of its folder."""
        return without_number(self.test.network)

    @property
    def teacher(self) -> str | None:
        """Name of its teacher, or None."""
        return without_number(self.test.teacher) if self.test.teacher else None

    def about(self, *keys: str) -> object:
        """Return what the test script recorded under `keys`, one inside the other; None if missing."""
        found: object = self.test.about
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    @property
    def seed(self) -> int | None:
        """Seed of its training; None if it was not recorded."""
        return self.about("seed")

    @property
    def threshold_rule(self) -> Rule:
        """Rule by which the test script chose the operating thresholds."""
        return self.about("threshold_rule") or "youden"

    @property
    def target_sensitivity(self) -> float | None:
        """Sensitivity that the rule "sensitivity" aims at."""
        return self.about("target_sensitivity")

    @property
    def validation_auroc(self) -> np.ndarray:
        """(E,) mean AUROC on the validation list after each epoch; empty if it was not recorded."""
        rows = self.about("history") or []
        values = [row.get("val_auroc") for row in rows]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Arm:
    """One network with one teacher or none and one set of settings; its runs differ by the seed alone."""

    runs: tuple[Run, ...]
    """In the order of their seeds; no seed twice."""
    suffix: str = ""
    """Tells it from another arm of the same network and teacher: " (study loss)"."""

    @property
    def network(self) -> str:
        """Name of the network, without the number of its folder."""
        return self.runs[0].network

    @property
    def teacher(self) -> str | None:
        """Name of its teacher, or None."""
        return self.runs[0].teacher

    @property
    def name(self) -> str:
        """Its name: "EEEA-Net-C2 alone", "EEEA-Net-C2 taught by CheXNet (study loss)"."""
        return f"{self.network} {f'taught by {self.teacher}' if self.teacher else 'alone'}{self.suffix}"

    @property
    def short_name(self) -> str:
        """Its name where the student is known: "CheXNet alone", "taught by CheXNet"."""
        return self.name.removeprefix(f"{self.network} ") if self.teacher else self.name

    @property
    def is_rising(self) -> bool | None:
        """Whether validation AUROC was still rising at the end of any of its runs; None if unknown."""
        return any_true(run.is_rising for run in self.runs)

    def about(self, *keys: str) -> object:
        """Return what its first run recorded, as `Run.about` does."""
        return self.runs[0].about(*keys)


@dataclass(frozen=True, eq=False)
class Teaching:
    """A taught student, the same network alone, and its teacher, as far as they were tested."""

    taught: Arm
    alone: Arm | None
    """The arm of the same network alone that differs least."""
    teacher: Arm | None
    pairs: tuple[tuple[Run, Run], ...] = ()
    """Runs taught and alone that are compared, one pair for each common seed."""
    differences: tuple[str, ...] = ()
    """What differs between taught and alone besides the teacher: "10 more epochs"."""

    @property
    def by(self) -> str:
        """The teacher's name, with the suffix of the taught arm."""
        return f"{self.taught.teacher}{self.taught.suffix}"

    @property
    def is_rising(self) -> bool | None:
        """Whether validation AUROC was still rising at the end of any compared run; None if unknown."""
        return any_true(run.is_rising for pair in self.pairs for run in pair)

    @property
    def is_fair(self) -> bool:
        """Whether taught and alone differ by the teacher alone."""
        return self.alone is not None and not self.differences


@dataclass(frozen=True, eq=False)
class Section:
    """All arms that were tested on one image list: these may be compared."""

    arms: tuple[Arm, ...]
    teachings: tuple[Teaching, ...] = ()
    """Every taught arm with those it is compared with."""
    cautions: tuple[str, ...] = ()
    """What limits the results, a sentence each."""

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The runs of all arms."""
        return tuple(run for arm in self.arms for run in arm.runs)

    @cached_property
    def alone(self) -> tuple[Arm, ...]:
        """Arms without a teacher."""
        return tuple(arm for arm in self.arms if arm.teacher is None)

    @property
    def example(self) -> Predictions:
        """Any of its predictions: names, patients, labels and findings are the same in all."""
        return self.runs[0].test

    @property
    def kind(self) -> str:
        """What the radiographs are: "synthetic", "tiny" or "real"."""
        return str(self.example.about["kind"])

    @property
    def radiographs(self) -> int:
        """Number of radiographs."""
        return len(self.example.names)

    @cached_property
    def patients(self) -> int:
        """Number of patients."""
        return len(np.unique(self.example.patients))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the test list."""
        return self.example.list_fingerprint

    @property
    def has_several_seeds(self) -> bool:
        """Whether an arm was trained with more than one seed."""
        return any(len(arm.runs) > 1 for arm in self.arms)

    @property
    def mark(self) -> str:
        """What every title says about the data, and about weights of unknown origin."""
        mark = KINDS[self.kind].mark(self.radiographs)
        is_unknown = any(run.about("unknown_origin") for run in self.runs)
        return f"{mark} · weights {MAY_HAVE_SEEN_TEST_PATIENTS}" if is_unknown else mark

    @property
    def limit(self) -> str:
        """What the kind of data allows to conclude, if that is little; otherwise nothing."""
        return KINDS[self.kind].limit

    def titled(self, title: str) -> str:
        """Return a title followed by the mark."""
        return f"{title} · {self.mark}"


def without_number(folder: str) -> str:
    """Return a network's name without the number of its folder: 3-CheXNet -> CheXNet.

    Names of several, joined by "+", become "OFA-595 and CheXNet".
    """
    if "+" in folder:
        return " and ".join(without_number(each) for each in folder.split("+"))
    number, _, name = folder.partition("-")
    return name if number.isdigit() and name else folder


def any_true(values: Iterable[bool | None]) -> bool | None:
    """Return True if one value is, otherwise None if one is unknown, otherwise False."""
    known = list(values)
    if any(known):
        return True
    return None if None in known or not known else False
