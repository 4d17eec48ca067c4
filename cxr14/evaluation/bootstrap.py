"""Patient-level bootstrap confidence intervals and paired differences.

    resamples = Resamples(patients)
    alone = bootstrap_auroc(labels, probabilities_alone, resamples)
    taught = bootstrap_auroc(labels, probabilities_taught, resamples)
    alone.interval(), alone.macro().interval()
    paired_difference(taught.macro(), alone.macro())

The resamples give the variances of findings and their covariances between findings and networks; `intervals`
makes confidence intervals from them. Percentiles of the resamples are too narrow for rare findings.
"""

from dataclasses import dataclass

import numpy as np

from cxr14.evaluation import intervals, metrics
from cxr14.evaluation.confusion import checked, confusion
from cxr14.evaluation.intervals import LEVEL, Difference, Interval
from cxr14.evaluation.resamples import Resamples, auroc_draws, average_precision_draws, confusion_draws


@dataclass(frozen=True, eq=False)
class Bootstrapped:
    """A metric of each finding on the list itself and on every resample of it."""

    values: np.ndarray
    """(F,); NaN where undefined."""
    draws: np.ndarray
    """(R, F); NaN where undefined, or where a resample lost one of the two classes."""
    resamples: Resamples
    patients: np.ndarray
    """(F,) number of patients behind the value: of an AUROC, those of the rarer class."""
    centres: np.ndarray
    """(F,) the value moved towards chance, see `intervals.shrunk`; of a difference, the value."""
    prior_variance: np.ndarray
    """(F,) see `intervals.moderated`."""
    by_seed: np.ndarray | None = None
    """(S, F) the values of S trainings whose mean `values` is; None for one training."""

    def macro(self) -> "MacroMean":
        """Return the mean over the findings that are defined on the list."""
        return MacroMean(self)

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the confidence interval of each finding; NaN below `intervals.FEWEST_PATIENTS`.

        Args:
            level: confidence level, 0 to 1.
        """
        return intervals.logit_interval(self.values, self.centres, *self.spread(), level)

    def spread(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the variance of each value and its degrees of freedom, both (F,)."""
        degrees = intervals.degrees_of_freedom(self.patients)
        return intervals.with_seeds(self.patient_variance(), degrees, self.by_seed)

    def patient_variance(self) -> np.ndarray:
        """Return the moderated variance between draws of patients, (F,)."""
        present = np.maximum((~np.isnan(self.draws)).sum(axis=0), 1)
        variance = (self.deviations() ** 2).sum(axis=0) / present
        # Resamples of k patients vary by (k - 1) / k of the variance (Davison and Hinkley 1997, section 2.3).
        unbiased = variance * self.patients / np.maximum(self.patients - 1, 1)
        return intervals.moderated(unbiased, self.prior_variance, self.patients)

    def deviations(self) -> np.ndarray:
        """Return the draws less their mean, (R, F); 0 where a draw is undefined."""
        present = ~np.isnan(self.draws)
        mean = np.where(present, self.draws, 0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
        return np.where(present, self.draws - mean, 0)


@dataclass(frozen=True, eq=False)
class MacroMean:
    """The mean of a metric over the findings that are defined on the list."""

    findings: Bootstrapped

    @property
    def values(self) -> np.float64:
        """The mean; NaN if no finding is defined."""
        return np.float64(metrics.macro(self.findings.values)[0])

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the confidence interval of the mean; NaN if no finding is defined.

        Args:
            level: confidence level, 0 to 1.
        """
        centre = intervals.shrunk(self.values, len(self.findings.resamples.weights))
        return intervals.logit_interval(self.values, centre, *self.spread(), level)

    def spread(self) -> tuple[float, float]:
        """Return the variance of the mean and its degrees of freedom.

        The variance is that of the resamples, in which the variance of each finding is replaced by its
        moderated one.
        """
        defined = ~np.isnan(self.findings.values)
        if not defined.any():
            return float("nan"), float("nan")
        deviations = self.findings.deviations()[:, defined]
        added = self.findings.patient_variance()[defined] - np.mean(deviations**2, axis=0)
        variance = np.mean(deviations.mean(axis=1) ** 2) + added.sum() / defined.sum() ** 2
        by_seed = self.findings.by_seed
        means = None if by_seed is None else by_seed[:, defined].mean(axis=1)
        return intervals.with_seeds(max(variance, 0.0), len(self.findings.resamples.weights) - 1.0, means)


def bootstrap_auroc(labels: np.ndarray, scores: np.ndarray, resamples: Resamples) -> Bootstrapped:
    """Return the AUROC of each finding on the list and on every resample of its patients.

    Args:
        labels: (N, F), 0 or 1.
        scores: (N, F), any finite numbers.
        resamples: of the N radiographs' patients.

    Raises:
        ValueError: the resamples are those of another number of radiographs.
    """
    resamples.require_rows(labels)
    positive, scores = checked(labels, scores)
    values = metrics.auroc(labels, scores)
    with_it, without = intervals.patients_of_each_class(positive, resamples.patient)
    prior = intervals.auroc_prior(values, with_it, without)
    return Bootstrapped(values, auroc_draws(positive, scores, resamples), resamples, *prior)


def bootstrap_average_precision(labels: np.ndarray, scores: np.ndarray, resamples: Resamples) -> Bootstrapped:
    """Return the average precision of each finding; arguments as in `bootstrap_auroc`."""
    resamples.require_rows(labels)
    positive, scores = checked(labels, scores)
    values = metrics.average_precision(labels, scores)
    draws = average_precision_draws(positive, scores, resamples)
    rarer = np.minimum(*intervals.patients_of_each_class(positive, resamples.patient))
    return _of_proportion(values, draws, resamples, rarer, chance=positive.mean(axis=0))


def bootstrap_decisions(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: float | np.ndarray, resamples: Resamples
) -> dict[str, Bootstrapped]:
    """Return accuracy, F1, sensitivity and specificity, by their names in `metrics.OF_DECISIONS`.

    The thresholds are fixed: that they were chosen on a list of limited size is not part of the intervals.

    Args:
        labels: (N, F), 0 or 1.
        probabilities: (N, F), 0 to 1.
        thresholds: one for all findings, or (F,); NaN leaves a finding undefined.
        resamples: of the N radiographs' patients.

    Raises:
        ValueError: the resamples are those of another number of radiographs.
    """
    resamples.require_rows(labels)
    on_list = confusion(labels, probabilities, thresholds)
    drawn = confusion_draws(labels, probabilities, thresholds, resamples)
    positive, _ = checked(labels, probabilities)
    with_it, without = intervals.patients_of_each_class(positive, resamples.patient)
    everyone = np.full(len(with_it), len(resamples.weights))
    patients = {"accuracy": everyone, "f1": with_it, "sensitivity": with_it, "specificity": without}
    return {
        name: _of_proportion(getattr(on_list, key), getattr(drawn, key), resamples, patients[key])
        for name, key in metrics.OF_DECISIONS.items()
    }


def paired_difference(
    ours: Bootstrapped | MacroMean, theirs: Bootstrapped | MacroMean, level: float = LEVEL
) -> Difference:
    """Return ours minus theirs, with its confidence interval and the two-sided p-value that belongs to it.

    Where both are means over the same seeds, the seeds are paired too.

    Args:
        ours, theirs: the same metric of two networks on equal resamples of one list, both or neither a mean.
        level: confidence level, 0 to 1.

    Raises:
        ValueError: the resamples differ, so that nothing is paired.
    """
    if isinstance(ours, MacroMean) and isinstance(theirs, MacroMean):
        difference = _subtract(ours.findings, theirs.findings).macro()
    elif isinstance(ours, Bootstrapped) and isinstance(theirs, Bootstrapped):
        difference = _subtract(ours, theirs)
    else:
        raise ValueError("a paired difference needs two means over findings or none")
    return intervals.difference(difference.values, *difference.spread(), level)


def _subtract(ours: Bootstrapped, theirs: Bootstrapped) -> Bootstrapped:
    if ours.draws.shape != theirs.draws.shape or not ours.resamples.same_as(theirs.resamples):
        raise ValueError("a paired difference needs one metric of two networks on the same resamples")
    if np.shape(ours.by_seed) != np.shape(theirs.by_seed):
        raise ValueError("a paired difference needs as many seeds on both sides")
    values = ours.values - theirs.values
    return Bootstrapped(
        values,
        ours.draws - theirs.draws,
        ours.resamples,
        np.minimum(ours.patients, theirs.patients),
        values,
        (1 - intervals.PRIOR_CORRELATION) * (ours.prior_variance + theirs.prior_variance),
        None if ours.by_seed is None else ours.by_seed - theirs.by_seed,
    )


def _of_proportion(
    values: np.ndarray,
    draws: np.ndarray,
    resamples: Resamples,
    patients: np.ndarray,
    chance: float | np.ndarray = 0.5,
) -> Bootstrapped:
    centres = intervals.shrunk(values, patients, chance)
    prior = intervals.proportion_variance(centres, patients)
    return Bootstrapped(values, draws, resamples, patients, centres, prior)
