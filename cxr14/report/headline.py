"""The main result of a section in one sentence, and what limits the results."""

import math

import numpy as np

from cxr14.data.kinds import KINDS
from cxr14.evaluation.intervals import FEWEST_PATIENTS
from cxr14.report.conditions import epochs_to_reach
from cxr14.report.formatting import (
    LEVEL_TEXT,
    SIGNIFICANT,
    counted,
    figure,
    listed,
    p_value,
    readable,
    rule_text,
    seeds_text,
    signed,
    span,
)
from cxr14.report.results import Gain, SectionResults


def headline(results: SectionResults) -> str:
    """Return what teaching added, how certain that is, and on how many training seeds it rests."""
    section, gains = results.section, results.gains
    opening = KINDS[section.kind].opening
    if len(results.undefined) == len(section.example.findings):
        text = "no finding has both positives and negatives on this list, so no AUROC is defined"
    elif not section.teachings:
        text = f"no taught student was tested on this list: {_networks(results)}"
    elif not gains:
        names = listed(sorted({teaching.taught.network for teaching in section.teachings}))
        text = (
            f"what teaching adds to {names} is not known, because {names} alone was not tested on this list"
        )
    elif len(gains) == 1:
        text = _one_gain(results, gains[0])
    else:
        text = _several_gains(results)
    return (opening + text if opening else text[0].upper() + text[1:]) + "."


def cautions(results: SectionResults) -> list[str]:
    """Return what limits the results, a sentence each."""
    section = results.section
    found = list(section.cautions)
    if results.undefined:
        names = listed([readable(name) for name in results.undefined])
        found.append(
            f"{names}: the list lacks positives or negatives, so AUROC is undefined and no mean includes it."
        )
    if results.scarce:
        names = listed([readable(name) for name in results.scarce])
        found.append(
            f"{names}: fewer than {FEWEST_PATIENTS} patients with or without it, too few for a confidence "
            "interval."
        )
    rules = {
        rule_text(run.threshold_rule, run.target_sensitivity): None
        for run, run_results in results.runs.items()
        if run_results.validated
    }
    if len(rules) > 1:
        found.append(
            f"The runs chose their thresholds by different rules ({listed(list(rules))}): sensitivity, "
            "specificity, accuracy and F1 at the operating thresholds must not be compared across rules."
        )
    return found


def speed(gain: Gain) -> str:
    """Return after how many epochs validation AUROC reached what the student alone reached, or nothing.

    With several seeds, the numbers are means over the pairs in which the taught student got there.
    """
    reached = []
    for taught, alone in gain.teaching.pairs:
        curve = alone.validation_auroc
        if len(curve) and len(taught.validation_auroc) and not np.isnan(curve).all():
            best = float(np.nanmax(curve))
            epochs = epochs_to_reach(taught.validation_auroc, best)
            reached.append((best, epochs_to_reach(curve, best), epochs))
    got_there = [each for each in reached if each[2] is not None]
    if not reached:
        return ""
    if not got_there:
        best = figure(float(np.mean([each[0] for each in reached])))
        return f"the taught student never reaches the validation AUROC of the student alone ({best})"
    best, alone_epochs, taught_epochs = np.mean(got_there, axis=0)
    text = (
        f"the taught student reaches a validation AUROC of {figure(best)} after {taught_epochs:g} "
        f"epoch{'' if taught_epochs == 1 else 's'}, the student alone after {alone_epochs:g}"
    )
    missing = len(reached) - len(got_there)
    return f"{text} (in {len(got_there)} of {len(reached)} seeds; never in the others)" if missing else text


def _networks(results: SectionResults) -> str:
    alone = results.section.alone
    seeds = seeds_text([len(arm.runs) for arm in alone])
    if len(alone) == 1:
        return f"{alone[0].name} was, with {seeds}"
    return f"{len(alone)} networks alone were, with {seeds} each"


