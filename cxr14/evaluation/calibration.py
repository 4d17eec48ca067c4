"""Operating thresholds and calibration, fitted on the validation list.

Both take predictions that carry the name of their split and refuse any but validation. No function takes bare
arrays, so that neither can be fitted on the test list.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from cxr14.errors import InputError
from cxr14.evaluation.confusion import Confusion
from cxr14.evaluation.intervals import patients_of_each_class
from cxr14.evaluation.metrics import CALIBRATION_BINS, binned
from cxr14.evaluation.predictions import VALIDATION, Predictions
from cxr14.settings import Rule

Method = Literal["none", "temperature", "Platt"]

FOLDS = 5
"""Folds of patients that choose the method; a finding with fewer patients of a class is not calibrated."""

_SLOPES = (0.01, 100.0)
"""Range of a slope, positive so that no ranking changes: logits that separate the classes without error would
otherwise take an infinite one."""


@dataclass(frozen=True)
class Calibration:
    """Calibration of one finding: its probability is sigmoid(slope * logit + intercept)."""

    method: Method = "none"
    slope: float = 1.0
    """0.01 to 100; the reciprocal of a temperature."""
    intercept: float = 0.0
    """0 without Platt scaling."""

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, 0 to 1, of this finding's logits, of any shape."""
        return expit(self.slope * logits + self.intercept)


class Reliability(NamedTuple):
    """Predicted probability and observed frequency in equal bins of probability."""

    centres: np.ndarray
    """(bins,) the middle of each bin."""
    predicted: np.ndarray
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
    threshold is taken: a missed finding costs more than a false alarm.

    Args:
        predictions: of the validation list.
        rule: what the threshold maximises. "youden": sensitivity + specificity - 1 (Youden 1950); "f1": F1;
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
    """Check rule and target of `choose_thresholds` before any work is done for them.

    Raises:
        InputError: an unknown rule, or a target that does not fit it.
    """
    if rule not in ("youden", "f1", "sensitivity"):
        raise InputError(f"{rule!r} is no rule for a threshold; take youden, f1 or sensitivity.")
    if rule == "sensitivity" and (target is None or not 0 < target <= 1):
        raise InputError(f"the rule sensitivity needs a target above 0, up to 1; {target} is none.")
    if rule != "sensitivity" and target is not None:
        raise InputError(f"the rule {rule} takes no target; only sensitivity does.")


def fit_calibrations(predictions: Predictions) -> tuple[Calibration, ...]:
    """Return the calibration of each finding: none, a temperature, or Platt scaling.

    A temperature (Guo et al. 2017, section 4.2) rescales the logits; Platt scaling (Platt 1999) also shifts
    them, which a focal loss makes necessary. Of the three, a later one is taken only if it lowers the log
    loss on patients that it was not fitted on, in `FOLDS`-fold cross-validation, by more than two standard
    errors, and if it lowers the log loss of the whole list too.

    Args:
        predictions: of the validation list.

    Returns:
        F calibrations; no calibration where a class has fewer than `FOLDS` patients.

    Raises:
        InputError: predictions of another list than validation.
    """
    _require_validation(predictions, "calibrations")
    positive = predictions.labels == 1
    counts = np.min(patients_of_each_class(positive, predictions.patients), axis=0)
    patients = np.unique(predictions.patients, return_inverse=True)[1]
    logits = predictions.logits.astype(np.float64)
    return tuple(
        _choose(positive[:, finding], logits[:, finding], patients) if count >= FOLDS else Calibration()
        for finding, count in enumerate(counts)
    )


def calibrated(logits: np.ndarray, calibrations: tuple[Calibration, ...]) -> np.ndarray:
    """Return calibrated probabilities, (N, F), 0 to 1, of the logits of any list.

    Args:
        logits: (N, F).
        calibrations: F of them.
    """
    columns = zip(logits.T, calibrations, strict=True)
    return np.stack([each.probabilities(column) for column, each in columns], axis=1)


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS) -> Reliability:
    """Return the values of a reliability plot, in the bins of `metrics.expected_calibration_error`.

    Args:
        labels: (N, F), 0 or 1.
        probabilities: (N, F), 0 to 1.
        bins: equal bins from 0 to 1.
    """
    counts, predicted, observed = binned(labels, probabilities, bins)
    filled = np.where(counts > 0, counts, np.nan)
    return Reliability((np.arange(bins) + 0.5) / bins, predicted / filled, observed / filled, counts)


