"""The main finding as one sentence, and numbers as a reader sees them."""

import math
from collections.abc import Sequence

import numpy as np

from cxr14.evaluation.bootstrap import LEVEL, Difference, Interval
from cxr14.report.results import FEWEST_PATIENTS, Gain, SectionResults

ABSENT = "–"
SIGNIFICANT = round(1 - LEVEL, 10)
LEVEL_TEXT = f"{LEVEL:.0%}".replace("%", " %")


def figure(value: float | None, digits: int = 3) -> str:
    """Return 0.8312 as 0.831, and what is undefined as a dash."""
    return ABSENT if value is None or math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float) -> str:
    """Return a difference with its sign, a true minus."""
    if math.isnan(value):
        return ABSENT
    told = f"{value:+.3f}".replace("-", "−")
    return "0.000" if told[1:] == "0.000" else told


def span(interval: Interval | Difference, index: int | tuple[()] = ()) -> str:
    """Return the ends as "0.812–0.849", those of a difference as "−0.002 to +0.019"; nothing if undefined."""
    low, high = float(interval.low[index]), float(interval.high[index])
    if math.isnan(low):
        return ""
    return (
        f"{signed(low)} to {signed(high)}"
        if isinstance(interval, Difference)
        else f"{figure(low)}–{figure(high)}"
    )


def p_value(value: float, resamples: int) -> str:
    """Return "p = 0.042", or "p ≤ 0.002" where so many resamples can tell no less."""
    if math.isnan(value):
        return ""
    least = 2 / (resamples + 1)
    if value <= least:
        return f"p ≤ {max(least, 0.001):.3f}"
    return f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def whole(value: object) -> str:
    """Return 4732838 as 4,732,838."""
    return ABSENT if value is None else f"{int(value):,}"


def readable(name: str) -> str:
    """Return a finding's name with blanks in place of underscores."""
    return name.replace("_", " ")


def listed(names: Sequence[str]) -> str:
    """Return "A", "A and B", "A, B and C"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def cautions(results: SectionResults) -> list[str]:
    """Return what a reader should know before believing a figure."""
    told = list(results.section.cautions)
    if results.undefined:
        names = listed([readable(name) for name in results.undefined])
        told.append(
            f"{names} cannot be measured on this list, which lacks positives or negatives; no mean holds it."
        )
    if results.scarce:
        names = listed([readable(name) for name in results.scarce])
        told.append(
            f"{names}: fewer than {FEWEST_PATIENTS} patients with or without it. Resampling has too few to "
            "draw from, so the interval looks surer than it is."
        )
    return told


def main_finding(results: SectionResults) -> str:
    """Return in one sentence what teaching added, and whether chance alone could have."""
    section, gains = results.section, results.gains
    where = {"synthetic": "On synthetic radiographs, ", "tiny": "On a tiny list, ", "real": ""}[section.kind]
    if not section.teachings:
        told = f"no taught student was tested on this list: {_networks(results)} stands alone"
    elif not gains:
        names = listed(sorted({teaching.taught.network for teaching in section.teachings}))
        told = (
            f"what teaching adds to {names} cannot be told, because {names} alone was not tested on this list"
        )
    elif len(gains) == 1:
        told = _one(results, gains[0])
    else:
        told = _several(results)
    return (where + told if where else told[0].upper() + told[1:]) + "."


def _networks(results: SectionResults) -> str:
    count = len(results.section.alone)
    return results.section.alone[0].network if count == 1 else f"each of {count} networks"


def _one(results: SectionResults, gain: Gain) -> str:
    student = gain.teaching.taught.network
    taught, alone = (
        figure(float(results.measured[run].auroc.macro().values))
        for run in (gain.teaching.taught, gain.teaching.alone)
    )
    told = f"{student} reaches a mean AUROC of {alone} alone and {taught} when taught by {gain.teaching.by}"
    return f"{told}: {_verdict(results, gain)}"


def _verdict(results: SectionResults, gain: Gain) -> str:
    certainty = _certainty(results, gain)
    if gain.macro.low > 0:
        return f"a gain of {figure(gain.macro.value)} ({certainty})"
    if gain.macro.high < 0:
        return f"a loss of {figure(-gain.macro.value)} ({certainty})"
    doubt = "" if math.isnan(gain.macro.low) else ", which chance alone could give"
    return f"a difference of {signed(gain.macro.value)} ({certainty}){doubt}"


def _certainty(results: SectionResults, gain: Gain, adjustment: str = "") -> str:
    if math.isnan(gain.macro.low):
        return "too few patients for an interval"
    resamples = len(results.measured[gain.teaching.taught].auroc.draws)
    p = p_value(float(gain.macro.p_value), resamples)
    return (
        f"{LEVEL_TEXT} interval {span(gain.macro)}, {p}{adjustment}, "
        f"from {resamples:,} resamples of {results.section.patients:,} patients"
    )


def _several(results: SectionResults) -> str:
    gains = results.gains
    values = np.array([gain.macro.value for gain in gains], dtype=np.float64)
    beyond = results.adjusted <= SIGNIFICANT
    student = listed(sorted({gain.teaching.taught.network for gain in gains}))
    raised, lowered = int(np.sum(beyond & (values > 0))), int(np.sum(beyond & (values < 0)))
    told = f"{_of(raised, len(gains))} raised {student}'s mean AUROC by more than chance alone would"
    told += f" and {lowered} lowered it" if lowered else ""
    largest = gains[int(np.nanargmax(values))] if not np.isnan(values).all() else gains[0]
    certainty = _certainty(results, largest, f" before it is adjusted for {len(gains)} comparisons")
    return (
        f"{told}; the greatest difference is {signed(largest.macro.value)} when taught by "
        f"{largest.teaching.by} ({certainty})"
    )


def _of(count: int, total: int) -> str:
    return f"{'none' if count == 0 else 'all' if count == total else count} of {total} teachings"