def _one_gain(results: SectionResults, gain: Gain) -> str:
    teaching, difference = gain.teaching, gain.macro
    taught, alone = figure(float(gain.taught.macro().values)), figure(float(gain.alone.macro().values))
    text = (
        f"{teaching.taught.network} reaches a mean AUROC of {alone} alone and {taught} when taught by "
        f"{teaching.by}"
    )
    certainty = _certainty(results, gain)
    if not teaching.is_fair:
        return (
            f"{text}. The difference of {signed(difference.value)} ({certainty}) is not the effect of the "
            "teacher alone, and no p-value is given, because the runs also differ: "
            f"{listed(teaching.differences)}"
        )
    doubt = ""
    if difference.low > 0:
        verdict = f"{_kind(gain, 'gain')} of {figure(difference.value)}"
    elif difference.high < 0:
        verdict = f"{_kind(gain, 'loss')} of {figure(-difference.value)}"
    else:
        verdict = f"a difference of {signed(difference.value)}"
        doubt = "" if math.isnan(difference.low) else ", which chance alone could give"
    return f"{text}: {verdict} ({certainty}){doubt}{_at_the_end(gain)}"


def _kind(gain: Gain, what: str) -> str:
    if gain.teaching.is_rising:
        return f"the taught student learns {'faster' if what == 'gain' else 'more slowly'}, a {what}"
    return f"a {what}"


def _at_the_end(gain: Gain) -> str:
    """Say whether the trainings had reached their plateau, which decides what a difference means."""
    if gain.teaching.is_rising is None:
        return "; whether validation AUROC was still rising when the trainings ended was not recorded"
    if not gain.teaching.is_rising:
        return "; validation AUROC had stopped rising when the trainings ended"
    pace = speed(gain)
    text = "; validation AUROC was still rising when the trainings ended, so this is speed of learning"
    return f"{text}: {pace}" if pace else text


def _certainty(results: SectionResults, gain: Gain, adjustment: str = "") -> str:
    seeds = seeds_text([len(gain.teaching.pairs)])
    if math.isnan(gain.macro.low):
        return f"too few patients for an interval; {seeds}"
    resamples = len(gain.taught.draws)
    p = p_value(float(gain.macro.p_value), resamples)
    return (
        f"{LEVEL_TEXT} interval {span(gain.macro)}, {f'{p}{adjustment}, ' if p else ''}"
        f"from {resamples:,} resamples of {results.section.patients:,} patients; {seeds}"
    )


def _several_gains(results: SectionResults) -> str:
    """Count the fair comparisons that show a difference, and name the greatest."""
    fair = [gain for gain in results.gains if gain.teaching.is_fair]
    others = len(results.gains) - len(fair)
    if not fair:
        return (
            f"none of {len(results.gains)} taught students can be compared with a student alone that differs "
            "by the teacher alone, so no p-value is given; the table says what else differs"
        )
    values = np.array([gain.macro.value for gain in fair], dtype=np.float64)
    adjusted = results.adjusted[[gain.teaching.is_fair for gain in results.gains]]
    is_clear = adjusted <= SIGNIFICANT
    student = listed(sorted({gain.teaching.taught.network for gain in fair}))
    raised, lowered = int(np.sum(is_clear & (values > 0))), int(np.sum(is_clear & (values < 0)))
    seed_counts = [len(gain.teaching.pairs) for gain in fair]
    drawn = "patients" if max(seed_counts) == 1 else "patients and seeds"
    text = (
        f"{_share(raised, len(fair))} taught students {'has' if raised == 1 else 'have'} a higher mean AUROC "
        f"than {student} alone, by more than the random draw of {drawn} explains"
    )
    if lowered:
        text += f", and {lowered} {'has' if lowered == 1 else 'have'} a lower one"
    text += f" ({seeds_text(seed_counts)} each)"
    largest = fair[int(np.nanargmax(values))] if not np.isnan(values).all() else fair[0]
    adjustment = f" before adjustment for {counted(len(fair), 'comparison')}"
    text += (
        f"; the greatest difference is {signed(largest.macro.value)} when taught by {largest.teaching.by} "
        f"({_certainty(results, largest, adjustment)})"
    )
    rising = sum(bool(gain.teaching.is_rising) for gain in fair)
    if rising:
        text += (
            f". In {_share(rising, len(fair))}, validation AUROC was still rising when the trainings ended: "
            "those differences show speed of learning"
        )
    if others:
        text += f". {counted(others, 'comparison')} with further differences not counted"
    return text


def _share(count: int, total: int) -> str:
    return f"{'none' if count == 0 else 'all' if count == total else count} of {total}"
