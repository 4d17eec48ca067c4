"""Arms of several seeds: means, spread, and differences paired by seed."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxr14.evaluation.predictions import Predictions
from cxr14.report import main_tables
from cxr14.report.csv_table import csv_table
from cxr14.report.headline import headline
from tests.report.common import COMMON, measure, render
from tests.simulated_runs import save_run

HOW = {"radiographs": 120, "shares": COMMON}


def _save_seeds(folder, alone=(0, 1, 2), taught=(0, 1, 2)):
    for seed in alone:
        save_run(folder / f"alone-{seed}", seed=seed, **HOW)
    for seed in taught:
        save_run(folder / f"taught-{seed}", teacher="3-CheXNet", seed=seed, **HOW)


def _mean_auroc(folder):
    stored = Predictions.load(folder / "predictions-test.npz")
    return roc_auc_score(stored.labels, stored.probabilities)  # the mean over findings


def test_arm_is_the_mean_over_its_seeds(tmp_path):
    _save_seeds(tmp_path)
    (measured,), text = render(tmp_path)
    alone, taught = measured.section.arms
    each = {
        how: [_mean_auroc(tmp_path / f"{how}-{seed}") for seed in range(3)] for how in ("alone", "taught")
    }
    assert measured.arms[alone].mean_aurocs == pytest.approx(each["alone"])
    assert float(measured.arms[taught].auroc.macro().values) == pytest.approx(np.mean(each["taught"]))
    row = [cell.text for cell in main_tables.seed_table(measured).rows[1]]
    deviation = pd.Series(each["taught"]).std()
    assert row == [
        "EEEA-Net-C2 taught by CheXNet",
        "0, 1 and 2",
        f"{np.mean(each['taught']):.3f}",
        f"{deviation:.4f}",
        f"{min(each['taught']):.3f}",
        f"{max(each['taught']):.3f}",
    ]
    assert ">Training seeds</h2>" in text


def test_differences_are_paired_by_seed(tmp_path):
    _save_seeds(tmp_path, alone=(0, 1, 2), taught=(1, 2, 5))
    (measured,) = measure(tmp_path)
    (gain,) = measured.gains
    expected = [_mean_auroc(tmp_path / f"taught-{s}") - _mean_auroc(tmp_path / f"alone-{s}") for s in (1, 2)]
    assert gain.by_seed == pytest.approx(expected)
    assert float(gain.macro.value) == pytest.approx(np.mean(expected))
    assert gain.teaching.is_fair


def test_headline_names_the_number_of_seeds(tmp_path):
    _save_seeds(tmp_path / "three")
    _save_seeds(tmp_path / "one", alone=(0,), taught=(0,))
    assert "3 training seeds" in headline(measure(tmp_path / "three", 20)[0])
    assert "one training seed" in headline(measure(tmp_path / "one", 20)[0])


def test_csv_has_rows_of_each_seed_and_of_their_mean(tmp_path):
    _save_seeds(tmp_path)
    (measured,) = measure(tmp_path)
    table = csv_table(measured).query("finding == 'macro'")
    assert table["seeds"].tolist() == [1, 1, 1, 3, 1, 1, 1, 3]
    taught = table[table["arm"].str.contains("taught")]
    assert taught["AUROC"].iloc[3] == pytest.approx(taught["AUROC"].iloc[:3].mean())
    assert taught["difference value"].isna().tolist() == [True, True, True, False]
