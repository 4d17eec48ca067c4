"""The calibration table and figure: fitted on validation, applied to the test list."""

import numpy as np
import pytest
from scipy.special import expit

from cxr14.evaluation import calibration, metrics
from cxr14.evaluation.predictions import Predictions
from cxr14.report import run_tables
from tests.report.common import COMMON, measure
from tests.simulated_runs import save_run


def test_table_counts_methods_and_shows_errors_before_and_after(tmp_path):
    folder = tmp_path / "1-EEEA-Net-C2"
    save_run(folder, radiographs=900, shares=COMMON)
    predictions = {split: Predictions.load(folder / f"predictions-{split}.npz") for split in ("val", "test")}
    for stored in predictions.values():
        stored.logits[:] -= 2  # as a focal loss shifts them
        stored.probabilities[:] = expit(stored.logits)
        stored.save(folder / f"predictions-{stored.split}.npz")
    (measured,) = measure(tmp_path, 20)
    (row,) = run_tables.calibration_table(measured).rows
    fitted = calibration.fit_calibrations(predictions["val"])
    methods = [each.method for each in fitted]
    assert methods.count("Platt") > 7
    assert [cell.text for cell in row[5:]] == [
        str(methods.count(name)) for name in ("none", "temperature", "Platt")
    ]
    test = predictions["test"]
    for cell, probabilities in (
        (row[1], test.probabilities),
        (row[2], calibration.calibrated(test.logits, fitted)),
    ):
        errors = metrics.expected_calibration_error(test.labels, probabilities)
        assert float(cell.text) == pytest.approx(np.mean(errors), abs=6e-5)
    assert float(row[2].text) < float(row[1].text) / 2
