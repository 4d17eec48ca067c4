"""Which runs there are, what they are called, and which of them were asked about the same radiographs."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from cxr14.data.image_lists import MARKS
from cxr14.errors import InputError
from cxr14.evaluation.predictions import (
    PREDICTIONS_FILE,
    TEST,
    VALIDATION,
    Predictions,
    require_same_radiographs,
)

# What a list's kind says in a sentence.
_WORTH = {
    "synthetic": "These radiographs are synthetic: they were drawn by a program. The figures show that the "
    "code works and say nothing about patients.",
    "tiny": "This list is tiny: on so few radiographs a figure may lie far from the truth, as its interval "
    "shows.",
    "real": "",
}


@dataclass(frozen=True, eq=False)
class Run:
    """One network's answers to a test list, and to the validation list where they were kept."""

    folder: Path
    test: Predictions
    val: Predictions | None
    suffix: str = ""
    """What tells it from a run of the same network and teacher, such as " (study loss)"."""

    @property
    def network(self) -> str:
        """Name of the network that answered, without its folder's number."""
        return plain(self.test.network)

    @property
    def teacher(self) -> str | None:
        """Name of its teacher, or None."""
        return plain(self.test.teacher) if self.test.teacher else None

    @property
    def name(self) -> str:
        """Its name where it stands among others: "EEEA-Net-C2 alone", "EEEA-Net-C2 taught by CheXNet"."""
        return f"{self.network} {f'taught by {self.teacher}' if self.teacher else 'alone'}{self.suffix}"

    @property
    def short(self) -> str:
        """Its name where it is clear which student is taught: "CheXNet alone", "taught by CheXNet"."""
        return self.name.removeprefix(f"{self.network} ") if self.teacher else self.name

    def about(self, key: str) -> object:
        """Return what the test script told about the run, or None."""
        return self.test.about.get(key)

    def told(self, *keys: str) -> object:
        """Return what stands under `keys`, one inside the other, or None where something is missing."""
        found: object = self.test.about
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found


@dataclass(frozen=True, eq=False)
class Teaching:
    """A taught student, the same network alone, and its teacher, as far as they were tested."""

    taught: Run
    alone: Run | None
    teacher: Run | None

    @property
    def by(self) -> str:
        """The teacher's name, and what tells this teaching from another one by it."""
        return f"{self.taught.teacher}{self.taught.suffix}"


