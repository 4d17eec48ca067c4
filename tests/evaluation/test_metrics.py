"""Metrics against scikit-learn and plain re-computation; predictions on disk."""

import itertools
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as reference

from cxr14.errors import InputError
from cxr14.evaluation import metrics
from cxr14.evaluation.confusion import confusion
from cxr14.evaluation.predictions import Predictions, require_same_radiographs
from cxr14.findings import FINDINGS

CASES = range(200)


def drawn(case: int, columns: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities with ties (few distinct values), rare findings and, often, a missing class."""
    draw = np.random.default_rng(case)
    rows = int(draw.integers(2, 120))
    labels = (draw.random((rows, columns)) < draw.choice([0.02, 0.2, 0.5, 0.98], columns)).astype(np.int64)
    probabilities = np.clip(draw.random((rows, columns)) * 0.8 + 0.2 * labels, 0, 1)
    steps = draw.choice([3, 10, 30, 10**6])
    probabilities = np.round(probabilities * steps) / steps
    return labels, probabilities.astype(draw.choice([np.float32, np.float64]))


def by_column(figure, labels, scores, needs=lambda y: 0 < y.sum() < len(y)):
    values = []
    for y, s in zip(labels.T, scores.T, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values.append(figure(y, s) if needs(y) else np.nan)
    return np.array(values)


def equal(ours, theirs, tolerance):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance, equal_nan=True)


def test_cases_contain_ties_and_missing_classes():
    one_class = ties = 0
    for case in CASES:
        labels, scores = drawn(case)
        one_class += int(np.isin(labels.sum(axis=0), (0, len(labels))).sum())
        ties += any(len(np.unique(column)) < len(column) for column in scores.T)
    assert one_class > 50 and ties > 100


@pytest.mark.parametrize("name", ["auroc", "average_precision"])
def test_ranking_equals_scikit_learn(name):
    theirs = {"auroc": reference.roc_auc_score, "average_precision": reference.average_precision_score}[name]
    for case in CASES:
        labels, scores = drawn(case)
        equal(getattr(metrics, name)(labels, scores), by_column(theirs, labels, scores), 1e-12)


@pytest.mark.parametrize("thresholds", [0.1, (0.3, 0.55, 0.9)])
def test_decisions_equal_scikit_learn(thresholds):
    cuts = np.broadcast_to(np.asarray(thresholds), 3)
    for case in CASES:
        labels, probabilities = drawn(case)
        decisions = (probabilities >= cuts).astype(int)
        some = lambda y: y.any()  # noqa: E731
        others = lambda y: not y.all()  # noqa: E731
        recall_of_0 = lambda y, s: reference.recall_score(y, s, pos_label=0)  # noqa: E731
        counts = confusion(labels, probabilities, thresholds)
        equal(counts.accuracy, by_column(reference.accuracy_score, labels, decisions, lambda y: True), 1e-9)
        equal(counts.f1, by_column(reference.f1_score, labels, decisions, some), 1e-9)
        equal(counts.sensitivity, by_column(reference.recall_score, labels, decisions, some), 1e-9)
        equal(counts.specificity, by_column(recall_of_0, labels, decisions, others), 1e-9)


def test_calibration_figures_equal_a_plain_recomputation():
    for case in CASES:
        labels, probabilities = drawn(case)
        wide = probabilities.astype(np.float64)
        equal(
            metrics.brier(labels, probabilities),
            by_column(reference.brier_score_loss, labels, wide, lambda y: True),
            1e-9,
        )
        bins = int(np.random.default_rng(case).integers(1, 25))
        edges = np.linspace(0, 1, bins + 1)
        expected = np.zeros(3)
        for finding in range(3):
            for low, high in itertools.pairwise(edges):
                p = wide[:, finding]
                inside = (p >= low) & ((p < high) | ((high == 1) & (p == 1)))
                if inside.any():
                    gap = abs(labels[inside, finding].mean() - p[inside].mean())
                    expected[finding] += inside.mean() * gap
        equal(metrics.expected_calibration_error(labels, probabilities, bins), expected, 1e-9)


def test_auroc_depends_on_order_only():
    labels, scores = drawn(7)
    value = metrics.auroc(labels, scores)
    equal(metrics.auroc(labels, 3 * np.exp(scores.astype(np.float64)) - 5), value, 0)
    equal(metrics.auroc(labels, -scores), 1 - value, 1e-15)


def test_integer_scores_and_many_rows():
    """Rank sums of 200,000 rows stay exact."""
    draw = np.random.default_rng(0)
    labels = draw.random((200_000, 1)) < 0.3
    scores = draw.integers(0, 1000, (200_000, 1))
    equal(metrics.auroc(labels, scores), [reference.roc_auc_score(labels, scores)], 1e-12)


def test_nan_threshold_leaves_its_finding_undefined():
    labels, probabilities = drawn(3)
    counts = confusion(labels, probabilities, np.array([0.5, np.nan, 0.5]))
    everywhere = confusion(labels, probabilities, 0.5)
    for name in metrics.OF_DECISIONS.values():
        values = getattr(counts, name)
        assert np.isnan(values[1])
        equal(values[[0, 2]], getattr(everywhere, name)[[0, 2]], 0)


def test_means_count_the_findings_that_they_cover():
    assert metrics.macro(np.array([0.5, np.nan, 1.0])) == (0.75, 2)
    mean, covered = metrics.macro(np.array([np.nan, np.nan]))
    assert np.isnan(mean) and covered == 0
    labels = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0]])
    assert metrics.weighted(np.array([0.4, np.nan, 0.8]), labels) == pytest.approx((3 * 0.4 + 0.8) / 4)
    assert np.isnan(metrics.weighted(np.full(3, np.nan), labels))
    assert metrics.undefined(np.array([0.5, np.nan]), ["Mass", "Hernia"]) == ("Hernia",)


def test_table_has_every_metric_and_the_counts():
    draw = np.random.default_rng(1)
    labels = (draw.random((60, 14)) < 0.3).astype(np.uint8)
    labels[:, 13] = 0
    probabilities = draw.random((60, 14)).astype(np.float32)
    thresholds = np.linspace(0.2, 0.8, 14)
    table = metrics.table(labels, probabilities, thresholds)
    assert list(table.index) == list(FINDINGS)
    assert (table[metrics.POSITIVES] + table[metrics.NEGATIVES] == 60).all()
    equal(table[metrics.AUROC], metrics.auroc(labels, probabilities), 0)
    equal(table["F1 at 0.5"], confusion(labels, probabilities, 0.5).f1, 0)
    equal(
        table["sensitivity at the operating threshold"],
        confusion(labels, probabilities, thresholds).sensitivity,
        0,
    )
    assert metrics.undefined(table[metrics.AUROC]) == ("Hernia",)
    means = metrics.means(table)
    assert metrics.macro(table[metrics.AUROC]) == tuple(
        means[metrics.AUROC][[metrics.MACRO, metrics.COVERED]]
    )
    assert means.loc[metrics.WEIGHTED, metrics.AUROC] == metrics.weighted(table[metrics.AUROC], labels)
    assert metrics.OPERATING_THRESHOLD not in metrics.table(labels, probabilities)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([[2], [0]], [[0.1], [0.2]], "neither 0 nor 1"),
        ([[np.nan], [0]], [[0.1], [0.2]], "neither 0 nor 1"),
        ([[1], [0]], [[np.nan], [0.2]], "not a finite number"),
        ([[1], [0]], [[3.0], [0.2]], "outside 0 to 1"),
    ],
)
def test_invalid_labels_and_probabilities_raise_input_error(labels, probabilities, message):
    with pytest.raises(InputError, match=message):
        metrics.table(np.array(labels), np.array(probabilities), findings=["Mass"])


def test_mismatched_shapes_raise_value_error():
    for labels, scores in [((3, 2), (3, 1)), ((3,), (3,)), ((0, 2), (0, 2))]:
        with pytest.raises(ValueError, match="must both be"):
            metrics.auroc(np.zeros(labels), np.zeros(scores))


def some_predictions(**changes) -> Predictions:
    draw = np.random.default_rng(5)
    logits = draw.normal(size=(9, 14))
    fields = {
        "names": [f"{n:08d}_000.png" for n in range(9)],
        "patients": draw.integers(0, 4, 9),
        "labels": (draw.random((9, 14)) < 0.4).astype(np.uint8),
        "probabilities": 1 / (1 + np.exp(-logits)),
        "logits": logits,
        "split": "val",
        "network": "1-EEEA-Net-C2",
        "teacher": None,
        "weights_hash": "abc",
        "list_fingerprint": "def",
        "about": {"seed": 3, "synthetic": True, "crops": 10},
    }
    return Predictions(**fields | changes)


@pytest.mark.parametrize("patients", [np.arange(9), [f"p{n}" for n in range(9)], ["é", *"abcdefgh"]])
def test_saved_predictions_are_loaded_unchanged(tmp_path: Path, patients):
    path = tmp_path / "results" / "predictions.npz"
    saved = some_predictions(patients=patients, split="test", teacher="3-CheXNet")
    saved.save(path)
    loaded = Predictions.load(path)
    for name in ("names", "patients", "labels", "probabilities", "logits"):
        assert getattr(loaded, name).dtype == getattr(saved, name).dtype
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
    for name in (
        "findings",
        "split",
        "network",
        "teacher",
        "weights_hash",
        "list_fingerprint",
        "about",
    ):
        assert getattr(loaded, name) == getattr(saved, name)
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_save_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "predictions.npz"
    some_predictions().save(path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        some_predictions(about={"device": object()}).save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_damaged_predictions_raise_input_error(tmp_path: Path):
    path = tmp_path / "predictions.npz"
    with pytest.raises(InputError, match="there are no predictions at"):
        Predictions.load(path)
    some_predictions().save(path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for damaged in (b"", b"no zip at all", whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="not a readable file of predictions"):
            Predictions.load(path)
    with path.open("wb") as file:
        np.savez(file, probabilities=np.zeros((2, 14)))
    with pytest.raises(InputError, match="format 'unknown'"):
        Predictions.load(path)
    with path.open("wb") as file:
        np.savez(file, format=np.array(["a pickle"], dtype=object))
    with pytest.raises(InputError, match="not a readable file of predictions"):
        Predictions.load(path)


def test_inconsistent_predictions_are_refused():
    for changes in ({"split": "train"}, {"patients": np.arange(8)}, {"findings": FINDINGS[:13]}):
        with pytest.raises(ValueError):
            some_predictions(**changes)
    with pytest.raises(InputError, match="not a finite number"):
        some_predictions(logits=np.full((9, 14), np.nan))


def test_networks_are_compared_on_one_list_only():
    ours = some_predictions()
    require_same_radiographs(ours, some_predictions(network="3-CheXNet"))
    for changes in ({"split": "test"}, {"names": ours.names[::-1]}, {"labels": 1 - ours.labels}):
        with pytest.raises(InputError, match="not tested on the same image list"):
            require_same_radiographs(ours, some_predictions(network="3-CheXNet", **changes))
