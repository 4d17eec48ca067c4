"""The arms: the ways to train the student that are compared, each by its settings and its teachers."""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

Teaching = Literal["none", "best", "alike", "two", "three", "five", "itself", "sharper"]
"""Who teaches: nobody, the best teacher, two trainings of its network, several networks, the student's own
finished weights, the best teacher at twice the image size."""


@dataclass(frozen=True)
class Arm:
    """One way to train the student."""

    name: str
    flags: dict[str, object] = field(default_factory=dict, hash=False)
    """Settings beyond those of the regime, by flag."""
    teaching: Teaching = "best"
    control: Literal["permuted", "doubled"] | None = None
    """What is done to the teacher's logits in an arm that must lose."""

    @property
    def has_several_teachers(self) -> bool:
        """Whether more than one network teaches."""
        return self.teaching in ("alike", "two", "three", "five")

    @property
    def adds_to_one_teacher(self) -> bool:
        """Whether more is taught than the logits of one teacher that sees what the student sees."""
        return self.has_several_teachers or self.teaching == "sharper" or "map-weight" in self.flags


def _matching(label_weight: float = 0.1, temperature: float = 1.0, **more: object) -> dict[str, object]:
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return {"distill-loss": "matching", "label-weight": label_weight, "temperature": temperature, **named}


_BERNOULLI = {"distill-loss": "bernoulli", "temperature": 2.0}

# Chosen on validation among T = 1, 2, 4 and 8; what is added to function matching is added to it.
_AT_4 = partial(_matching, temperature=4.0)

ARMS: tuple[Arm, ...] = (
    Arm("labels", teaching="none"),
    Arm("labels, smoothed", {"label-smoothing": 0.1}, "none"),
    Arm("labels, light mixup", {"mixup": 0.3}, "none"),
    # The losses of teaching are larger than that of labels, so their gradients may be clipped more often.
    Arm("labels, clipped", {"clip-norm": 0.1}, "none"),
    Arm("study", {"distill-loss": "study", "temperature": 2.0}),
    Arm("bernoulli", _BERNOULLI),
    Arm("bernoulli, maps", _BERNOULLI | {"map-weight": 1.0}),
    Arm("matching", _matching()),
    Arm("matching, mixup", _matching(mixup=1.0)),
    Arm("matching, T 2", _matching(temperature=2.0)),
    Arm("matching, T 4", _AT_4()),
    Arm("matching, T 8", _matching(temperature=8.0)),
    Arm("matching, T 4, w 0", _AT_4(0.0)),
    Arm("matching, T 4, w 0.5", _AT_4(0.5)),
    Arm("matching, T 4, light mixup", _AT_4(mixup=0.3)),
    Arm("matching, T 4, correlation", _AT_4(correlation_weight=1.0)),
    Arm("matching, T 4, rank", _AT_4(rank_weight=0.5)),
    Arm("two alike", _BERNOULLI, "alike"),
    Arm("two alike, uncalibrated", _BERNOULLI | {"no-calibrate-teachers": None}, "alike"),
    Arm("two teachers", _BERNOULLI, "two"),
    Arm("two by finding", _BERNOULLI | {"teacher-weights": "finding"}, "two"),
    Arm("three teachers", _BERNOULLI, "three"),
    Arm("five teachers", _BERNOULLI, "five"),
    Arm("five by finding", _BERNOULLI | {"teacher-weights": "finding"}, "five"),
    Arm("sharper teacher", _BERNOULLI | {"sharper-teacher": None}, "sharper"),
    Arm("control: itself", _BERNOULLI, "itself"),
    Arm("control: permuted", _BERNOULLI, control="permuted"),
    Arm("control: doubled", _BERNOULLI, control="doubled"),
)

BY_NAME = {arm.name: arm for arm in ARMS}

DEFAULT = "bernoulli"
"""The arm that the scripts of folder 6 have without further settings; several teachers have its loss."""


def is_contender(name: str) -> bool:
    """Return whether an arm has a teacher that could become the default's."""
    return not name.startswith(("labels", "control"))
