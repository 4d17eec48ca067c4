"""How hard a set of phantoms is to read."""

import dataclasses
from dataclasses import dataclass

from cxr14.script import Fraction, check_ranges
from cxr14.settings import PhantomFactor, PhantomSettings


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

    severity: PhantomFactor = 1.0
    noise: PhantomFactor = 1.0
    nuisance: PhantomFactor = 1.0
    false_negatives: Fraction = 0.08
    false_positives: Fraction = 0.08
    tail: Fraction = 0.5

    def __post_init__(self) -> None:
        check_ranges(self)


DIFFICULTIES = {
    "standard": Knobs(),
    "easy": Knobs(severity=1.6, noise=0.5, nuisance=0.5, false_negatives=0.0, false_positives=0.0),
}


def knobs_of(settings: PhantomSettings) -> Knobs:
    """Return the knobs of the difficulty, with those that were set one by one in their place."""
    given = {field.name: getattr(settings, field.name) for field in dataclasses.fields(Knobs)}
    chosen = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(DIFFICULTIES[settings.difficulty], **chosen)
