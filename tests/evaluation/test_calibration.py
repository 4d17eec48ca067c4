"""Thresholds against an exhaustive search, calibration against known truth; the test list is refused."""

import dataclasses
import inspect
import itertools
import json

import numpy as np
import pytest
from scipy.special import expit, log_expit, logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import f1_score, recall_score

from cxr14.errors import InputError
from cxr14.evaluation import calibration, metrics
from cxr14.evaluation.calibration import (
    Calibration,
    calibrated,
    choose_thresholds,
    fit_calibrations,
    reliability,
)
from cxr14.evaluation.confusion import confusion
from cxr14.evaluation.predictions import Predictions

FINDINGS = ("Mass", "Nodule", "Hernia")


def validation(
    seed: int = 0, rows: int = 60, steps: int = 15, sharpness: float = 1.0, shift: float = 0.0, **changes
) -> Predictions:
    """Labels drawn from calibrated logits, which are then scaled and shifted; ties by `steps`."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(-0.5, 1.5, (rows, 3))
    labels = (draw.random(logits.shape) < expit(logits)).astype(np.uint8)
    probabilities = np.round(expit(logits * sharpness + shift) * steps) / steps
    logits = logit(np.clip(probabilities, 0.5 / steps, 1 - 0.5 / steps))
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
        "weights_hash": "a",
        "list_fingerprint": "b",
    }
    return Predictions(**fields | changes)


def youden(labels: np.ndarray, decisions: np.ndarray) -> float:
    return recall_score(labels, decisions) + recall_score(labels, decisions, pos_label=0)


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
        reached = confusion(predictions.labels, predictions.probabilities, thresholds)
        assert (reached.sensitivity >= target).all()


def test_the_chosen_threshold_survives_json_and_float32():
    """A threshold is one of the probabilities; the metrics must put that very probability on the yes side."""
    predictions = validation(steps=10**6)
    thresholds = choose_thresholds(predictions)
    assert thresholds.dtype == np.float64
    for finding, threshold in enumerate(float(repr(float(value))) for value in thresholds):
        yes = confusion(predictions.labels, predictions.probabilities, threshold)
        positive = yes.true_positives[finding] + yes.false_positives[finding]
        assert positive == (predictions.probabilities[:, finding] >= np.float32(threshold)).sum()


def test_missing_class_has_no_threshold_and_no_calibration():
    predictions = validation(rows=2000)
    labels = predictions.labels.copy()
    labels[:, 0], labels[:, 2] = 0, 1
    predictions = dataclasses.replace(predictions, labels=labels, logits=predictions.logits * 3)
    assert np.isnan(choose_thresholds(predictions)).tolist() == [True, False, True]
    calibrations = fit_calibrations(predictions)
    assert [each.method == "none" for each in calibrations] == [True, False, True]
    np.testing.assert_array_equal(
        calibrated(predictions.logits, calibrations)[:, 0], expit(predictions.logits[:, 0])
    )


def test_predictions_of_the_test_list_raise_input_error():
    test = validation(split="test")
    with pytest.raises(InputError, match="thresholds are chosen on validation"):
        choose_thresholds(test)
    with pytest.raises(InputError, match="calibrations are chosen on validation"):
        fit_calibrations(test)


def test_functions_that_choose_take_predictions():
    """No public function of the module returns a threshold or a calibration for bare labels."""
    choosing_nothing = {"calibrated", "reliability", "require_rule"}
    public = {
        name: function
        for name, function in inspect.getmembers(calibration, inspect.isfunction)
        if function.__module__ == calibration.__name__ and not name.startswith("_")
    }
    for name in public.keys() - choosing_nothing:
        assert next(iter(inspect.signature(public[name]).parameters)) == "predictions"


@pytest.mark.parametrize(
    ("rule", "target", "message"),
    [
        ("best", None, "is no rule"),
        ("sensitivity", None, "needs a target"),
        ("sensitivity", 0.0, "needs a target"),
        ("sensitivity", 90, "needs a target"),
        ("youden", 0.9, "takes no target"),
    ],
)
def test_invalid_rule_raises_input_error(rule, target, message):
    with pytest.raises(InputError, match=message):
        choose_thresholds(validation(), rule, target)


@pytest.mark.parametrize(
    ("sharpness", "shift", "method"),
    [
        (1.0, 0.0, "none"),
        (0.5, 0.0, "temperature"),
        (3.0, 0.0, "temperature"),
        (1.0, 1.5, "Platt"),
        (0.6, -0.8, "Platt"),
    ],
)
def test_calibration_undoes_scale_and_shift(sharpness, shift, method):
    predictions = validation(rows=40_000, steps=10**6, sharpness=sharpness, shift=shift)
    calibrations = fit_calibrations(predictions)
    assert [each.method for each in calibrations] == [method] * 3
    for each in calibrations:
        assert each.slope == pytest.approx(1 / sharpness, rel=0.06)
        assert each.intercept == pytest.approx(-shift / sharpness, abs=0.08)
    probabilities = calibrated(predictions.logits, calibrations)
    assert (metrics.expected_calibration_error(predictions.labels, probabilities) < 0.02).all()
    np.testing.assert_array_equal(
        metrics.auroc(predictions.labels, probabilities),
        metrics.auroc(predictions.labels, predictions.logits),
    )


def test_temperature_alone_does_not_undo_a_shift():
    """The reason for Platt scaling: the best temperature leaves a calibration error of more than 0.1."""
    predictions = validation(rows=20_000, steps=10**6, shift=1.5)
    y, z = predictions.labels[:, 0] == 1, predictions.logits[:, 0].astype(np.float64)
    best = calibration._fit_temperature(y, z)
    error = metrics.expected_calibration_error(y[:, None], best.probabilities(z)[:, None])
    assert error[0] > 0.1
    assert error[0] > 10 * metrics.expected_calibration_error(
        y[:, None], fit_calibrations(predictions)[0].probabilities(z)[:, None]
    )


def log_loss(labels, logits, calibrations):
    scaled = np.stack([c.slope * z + c.intercept for c, z in zip(calibrations, logits.T, strict=True)], 1)
    return -np.where(labels, log_expit(scaled), log_expit(-scaled)).mean(axis=0)


def test_log_loss_on_validation_never_rises():
    changed = 0
    for seed in range(30):
        draw = np.random.default_rng(seed)
        predictions = validation(
            seed, rows=int(draw.integers(20, 300)), sharpness=draw.uniform(0.3, 3), shift=draw.normal()
        )
        calibrations = fit_calibrations(predictions)
        y, z = predictions.labels, predictions.logits
        assert (log_loss(y, z, calibrations) <= log_loss(y, z, [Calibration()] * 3)).all()
        changed += sum(each.method != "none" for each in calibrations)
    assert changed > 30


def test_fits_are_the_likeliest_on_a_grid():
    predictions = validation(3, sharpness=2.0, shift=0.5, rows=200)
    y, z = predictions.labels[:, 0] == 1, predictions.logits[:, 0].astype(np.float64)
    temperature, platt = calibration._fit_temperature(y, z), calibration._fit_platt(y, z)
    n, m = (~y).sum(), y.sum()
    target = np.where(y, (m + 1) / (m + 2), 1 / (n + 2))  # Platt 1999, section 2.2

    def loss(slope, intercept, target):
        scaled = slope * z + intercept
        return -(target * log_expit(scaled) + (1 - target) * log_expit(-scaled)).mean()

    slopes = np.geomspace(0.011, 99, 200)
    assert loss(temperature.slope, 0, y) <= min(loss(slope, 0, y) for slope in slopes) + 1e-12
    grid = itertools.product(np.geomspace(0.05, 5, 80), np.linspace(-3, 3, 80))
    assert loss(platt.slope, platt.intercept, target) <= min(loss(*at, target) for at in grid) + 1e-9


def test_few_positive_patients_are_not_calibrated():
    """The radiographs of 4 patients cannot be divided among 5 folds, however many they are."""
    predictions = validation(rows=2000, steps=10**6, shift=2.0, patients=np.arange(2000) // 10)
    labels = predictions.labels.copy()
    labels[predictions.patients >= 4, 1] = 0
    labels[::10, 1] |= predictions.patients[::10] < 4
    calibrations = fit_calibrations(dataclasses.replace(predictions, labels=labels))
    assert [each.method for each in calibrations] == ["Platt", "none", "Platt"]


def test_folds_keep_patients_together_and_spread_positives():
    draw = np.random.default_rng(0)
    patients = draw.integers(0, 40, 300)
    positive = np.isin(patients, [3, 7, 11, 20, 33, 39]) & (draw.random(300) < 0.9)
    folds = calibration._folds(positive, np.unique(patients, return_inverse=True)[1])
    for patient in range(40):
        assert len(np.unique(folds[patients == patient])) == 1
    assert set(folds[positive]) == set(range(calibration.FOLDS))


def test_separated_and_reversed_findings_stay_finite():
    labels = np.repeat([[0], [1]], 50, axis=0).repeat(3, axis=1)
    logits = np.stack([labels[:, 0] * 2 - 1, 1 - labels[:, 0] * 2, np.zeros(100)], axis=1) * 50.0
    predictions = validation(rows=100, labels=labels, logits=logits, probabilities=expit(logits))
    for each in fit_calibrations(predictions):
        assert np.isfinite([each.slope, each.intercept]).all()
        assert 0.01 <= each.slope <= 100
    for y, z in zip(labels.T == 1, logits.T, strict=True):
        platt = calibration._fit_platt(y, z)
        assert np.isfinite([platt.slope, platt.intercept]).all() and 0.01 <= platt.slope <= 100


def test_a_calibration_survives_json():
    one = Calibration("Platt", 0.1 + 0.2, -1 / 3)
    assert Calibration(**json.loads(json.dumps(dataclasses.asdict(one)))) == one


def test_reliability_equals_scikit_learn():
    predictions = validation(rows=500, steps=10**6)
    shown = reliability(predictions.labels, predictions.probabilities, bins=10)
    assert (shown.counts.sum(axis=0) == 500).all()
    assert shown.centres == pytest.approx([0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95])
    for finding in range(3):
        observed, predicted = calibration_curve(
            predictions.labels[:, finding], predictions.probabilities[:, finding], n_bins=10
        )
        some = shown.counts[:, finding] > 0
        assert shown.observed[some, finding] == pytest.approx(observed, abs=1e-12)
        assert shown.predicted[some, finding] == pytest.approx(predicted, abs=1e-7)
    empty = shown.counts == 0
    np.testing.assert_array_equal(np.isnan(shown.observed), empty)
    gaps = np.abs(shown.observed - shown.predicted) * shown.counts / 500
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
        expected = getattr(confusion(y[:, None], p[:, None], float(cut)), name)[0]
        assert getattr(outcome, name)[at] == pytest.approx(expected, abs=1e-12)
