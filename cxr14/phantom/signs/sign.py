"""The sign of one finding on one radiograph."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sign:
    """Severity, side and random stream of a sign.

    Attributes:
        severity: 0.05 (hardly visible) to 1.6 (gross).
        side: 0 the patient's right, 1 the left; signs of both sides ignore it.
        rng: random stream of shape and position.
    """

    severity: float
    side: int
    rng: np.random.Generator


def sample_sign(rng: np.random.Generator, severity: float) -> Sign:
    """Draw severity and side of a sign.

    Args:
        rng: random stream of the sign.
        severity: factor on the contrast of signs.
    """
    drawn = severity * (0.15 + 0.85 * rng.beta(2.0, 2.5))
    return Sign(severity=min(max(drawn, 0.05), 1.6), side=int(rng.integers(2)), rng=rng)
