"""Numbers and names as the report prints them."""

import math
from collections.abc import Sequence

from cxr14.evaluation.intervals import LEVEL, Difference, Interval
from cxr14.settings import Rule

ABSENT = "–"
SIGNIFICANT = round(1 - LEVEL, 10)
LEVEL_TEXT = f"{LEVEL:.0%}".replace("%", "\N{NO-BREAK SPACE}%")


def figure(value: float | None, digits: int = 3) -> str:
    """Return 0.8312 as 0.831, and a dash for None and NaN."""
    return ABSENT if value is None or math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float) -> str:
    """Return a difference with its sign, as a true minus or a plus."""
    if math.isnan(value):
        return ABSENT
    text = f"{value:+.3f}".replace("-", "−")
    return "0.000" if text[1:] == "0.000" else text


def span(interval: Interval | Difference, index: int | tuple[()] = ()) -> str:
    """Return the ends as "0.812–0.849", those of a difference as "−0.002 to +0.019"; nothing for NaN."""
    low, high = float(interval.low[index]), float(interval.high[index])
    if math.isnan(low):
        return ""
    if isinstance(interval, Difference):
        return f"{signed(low)} to {signed(high)}"
    return f"{figure(low)}–{figure(high)}"


def p_value(value: float, resamples: int) -> str:
    """Return "p = 0.042", or "p ≤ 0.002" for the smallest p-value of so many resamples; nothing for NaN."""
    if math.isnan(value):
        return ""
    least = 2 / (resamples + 1)
    if value <= least:
        return f"p ≤ {max(least, 0.001):.3f}"
    return f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def bare_p_value(value: float, resamples: int) -> str:
    """Return a p-value for a column of p-values: "0.042", "≤ 0.002", or a dash for NaN."""
    return p_value(float(value), resamples).removeprefix("p = ").removeprefix("p ") or ABSENT


def whole(value: object) -> str:
    """Return 4732838 as 4,732,838."""
    return ABSENT if value is None else f"{int(value):,}"


def counted(count: int, noun: str) -> str:
    """Return "1 epoch", "3 epochs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def readable(name: str) -> str:
    """Return a finding's name with blanks in place of underscores."""
    return name.replace("_", " ")


def listed(names: Sequence[str]) -> str:
    """Return "A", "A and B", "A, B and C"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def rule_text(rule: Rule, target: float | None) -> str:
    """Return the name of a rule for thresholds, as calibration.choose_thresholds takes it."""
    return {
        "youden": "Youden’s index",
        "f1": "F1",
        "sensitivity": f"sensitivity of at least {target}",
    }[rule]


def seeds_text(counts: Sequence[int]) -> str:
    """Return how many seeds each of several numbers was trained with: "one training seed", "1 to 3 …"."""
    least, most = min(counts), max(counts)
    if most == 1:
        return "one training seed"
    return f"{most} training seeds" if least == most else f"{least} to {most} training seeds"
