"""The arms: the ways to train the student that are compared, each by its settings and its teachers."""

from dataclasses import dataclass, field
from typing import Literal

Teaching = Literal["none", "best", "two", "three", "five", "itself", "sharper"]
"""Who teaches: nobody, the best teacher, several, the student's own finished weights, a teacher at twice the
image size."""


@dataclass(frozen=True)
class Arm:
    """One way to train the student."""

    name: str
    flags: dict[str, object] = field(default_factory=dict, hash=False)
    """Settings beyond those of the regime, by flag."""
    teaching: Teaching = "best"
    control: Literal["permuted", "doubled"] | None = None
    """What is done to the teacher's logits in an arm that must lose."""


def _matching(label_weight: float = 0.1, temperature: float = 1.0, **more: object) -> dict[str, object]:
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return {"distill-loss": "matching", "label-weight": label_weight, "temperature": temperature, **named}


_BERNOULLI = {"distill-loss": "bernoulli", "temperature": 2.0}

ARMS: tuple[Arm, ...] = (
    Arm("labels", teaching="none"),
    Arm("labels, smoothed", {"label-smoothing": 0.1}, "none"),
    Arm("labels, mixup", {"mixup": 1.0}, "none"),
    Arm("study", {"distill-loss": "study", "temperature": 2.0}),
    Arm("bernoulli", _BERNOULLI),
    Arm("matching", _matching()),
    Arm("matching, T 2", _matching(temperature=2.0)),
    Arm("matching, T 4", _matching(temperature=4.0)),
    Arm("matching, T 8", _matching(temperature=8.0)),
    Arm("matching, T 4, w 0", _matching(0.0, temperature=4.0)),
    Arm("matching, T 4, light mixup", _matching(temperature=4.0, mixup=0.3)),
    Arm("matching, T 4, correlation", _matching(temperature=4.0, correlation_weight=1.0)),
    Arm("matching, mixup", _matching(mixup=1.0)),
    Arm("matching, mixup, w 0", _matching(0.0, mixup=1.0)),
    Arm("matching, mixup, w 0.5", _matching(0.5, mixup=1.0)),
    Arm("matching, mixup, T 2", _matching(temperature=2.0, mixup=1.0)),
    Arm("matching, mixup, correlation", _matching(mixup=1.0, correlation_weight=1.0)),
    Arm("matching, mixup, rank", _matching(mixup=1.0, rank_weight=0.5)),
    Arm("matching, mixup, maps", _matching(mixup=1.0, map_weight=1.0)),
    Arm("matching, mixup, two teachers", _matching(mixup=1.0), "two"),
    Arm("matching, mixup, two by finding", _matching(mixup=1.0, teacher_weights="finding"), "two"),
    Arm("matching, mixup, three teachers", _matching(mixup=1.0), "three"),
    Arm("matching, mixup, five teachers", _matching(mixup=1.0), "five"),
    Arm("matching, mixup, five by finding", _matching(mixup=1.0, teacher_weights="finding"), "five"),
    Arm("matching, mixup, sharper teacher", _matching(mixup=1.0), "sharper"),
    Arm("control: itself", _matching(mixup=1.0), "itself"),
    Arm("control: permuted", _matching(mixup=1.0), control="permuted"),
    Arm("control: doubled", _matching(mixup=1.0), control="doubled"),
)

BY_NAME = {arm.name: arm for arm in ARMS}
