"""The parameters that make phantoms easy or difficult."""

import dataclasses
from dataclasses import dataclass

from cxr14.data_settings import PhantomFactor, PhantomSettings
from cxr14.script import Fraction, check_ranges


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """Parameters of the image, the findings and the labels; the defaults are the standard difficulty.

    Attributes:
        severity: factor on the contrast of every sign. 1 gives faint and obvious signs, 1.6 few faint ones.
        noise: factor on the quantum noise of the detector; 0 is an image without noise.
        nuisance: factor on the unlabelled variation between patients and images; 0 draws one person.
        false_negatives: probability that a finding that was drawn is not labelled, 0 to 1.
        false_positives: labels without a sign, as a multiple of the finding's prevalence.
        tail: exponent of NIH's prevalences, 0 to 1. 1 is NIH's own long tail, 0.5 makes rare findings more
            frequent.
        persistence: tetrachoric correlation of a finding on two radiographs of one patient, 0 to 1. 0 draws
            them independently, 1 gives both the same findings. The default is a choice, not an estimate.
    """

    severity: PhantomFactor = 1.0
    noise: PhantomFactor = 1.0
    nuisance: PhantomFactor = 1.0
    false_negatives: Fraction = 0.08
    false_positives: Fraction = 0.08
    tail: Fraction = 0.5
    persistence: Fraction = 0.6

    def __post_init__(self) -> None:
        check_ranges(self)


DIFFICULTIES = {
    "standard": Difficulty(),
    "easy": Difficulty(severity=1.6, noise=0.5, nuisance=0.5, false_negatives=0.0, false_positives=0.0),
}


def difficulty_of(settings: PhantomSettings) -> Difficulty:
    """Return the named difficulty with the parameters that the settings give one by one."""
    given = {field.name: getattr(settings, field.name) for field in dataclasses.fields(Difficulty)}
    chosen = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(DIFFICULTIES[settings.difficulty], **chosen)
