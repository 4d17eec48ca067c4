"""What a set of phantoms can be told, and what the two difficulties mean."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxr14.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """How hard the phantoms are to read; the defaults are the standard difficulty.

    Attributes:
        severity: multiplies how conspicuous every sign is; 1 gives faint and plain ones, 1.6 few faint ones.
        noise: multiplies the quantum noise of the detector; 0 is a noiseless film.
        nuisance: multiplies what differs between people and films and is never labelled; 0 draws one person.
        false_negatives: chance that a finding that was drawn goes unlabelled, 0 to 1.
        false_positives: labels without a sign, as a multiple of the finding's prevalence.
        tail: power of NIH's prevalences; 1 is NIH's own long tail, 0.5 makes rare findings commoner.
    """

    severity: float = 1.0
    noise: float = 1.0
    nuisance: float = 1.0
    false_negatives: float = 0.08
    false_positives: float = 0.08
    tail: float = 0.5

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            most = 1.0 if name in ("false_negatives", "false_positives", "tail") else 5.0
            if not 0 <= value <= most:
                raise InputError(f"{name} = {value} is out of range; give a number from 0 to {most:g}.")


DIFFICULTIES = {
    "standard": Knobs(),
    "easy": Knobs(severity=1.6, noise=0.5, nuisance=0.5, false_negatives=0.0, false_positives=0.0),
}


@dataclass(kw_only=True)
class PhantomSettings:
    """A folder of synthetic radiographs in NIH's layout."""

    out: Path
    """Folder that receives the set; keep it apart from real radiographs."""
    count: int = 2000
    """How many radiographs, two of each patient; 4 or more."""
    size: int = 128
    """Side of the square images in pixels, 32 to 1024."""
    seed: int = 0
    """Fixes every image and label, 0 or more; an image depends on the seed and its own number alone."""
    test_fraction: float = 0.25
    """Share of the patients that goes to the test list, between 0 and 1."""
    difficulty: Literal["standard", "easy"] = "standard"
    """Sets the six knobs below together; easy is what a small network learns within minutes."""
    severity: float | None = None
    """Multiplies how conspicuous every sign is; None: 1 standard, 1.6 easy."""
    noise: float | None = None
    """Multiplies the detector's noise; None: 1 standard, 0.5 easy."""
    nuisance: float | None = None
    """Multiplies what differs between people and films and is never labelled; None: 1 standard, 0.5 easy."""
    false_negatives: float | None = None
    """Chance that a finding that was drawn goes unlabelled; None: 0.08 standard, 0 easy."""
    false_positives: float | None = None
    """Labels without a sign, as a multiple of the prevalence; None: 0.08 standard, 0 easy."""
    tail: float | None = None
    """Power of NIH's prevalences, 1 being NIH's own; None: 0.5."""
    num_workers: int = 2
    """Processes that draw; 0 draws in the main process. The images do not depend on it."""
    sheet: Path | None = None
    """Draw no set, only a contact sheet of every finding into this PNG file."""

    def __post_init__(self) -> None:
        for name, good, range_ in (
            ("count", self.count >= 4, "4 or more"),
            ("size", 32 <= self.size <= 1024, "32 to 1024"),
            ("seed", self.seed >= 0, "0 or more"),
            ("test_fraction", 0 < self.test_fraction < 1, "between 0 and 1"),
            ("num_workers", self.num_workers >= 0, "0 or more"),
        ):
            if not good:
                raise InputError(f"{name} = {getattr(self, name)} is out of range; give {range_}.")

    def knobs(self) -> Knobs:
        """Return the knobs of the difficulty, with those that were set alone in their place.

        Raises:
            InputError: a knob is out of its range.
        """
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(Knobs)}
        chosen = {name: value for name, value in given.items() if value is not None}
        return dataclasses.replace(DIFFICULTIES[self.difficulty], **chosen)
