"""Conditions of a training, and whether a comparison is fair."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cxr14.report.runs import Arm, Run, Teaching

PLATEAU_GAIN = 0.003
"""A training whose validation AUROC still gains more than this at its end has not reached its plateau."""

# Where a training ran, and how fast, does not count; what has a condition of its own is not compared twice.
_NOT_COMPARED = frozenset(
    {
        "data_dir",
        "ckpt_path",
        "train_image_list",
        "val_image_list",
        "num_workers",
        "preload",
        "device",
        "threads",
    }
    | {
        "compile",
        "resume",
        "save_minutes",
        "stop_after_hours",
        "log_dir",
        "allow_unknown_origin",
        "deterministic",
    }
    | {"teacher", "student", "teacher_ckpt_path", "student_ckpt_path", "init_checkpoint", "teacher_cache"}
    | {"pretrained", "num_epochs", "image_size", "seed", "distill_loss"}
)


class Conditions(NamedTuple):
    """What may differ between two trainings besides the teacher and the seed."""

    start: str
    """"ImageNet weights", "random weights" or "trained weights"; "" if it was not recorded."""
    start_path: str | None
    """Checkpoint that the training started from."""
    epochs: int | None
    """Epochs in all, those of the checkpoint that it started from included."""
    schedule: int | None
    """Epochs that the learning rate was scheduled for."""
    lists: tuple[str | None, str | None]
    """Fingerprints of training and validation list."""
    image_size: int | None
    crops: int | None
    settings: dict[str, object]
    """All other settings by name."""


class Trainings:
    """The trainings behind the runs of a section.

    Args:
        runs: all of them; a run that started from another one's checkpoint is found to have done so.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = runs
        self._found: dict[Run, Conditions] = {}

    def conditions(self, run: Run) -> Conditions:
        """Return the conditions of one run's training."""
        if run not in self._found:
            self._found[run] = self._conditions(run)
        return self._found[run]

    def is_rising(self, run: Run) -> bool | None:
        """Return whether validation AUROC was still rising when the training ended; None if unknown.

        If there is a run of the same seed under the same conditions but with at least twice the epochs, that
        run decides: the shorter one was rising if the longer one's best epoch is more than `PLATEAU_GAIN`
        better. Otherwise the run's own epochs decide, as in `rises_at_the_end`.
        """
        own = run.validation_auroc
        if not len(own) or np.isnan(own).all():
            return None
        mine = self.conditions(run)
        for other in self._runs:
            theirs = self.conditions(other)
            is_longer = mine.epochs and theirs.epochs and theirs.epochs >= 2 * mine.epochs
            is_same = (other.test.network, other.test.teacher, other.seed, _loss(other)) == (
                (run.test.network, run.test.teacher, run.seed, _loss(run))
            )
            is_same = is_same and theirs == mine._replace(epochs=theirs.epochs, schedule=theirs.schedule)
            if is_longer and is_same and not np.isnan(other.validation_auroc).all():
                return bool(np.nanmax(other.validation_auroc) - np.nanmax(own) > PLATEAU_GAIN)
        return rises_at_the_end(own)

    def epochs_before(self, run: Run) -> int | None:
        """Return how many epochs the weights were trained before this run; None if unknown."""
        start_path = _start_path(run)
        if start_path is None:
            return 0
        parent = self._parent(run, start_path)
        return self._epochs(parent, {run, parent}) if parent else None

    def _conditions(self, run: Run) -> Conditions:
        settings = run.about("settings") or {}
        start_path = _start_path(run)
        return Conditions(
            _start(settings, start_path),
            start_path,
            self._epochs(run, {run}),
            settings.get("num_epochs"),
            (run.about("splits", "train"), run.about("splits", "val")),
            run.about("image_size"),
            run.about("crops"),
            {name: value for name, value in sorted(settings.items()) if name not in _NOT_COMPARED},
        )

    def _epochs(self, run: Run, visited: set[Run]) -> int | None:
        own = len(run.validation_auroc) or run.about("settings", "num_epochs")
        start_path = _start_path(run)
        if own is None or start_path is None:
            return own
        parent = self._parent(run, start_path)
        if parent is None or parent in visited:
            return None
        before = self._epochs(parent, visited | {parent})
        return None if before is None else before + own

    def _parent(self, run: Run, start_path: str) -> Run | None:
        """Return the run whose checkpoint is at `start_path`, of the same seed if there are several."""
        wrote = [
            each
            for each in self._runs
            if each is not run and each.about("settings", "ckpt_path") == start_path
        ]
        return next((each for each in wrote if each.seed == run.seed), wrote[0] if wrote else None)


