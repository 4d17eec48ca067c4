"""Thresholds against a search by hand, temperatures against known truth, and the refusal of the test list."""

import dataclasses
import inspect
import itertools

import numpy as np
import pytest
from scipy.special import expit, log_expit, logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import f1_score, recall_score

from cxr14.errors import InputError
from cxr14.evaluation import calibration, metrics
from cxr14.evaluation.calibration import at_temperatures, choose_thresholds, fit_temperatures, reliability
from cxr14.evaluation.predictions import Predictions

FINDINGS = ("Mass", "Nodule", "Hernia")


def validation(
    seed: int = 0, rows: int = 60, steps: int = 15, sharpness: float = 1.0, **changes
) -> Predictions:
    """Labels drawn with the probabilities that the logits, divided by `sharpness`, say; ties by `steps`."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(-0.5, 1.5, (rows, 3))
    labels = (draw.random(logits.shape) < expit(logits)).astype(np.uint8)
    logits = logit(np.clip(np.round(expit(logits * sharpness) * steps) / steps, 0.5 / steps, 1 - 0.5 / steps))
    fields = {
        "names": np.arange(rows),
        "patients": np.arange(rows),
        "labels": labels,
        "probabilities": expit(logits).astype(np.float32),
        "logits": logits,
        "findings": FINDINGS,
        "split": "val",
        "network": "3-CheXNet",
        "teacher": None,
        "checkpoint_fingerprint": "a",
        "list_fingerprint": "b",
    }
    return Predictions(**fields | changes)


def youden(labels: np.ndarray, said: np.ndarray) -> float:
    return recall_score(labels, said) + recall_score(labels, said, pos_label=0)


@pytest.mark.parametrize(("rule", "worth"), [("youden", youden), ("f1", f1_score)])
def test_no_cut_is_better_than_the_chosen_one(rule, worth):
    for seed in range(12):
        predictions = validation(seed)
        thresholds = choose_thresholds(predictions, rule)
        for y, p, chosen in zip(predictions.labels.T, predictions.probabilities.T, thresholds, strict=True):
            worths = {cut: worth(y, p >= cut) for cut in np.unique(p)}
            best = max(worths.values())
            assert worth(y, p >= chosen) == pytest.approx(best, abs=1e-12)
            assert chosen == min(cut for cut, value in worths.items() if value > best - 1e-12)


@pytest.mark.parametrize("target", [0.01, 0.8, 0.9, 1.0])
def test_a_fixed_sensitivity_is_reached_with_the_best_specificity(target):
    for seed in range(12):
        predictions = validation(seed)
        thresholds = choose_thresholds(predictions, "sensitivity", target)
        for y, p, chosen in zip(predictions.labels.T, predictions.probabilities.T, thresholds, strict=True):
            assert recall_score(y, p >= chosen) >= target
            higher = [cut for cut in np.unique(p) if cut > chosen]
            assert all(recall_score(y, p >= cut) < target for cut in higher)
        reached = metrics.sensitivity(predictions.labels, predictions.probabilities, thresholds)
        assert (reached >= target).all()


def test_the_chosen_threshold_survives_json_and_float32():
    """A threshold is one of the probabilities; the metrics must put that very probability on the yes side."""
    predictions = validation(steps=10**6)
    thresholds = choose_thresholds(predictions)
    assert thresholds.dtype == np.float64
    for finding, threshold in enumerate(float(repr(float(value))) for value in thresholds):
        yes = metrics.confusion(predictions.labels, predictions.probabilities, threshold)
        said = yes.true_positives[finding] + yes.false_positives[finding]
        assert said == (predictions.probabilities[:, finding] >= np.float32(threshold)).sum()


def test_a_missing_class_has_no_threshold_and_no_temperature():
    predictions = validation()
    labels = predictions.labels.copy()
    labels[:, 0], labels[:, 2] = 0, 1
    predictions = dataclasses.replace(predictions, labels=labels)
    for chosen in (choose_thresholds(predictions), fit_temperatures(predictions)):
        assert np.isnan(chosen).tolist() == [True, False, True]
    cooled = at_temperatures(predictions.logits, fit_temperatures(predictions))
    np.testing.assert_array_equal(cooled[:, 0], expit(predictions.logits[:, 0]))


def test_nothing_is_chosen_on_the_test_list():
    test = validation(split="test")
    with pytest.raises(InputError, match="thresholds are chosen on validation"):
        choose_thresholds(test)
    with pytest.raises(InputError, match="temperatures are chosen on validation"):
        fit_temperatures(test)


def test_whatever_chooses_takes_predictions_that_know_their_split():
    """No public function of the room can be given bare labels and hand back a threshold or a temperature."""
    choosing_nothing = {"at_temperatures", "reliability", "require_rule"}
    public = {
        name: function
        for name, function in inspect.getmembers(calibration, inspect.isfunction)
        if function.__module__ == calibration.__name__ and not name.startswith("_")
    }
    for name in public.keys() - choosing_nothing:
        assert next(iter(inspect.signature(public[name]).parameters)) == "predictions"


@pytest.mark.parametrize(
    ("rule", "target", "sentence"),
    [
        ("best", None, "is no rule"),
        ("sensitivity", None, "needs a target"),
        ("sensitivity", 0.0, "needs a target"),
        ("sensitivity", 90, "needs a target"),
        ("youden", 0.9, "takes no target"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule, target, sentence):
    with pytest.raises(InputError, match=sentence):
        choose_thresholds(validation(), rule, target)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_sharpened_the_logits(sharpness):
    predictions = validation(rows=20_000, steps=10**6, sharpness=sharpness)
    temperatures = fit_temperatures(predictions)
    assert temperatures == pytest.approx(np.full(3, sharpness), rel=0.05)
    cooled = at_temperatures(predictions.logits, temperatures)
    error = metrics.expected_calibration_error(predictions.labels, cooled)
    assert (error < 0.02).all()
    np.testing.assert_array_equal(
        metrics.auroc(predictions.labels, cooled), metrics.auroc(predictions.labels, predictions.logits)
    )


def test_no_temperature_on_a_grid_is_likelier():
    predictions = validation(3)
    y, z = predictions.labels, predictions.logits

    def loss(temperature):
        return -np.where(y, log_expit(z / temperature), log_expit(-z / temperature)).mean(axis=0)

    fitted = loss(fit_temperatures(predictions))
    for temperature in np.geomspace(0.011, 99, 300):
        assert (fitted <= loss(temperature) + 1e-12).all()


def test_separated_and_reversed_findings_stay_within_bounds():
    labels = np.repeat([[0], [1]], 10, axis=0).repeat(3, axis=1)
    logits = np.stack([labels[:, 0] * 2 - 1, 1 - labels[:, 0] * 2, np.zeros(20)], axis=1) * 50.0
    temperatures = fit_temperatures(
        validation(rows=20, labels=labels, logits=logits, probabilities=expit(logits))
    )
    assert np.isfinite(temperatures).all()
    assert temperatures[0] < 10 < 90 < temperatures[1] <= 100


def test_reliability_equals_scikit_learn():
    predictions = validation(rows=500, steps=10**6)
    shown = reliability(predictions.labels, predictions.probabilities, bins=10)
    assert (shown.counts.sum(axis=0) == 500).all()
    assert shown.centres == pytest.approx([0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95])
    for finding in range(3):
        observed, stated = calibration_curve(
            predictions.labels[:, finding], predictions.probabilities[:, finding], n_bins=10
        )
        some = shown.counts[:, finding] > 0
        assert shown.observed[some, finding] == pytest.approx(observed, abs=1e-12)
        assert shown.stated[some, finding] == pytest.approx(stated, abs=1e-7)
    empty = shown.counts == 0
    np.testing.assert_array_equal(np.isnan(shown.observed), empty)
    gaps = np.abs(shown.observed - shown.stated) * shown.counts / 500
    np.testing.assert_allclose(
        np.nansum(gaps, axis=0),
        metrics.expected_calibration_error(predictions.labels, predictions.probabilities, bins=10),
        atol=1e-12,
    )


def test_counts_at_every_cut_equal_the_metrics():
    predictions = validation(1)
    y, p = predictions.labels[:, 0] == 1, predictions.probabilities[:, 0]
    cuts, outcome = calibration._all_cuts(y, p)
    for (at, cut), name in itertools.product(
        enumerate(cuts), ("accuracy", "f1", "sensitivity", "specificity")
    ):
        expected = getattr(metrics, name)(y[:, None], p[:, None], float(cut))[0]
        assert getattr(outcome, name)[at] == pytest.approx(expected, abs=1e-12)