@dataclass(frozen=True, eq=False)
class Section:
    """All runs that answered one test list: what may be compared."""

    runs: tuple[Run, ...]
    cautions: tuple[str, ...] = ()
    """What a reader should know before believing a figure."""

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
        """How many there are."""
        return len(self.example.names)

    @cached_property
    def patients(self) -> int:
        """How many people they show."""
        return len(np.unique(self.example.patients))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the test list."""
        return self.example.list_fingerprint

    @property
    def mark(self) -> str:
        """What every title says about the data."""
        return MARKS[self.kind].format(count=self.radiographs)

    @property
    def worth(self) -> str:
        """What the data allow to conclude, where that is little; else nothing."""
        return _WORTH[self.kind]

    def titled(self, title: str) -> str:
        """Return a title that says what data it is about."""
        return f"{title} · {self.mark}"

    @cached_property
    def alone(self) -> tuple[Run, ...]:
        """Networks that learnt from labels alone."""
        return tuple(run for run in self.runs if run.teacher is None)

    @cached_property
    def teachings(self) -> tuple[Teaching, ...]:
        """Every taught student with those it is compared with."""
        return tuple(
            Teaching(run, _nearest(run, self.alone, run.network), _nearest(run, self.alone, run.teacher))
            for run in self.runs
            if run.teacher is not None
        )


def plain(folder: str) -> str:
    """Return a network's name without its folder's number: 3-CheXNet -> CheXNet."""
    number, _, name = folder.partition("-")
    return name if number.isdigit() and name else folder


def read_sections(results_dir: Path) -> list[Section]:
    """Return all runs below a folder, grouped by the test list they answered, most runs first.

    Raises:
        InputError: there are none, a file is damaged, or one tells too little about itself.
    """
    paths = sorted(results_dir.rglob(PREDICTIONS_FILE.format(split=TEST)))
    if not paths:
        raise InputError(f"there are no predictions below {results_dir}; run a stage's test-model.py first.")
    groups: dict[str, list[Run]] = {}
    cautions: dict[str, list[str]] = {}
    for path in paths:
        run, caution = _read(path)
        groups.setdefault(run.test.list_fingerprint, []).append(run)
        cautions.setdefault(run.test.list_fingerprint, []).extend(caution)
    sections = [_section(runs, cautions[key]) for key, runs in groups.items()]
    return sorted(sections, key=lambda section: len(section.runs), reverse=True)


def _read(path: Path) -> tuple[Run, list[str]]:
    test = Predictions.load(path)
    missing = [key for key in ("kind", "parameters", "macs") if key not in test.about]
    if missing or test.about["kind"] not in MARKS:
        lacks = " and ".join(missing) if missing else f"a kind among {', '.join(MARKS)}"
        raise InputError(f"{path} does not tell {lacks}; run the stage's test script again.")
    beside = path.with_name(PREDICTIONS_FILE.format(split=VALIDATION))
    val = Predictions.load(beside) if beside.is_file() else None
    why = _why_not(val, test)
    run = Run(path.parent, test, None if why else val)
    return run, [f"{run.name}: {why}"] if why else []


def _why_not(val: Predictions | None, test: Predictions) -> str:
    """Say why nothing may be chosen on `val` for `test`, if so."""
    if val is None:
        return "no predictions of a validation list, so no operating thresholds and no temperatures."
    if val.checkpoint_fingerprint != test.checkpoint_fingerprint:
        return (
            "its predictions of the validation list come from another checkpoint and are left out; run its "
            "test script again."
        )
    if np.isin(val.patients, test.patients).any():
        return (
            "its validation list shares patients with the test list and is left out: what is chosen on it "
            "would flatter the test."
        )
    return ""


def _section(runs: list[Run], cautions: list[str]) -> Section:
    for run in runs[1:]:
        require_same_radiographs(runs[0].test, run.test)
    ordered = sorted(runs, key=lambda run: (run.teacher is not None, _order(run)))
    section = Section(tuple(_told_apart(ordered)))
    return replace(section, cautions=(*cautions, *_unequal(section)))


def _order(run: Run) -> tuple[object, ...]:
    number = (run.test.teacher or run.test.network).partition("-")[0]
    return int(number) if number.isdigit() else 10**6, run.test.teacher or "", run.test.network, run.folder


def _told_apart(runs: list[Run]) -> Iterable[Run]:
    """Give runs of one name what differs between them: loss, seed, size, crops, or else the folder."""
    for run in runs:
        same = [other for other in runs if other.name == run.name]
        traits = [trait for trait in _traits(run) if len({_traits(other)[trait] for other in same}) > 1]
        mine = [_traits(run)[trait] for trait in traits]
        if sum([_traits(other)[trait] for trait in traits] == mine for other in same) > 1:
            mine.append(run.folder.name)
        yield Run(run.folder, run.test, run.val, f" ({', '.join(mine)})" if mine else "")


def _traits(run: Run) -> dict[str, str]:
    return {
        "loss": f"{run.told('settings', 'distill_loss') or 'unknown'} loss",
        "seed": f"seed {run.about('seed')}",
        "size": f"{run.about('image_size')} px",
        "crops": f"{run.about('crops')} crops",
    }


def _nearest(run: Run, among: Iterable[Run], network: str | None) -> Run | None:
    """Return the run of `network` alone that shares most with `run`: seed, size, crops."""
    candidates = [other for other in among if other.network == network]
    mine = _traits(run)
    return max(
        candidates,
        key=lambda other: sum(_traits(other)[trait] == mine[trait] for trait in mine),
        default=None,
    )


def _unequal(section: Section) -> Iterable[str]:
    for teaching in section.teachings:
        if teaching.alone is None:
            continue
        pair = (teaching.taught, teaching.alone)
        for what, told in (
            ("image size", [run.about("image_size") for run in pair]),
            ("number of crops", [run.about("crops") for run in pair]),
            ("training list", [run.told("splits", "train") for run in pair]),
        ):
            if told[0] != told[1]:
                yield (
                    f"{teaching.taught.name} and {teaching.alone.name} differ in {what}: their difference "
                    "shows more than what teaching adds."
                )