def _require_validation(predictions: Predictions, what: str) -> None:
    if predictions.split != VALIDATION:
        raise InputError(
            f"{what} are chosen on validation; these are predictions of the {predictions.split} list."
        )


def _all_cuts(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, Confusion]:
    """Return the distinct probabilities, ascending, and the confusion counts of a threshold at each."""
    cuts, at = np.unique(probabilities, return_inverse=True)
    positives = np.bincount(at[labels], minlength=len(cuts))
    negatives = np.bincount(at[~labels], minlength=len(cuts))
    missed, rejected = positives.cumsum() - positives, negatives.cumsum() - negatives  # below each cut
    return cuts, Confusion(positives.sum() - missed, negatives.sum() - rejected, missed, rejected)


def _best(outcome: Confusion, rule: Rule, target: float | None) -> int:
    if rule == "sensitivity":
        return int(np.flatnonzero(outcome.sensitivity >= target)[-1])
    if rule == "f1":
        return int(np.argmax(outcome.f1))
    # Youden's index times both class sizes is an integer, so that rounding separates no equal values.
    right = outcome.true_positives * (outcome.true_negatives + outcome.false_positives)
    wrong = outcome.false_positives * (outcome.true_positives + outcome.false_negatives)
    return int(np.argmax(right - wrong))


def _choose(positive: np.ndarray, logits: np.ndarray, patients: np.ndarray) -> Calibration:
    """Choose the method of one finding; patients are numbered from 0."""
    folds = _folds(positive, patients)
    best, best_losses = Calibration(), _losses(positive, logits)
    for fit in (_fit_temperature, _fit_platt):
        losses = np.empty(len(logits))
        for fold in range(FOLDS):
            held_out = folds == fold
            fitted = fit(positive[~held_out], logits[~held_out])
            losses[held_out] = _losses(positive[held_out], logits[held_out], fitted)
        gains = np.bincount(patients, weights=best_losses - losses)  # a patient's radiographs are no sample
        calibration = fit(positive, logits)
        lowers = _losses(positive, logits, calibration).mean() < _losses(positive, logits, best).mean()
        if lowers and gains.mean() > 2 * gains.std(ddof=1) / np.sqrt(len(gains)):
            best, best_losses = calibration, losses
    return best


def _folds(positive: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Return the fold of each radiograph, (N,): one for all of a patient, and positive patients in each."""
    has_finding = np.bincount(patients, weights=positive) > 0
    order = np.random.default_rng(0).permutation(len(has_finding))
    order = order[np.argsort(has_finding[order], kind="stable")]
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = np.arange(len(order)) % FOLDS
    return fold[patients]


def _losses(positive: np.ndarray, logits: np.ndarray, calibration: Calibration = Calibration()) -> np.ndarray:
    """Return the log loss of each radiograph, (N,)."""
    scaled = calibration.slope * logits + calibration.intercept
    return np.logaddexp(0, scaled) - np.where(positive, scaled, 0)


def _fit_temperature(positive: np.ndarray, logits: np.ndarray) -> Calibration:
    # Convex in the slope, and so with one minimum in its logarithm.
    found = minimize_scalar(
        lambda log_slope: _losses(positive, logits, Calibration(slope=np.exp(log_slope))).mean(),
        bounds=np.log(_SLOPES),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return Calibration("temperature", float(np.exp(found.x)))


def _fit_platt(positive: np.ndarray, logits: np.ndarray) -> Calibration:
    """Fit to Platt's smoothed labels, with which separable classes keep a finite slope."""
    count = positive.sum()
    target = np.where(positive, (count + 1) / (count + 2), 1 / (len(positive) - count + 2))
    # Standardised, both parameters have a similar scale; the loss is convex in them.
    centre, scale = logits.mean(), max(logits.std(), 1e-12)
    standard = (logits - centre) / scale

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = parameters[0] * standard + parameters[1]
        error = expit(scaled) - target
        value = np.mean(np.logaddexp(0, scaled) - target * scaled)
        return value, np.array([np.mean(error * standard), np.mean(error)])

    bounds = [tuple(scale * end for end in _SLOPES), (None, None)]
    start = np.array([scale, centre])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12})
    slope = float(np.clip(found.x[0] / scale, *_SLOPES))
    return Calibration("Platt", slope, float(found.x[1] - slope * centre))