def rises_at_the_end(values: np.ndarray) -> bool:
    """Return whether a curve was still rising in its last third.

    That is, whether the best value of the last third exceeds the best one before it by more than
    `PLATEAU_GAIN`. Fewer than three values are too few to have stopped rising.

    Args:
        values: (E,) validation AUROC after each epoch, not all NaN.
    """
    early = values[: len(values) - -(-len(values) // 3)]
    if len(values) < 3 or np.isnan(early).all():
        return True
    return bool(np.nanmax(values) - np.nanmax(early) > PLATEAU_GAIN)


def epochs_to_reach(values: np.ndarray, target: float) -> int | None:
    """Return the first epoch, counted from 1, whose value is at least `target`; None if there is none."""
    reached = np.flatnonzero(values >= target)
    return int(reached[0]) + 1 if len(reached) else None


def compare(taught: Arm, section_arms: Iterable[Arm], trainings: Trainings) -> Teaching:
    """Return a taught arm with the arm of the same network alone that differs least, and with its teacher.

    Args:
        taught: an arm with a teacher.
        section_arms: all arms of the section.
        trainings: of all their runs.
    """
    alone = [arm for arm in section_arms if arm.teacher is None]
    teacher = _teacher(taught, [arm for arm in alone if arm.network == taught.teacher])
    candidates = []
    for arm in alone:
        if arm.network == taught.network:
            pairs = _pairs(taught, arm)
            candidates.append((_all_differences(pairs, trainings), -len(pairs), len(candidates), arm, pairs))
    if not candidates:
        return Teaching(taught, None, teacher)
    differences, _, _, arm, pairs = min(candidates, key=lambda each: (len(each[0]), *each[1:3]))
    return Teaching(taught, arm, teacher, pairs, differences)


def _teacher(taught: Arm, candidates: Iterable[Arm]) -> Arm | None:
    """Return the arm whose checkpoint taught, or else the one that shares most with `taught`."""
    paths = {run.about("settings", "teacher_ckpt_path") for run in taught.runs} - {None}

    def likeness(arm: Arm) -> tuple[int, int, int]:
        same_file = sum(run.about("settings", "ckpt_path") in paths for run in arm.runs)
        same_seed = len({run.seed for run in arm.runs} & {run.seed for run in taught.runs})
        same_test = sum(arm.about(key) == taught.about(key) for key in ("image_size", "crops"))
        return same_file, same_seed, same_test

    return max(candidates, key=likeness, default=None)


def _pairs(taught: Arm, alone: Arm) -> tuple[tuple[Run, Run], ...]:
    """Return runs of equal seed, or the first two if there are none."""
    pairs = tuple(
        (mine, theirs) for mine, theirs in product(taught.runs, alone.runs) if mine.seed == theirs.seed
    )
    return pairs or ((taught.runs[0], alone.runs[0]),)


def _all_differences(pairs: Sequence[tuple[Run, Run]], trainings: Trainings) -> tuple[str, ...]:
    """Return what differs in any pair, once each."""
    found = [difference for pair in pairs for difference in _differences(*pair, trainings)]
    return tuple(dict.fromkeys(found))


def _differences(taught: Run, alone: Run, trainings: Trainings) -> list[str]:
    """Return what differs between two trainings besides the teacher, as seen from the taught one."""
    mine, theirs = trainings.conditions(taught), trainings.conditions(alone)
    found = [*_start_differences(mine, theirs), *_epoch_differences(mine, theirs)]
    if taught.seed != alone.seed:
        found.append(f"seed {taught.seed} instead of {alone.seed}")
    elif taught.seed is None:
        found.append("seeds not recorded")
    for which, ours, other in zip(("training", "validation"), mine.lists, theirs.lists, strict=True):
        if ours != other:
            found.append(f"another {which} list")
    if mine.image_size != theirs.image_size:
        found.append(f"{mine.image_size} px instead of {theirs.image_size} px")
    if mine.crops != theirs.crops:
        found.append(f"tested on {mine.crops} crops instead of {theirs.crops}")
    return found + _setting_differences(mine.settings, theirs.settings)


def _start_differences(mine: Conditions, theirs: Conditions) -> list[str]:
    if not (mine.start and theirs.start):
        return ["settings not recorded"]
    if mine.start == theirs.start:
        return ["starts from other trained weights"] if mine.start_path != theirs.start_path else []
    if mine.start_path and not theirs.start_path:
        return [f"starts from trained weights ({Path(mine.start_path).name})"]
    return [f"starts from {mine.start} instead of {theirs.start}"]


def _epoch_differences(mine: Conditions, theirs: Conditions) -> list[str]:
    if mine.epochs is None or theirs.epochs is None:
        # Equal starts: what came before them is the same, known or not.
        is_known = mine.start_path == theirs.start_path and mine.schedule is not None
        if is_known and mine.schedule == theirs.schedule:
            return []
        return ["number of epochs not known"]
    more = mine.epochs - theirs.epochs
    if more:
        return [f"{abs(more)} {'more' if more > 0 else 'fewer'} epoch{'s' if abs(more) > 1 else ''}"]
    if mine.schedule != theirs.schedule:
        return [f"a schedule of {mine.schedule} epochs instead of {theirs.schedule}"]
    return []


def _setting_differences(mine: Mapping[str, object], theirs: Mapping[str, object]) -> list[str]:
    """Compare the settings that both trainings have; those of the teaching are in one alone."""
    return [
        f"{name.replace('_', ' ')} {_shown(mine[name])} instead of {_shown(theirs[name])}"
        for name in mine
        if name in theirs and mine[name] != theirs[name]
    ]


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _start_path(run: Run) -> str | None:
    return run.about("settings", "student_ckpt_path") or run.about("settings", "init_checkpoint")


def _start(settings: Mapping[str, object], start_path: str | None) -> str:
    if start_path:
        return "trained weights"
    if "pretrained" not in settings:
        return ""
    return "ImageNet weights" if settings["pretrained"] else "random weights"


def _loss(run: Run) -> object:
    return run.about("settings", "distill_loss")
