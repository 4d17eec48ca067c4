"""What is chosen on the validation list: operating thresholds, and temperatures for honest probabilities.

Both take predictions that know their split and refuse any but validation; there is no way to hand over bare
arrays, so a threshold or a temperature that was chosen on the test list cannot come from here.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

from cxr14.errors import InputError
from cxr14.evaluation.confusion import Confusion
from cxr14.evaluation.metrics import CALIBRATION_BINS, binned
from cxr14.evaluation.predictions import VALIDATION, Predictions
from cxr14.settings import Rule

_TEMPERATURES = (0.01, 100.0)
"""Where a temperature is sought: logits that separate without error would want 0, useless ones infinity."""


class Reliability(NamedTuple):
    """What was said against what was so, in equal bins of probability."""

    centres: np.ndarray
    """(bins,) the middle of each bin."""
    stated: np.ndarray
    """(bins, F) mean probability; NaN in an empty bin."""
    observed: np.ndarray
    """(bins, F) share of positives; NaN in an empty bin."""
    counts: np.ndarray
    """(bins, F) number of radiographs."""


def choose_thresholds(
    predictions: Predictions, rule: Rule = "youden", target: float | None = None
) -> np.ndarray:
    """Return each finding's operating threshold: a probability at or above it is a yes.

    Every cut between distinct probabilities is tried, so the choice is exact. Among equals the lowest
    threshold wins: an overlooked finding costs more than a second look.

    Args:
        predictions: of the validation list.
        rule: what the threshold is best at. "youden": sensitivity + specificity - 1 (Youden 1950); "f1": F1;
            "sensitivity": the highest threshold, and so the best specificity, whose sensitivity reaches
            `target`.
        target: sensitivity to reach, above 0, up to 1; for that rule alone.

    Returns:
        (F,) float64, each one of the probabilities; NaN where a finding has one class only.

    Raises:
        InputError: predictions of another list than validation, an unknown rule, or a target that does not
        fit it.
    """
    _require_validation(predictions, "thresholds")
    require_rule(rule, target)
    thresholds = np.full(len(predictions.findings), np.nan)
    for finding, (labels, probabilities) in enumerate(
        zip(predictions.labels.T == 1, predictions.probabilities.T, strict=True)
    ):
        if 0 < labels.sum() < len(labels):
            cuts, outcome = _all_cuts(labels, probabilities)
            thresholds[finding] = cuts[_best(outcome, rule, target)]
    return thresholds


def require_rule(rule: Rule, target: float | None) -> None:
    """Make sure that rule and target of `choose_thresholds` go together, before any work is done for them.

    Raises:
        InputError: an unknown rule, or a target that does not fit it.
    """
    if rule not in ("youden", "f1", "sensitivity"):
        raise InputError(f"{rule!r} is no rule for a threshold; take youden, f1 or sensitivity.")
    if rule == "sensitivity" and (target is None or not 0 < target <= 1):
        raise InputError(f"the rule sensitivity needs a target above 0, up to 1; {target} is none.")
    if rule != "sensitivity" and target is not None:
        raise InputError(f"the rule {rule} takes no target; only sensitivity does.")


def fit_temperatures(predictions: Predictions) -> np.ndarray:
    """Return for each finding the temperature whose division of the logits makes the labels likeliest.

    Guo et al. 2017, section 4.2, for independent binary questions: each finding minimises its own mean of
    log(1 + exp(z / T)) - y z / T, which is convex in 1 / T and so has one minimum in log T.

    Args:
        predictions: of the validation list.

    Returns:
        (F,) between 0.01 and 100; NaN where a finding has one class only.

    Raises:
        InputError: predictions of another list than validation.
    """
    _require_validation(predictions, "temperatures")
    temperatures = np.full(len(predictions.findings), np.nan)
    for finding, (labels, logits) in enumerate(
        zip(predictions.labels.T == 1, predictions.logits.T.astype(np.float64), strict=True)
    ):
        if 0 < labels.sum() < len(labels):
            found = minimize_scalar(
                _negative_log_likelihood,
                args=(logits, labels),
                bounds=np.log(_TEMPERATURES),
                method="bounded",
                options={"xatol": 1e-6},
            )
            temperatures[finding] = np.exp(found.x)
    return temperatures


def at_temperatures(logits: np.ndarray, temperatures: np.ndarray) -> np.ndarray:
    """Return probabilities after each finding's logits are divided by its temperature.

    Args:
        logits: (N, F), of any list.
        temperatures: (F,), above 0; NaN, which could not be fitted, leaves a finding as it is.

    Returns:
        (N, F), 0 to 1.
    """
    return expit(logits / np.where(np.isnan(temperatures), 1.0, temperatures))


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS) -> Reliability:
    """Return what a reliability plot shows, in the bins of `metrics.expected_calibration_error`.

    Args:
        labels: (N, F), 0 or 1.
        probabilities: (N, F), 0 to 1.
        bins: equal bins from 0 to 1.
    """
    counts, stated, observed = binned(labels, probabilities, bins)
    some = np.where(counts > 0, counts, np.nan)
    return Reliability((np.arange(bins) + 0.5) / bins, stated / some, observed / some, counts)


def _require_validation(predictions: Predictions, what: str) -> None:
    if predictions.split != VALIDATION:
        raise InputError(
            f"{what} are chosen on validation; these are predictions of the {predictions.split} list."
        )


def _all_cuts(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, Confusion]:
    """Return the distinct probabilities, ascending, and what a threshold at each comes to."""
    cuts, at = np.unique(probabilities, return_inverse=True)
    positives = np.bincount(at[labels], minlength=len(cuts))
    negatives = np.bincount(at[~labels], minlength=len(cuts))
    missed, let_be = positives.cumsum() - positives, negatives.cumsum() - negatives  # below each cut
    return cuts, Confusion(positives.sum() - missed, negatives.sum() - let_be, missed, let_be)


def _best(outcome: Confusion, rule: Rule, target: float | None) -> int:
    if rule == "sensitivity":
        return int(np.flatnonzero(outcome.sensitivity >= target)[-1])
    if rule == "f1":
        return int(np.argmax(outcome.f1))
    # Youden's index times both class sizes is an integer, so that rounding parts no equals.
    right = outcome.true_positives * (outcome.true_negatives + outcome.false_positives)
    wrong = outcome.false_positives * (outcome.true_positives + outcome.false_negatives)
    return int(np.argmax(right - wrong))


def _negative_log_likelihood(log_temperature: float, logits: np.ndarray, labels: np.ndarray) -> float:
    cooled = logits * np.exp(-log_temperature)
    return float(np.mean(np.logaddexp(0, cooled) - np.where(labels, cooled, 0)))
