"""The main result in one sentence, and the limitations beside it."""

import re
import shutil

import numpy as np
import pytest

from cxr14.evaluation.predictions import Predictions
from cxr14.findings import FINDINGS
from cxr14.report import gain_tables
from cxr14.report.headline import cautions, headline, speed
from tests.report.common import COMMON, KD, measure
from tests.simulated_runs import save_run, simulate_history

CLEAR = {"radiographs": 400, "shares": COMMON}

# --- the headline -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distance", "kind", "expected"),
    [
        (2.5, "real", r"^EEEA-Net-C2 reaches .*: a gain of 0\.\d{3} \(95\s% interval \+.*p ≤ 0\.0"),
        (0.2, "real", r"^EEEA-Net-C2 reaches .*: a loss of 0\.\d{3} \(95\s% interval −.*p ≤ 0\.0"),
        (1.05, "tiny", r"^On a tiny list, .* a difference of [+−]0\.0\d\d \(.*\), which chance alone could"),
    ],
)
def test_headline_says_gain_loss_or_neither(tmp_path, distance, kind, expected):
    save_run(tmp_path / "1-EEEA-Net-C2", kind=kind, **CLEAR)
    save_run(tmp_path / KD, teacher="3-CheXNet", distance=distance, kind=kind, **CLEAR)
    (measured,) = measure(tmp_path)
    text = headline(measured)
    assert re.search(expected, text)
    assert "one training seed" in text
    assert "validation AUROC had stopped rising when the trainings ended" in text


def test_headline_before_the_plateau_is_about_speed(tmp_path):
    save_run(tmp_path / "1-EEEA-Net-C2", history=simulate_history(1.0, speed=0.1), **CLEAR)
    history = simulate_history(2.0, speed=0.1)
    save_run(tmp_path / KD, teacher="3-CheXNet", distance=2.5, history=history, **CLEAR)
    (measured,) = measure(tmp_path)
    text = headline(measured)
    assert "the taught student learns faster, a gain of" in text
    assert "so this is speed of learning" in text
    assert re.search(
        r"reaches a validation AUROC of 0\.6\d\d after 4 epochs, the student alone after 8", text
    )
    assert speed(measured.gains[0]) in " ".join(gain_tables.gain_table(measured).remarks)


def test_headline_of_an_unfair_comparison_has_no_p_value(tmp_path):
    save_run(tmp_path / "1-EEEA-Net-C2", **CLEAR)
    start = {"student_ckpt_path": str(tmp_path / "1-EEEA-Net-C2" / "model.pth")}
    save_run(tmp_path / KD, teacher="3-CheXNet", distance=2.5, settings=start, **CLEAR)
    (measured,) = measure(tmp_path)
    text = headline(measured)
    assert "not the effect of the teacher alone, and no p-value is given" in text
    assert "starts from trained weights (model.pth) and 8 more epochs" in text
    assert "p =" not in text and "p ≤" not in text


def test_headline_of_several_teachers_counts_adjusted_p_values(tmp_path):
    save_run(tmp_path / "1-EEEA-Net-C2", **CLEAR)
    for number, (teacher, distance) in enumerate(
        (("2-OFA-595", 1.05), ("3-CheXNet", 2.5), ("5-AutoFormerV2-base", 0.2))
    ):
        save_run(tmp_path / f"kd{number}", teacher=teacher, distance=distance, **CLEAR)
    save_run(tmp_path / "kd-longer", teacher="4-Visformer-small", epochs=20, **CLEAR)
    (measured,) = measure(tmp_path, 200)
    text = headline(measured)
    assert text.startswith(
        "On synthetic radiographs, 1 of 3 taught students has a higher mean AUROC than EEEA-Net-C2 alone, by "
        "more than the random draw of patients explains, and 1 has a lower one (one training seed each)"
    )
    assert "taught by CheXNet" in text and "3 comparisons" in text
    assert "1 comparison with further differences not counted" in text


def test_headline_without_a_pair_says_so(tmp_path):
    save_run(tmp_path / "a" / KD, teacher="3-CheXNet", radiographs=60, kind="real")
    save_run(tmp_path / "b" / "3-CheXNet", "3-CheXNet", radiographs=60, kind="real")
    (taught,), (alone,) = measure(tmp_path / "a"), measure(tmp_path / "b")
    assert "EEEA-Net-C2 alone was not tested on this list" in headline(taught)
    text = headline(alone)
    assert text.startswith("No taught student was tested") and "one training seed" in text


# --- limitations ------------------------------------------------------------------------------------------


def _cautions(folder):
    (measured,) = measure(folder, 1000)
    return "\n".join(cautions(measured)), measured


def test_validation_of_another_checkpoint_is_left_out(tmp_path):
    save_run(tmp_path / "1-EEEA-Net-C2", radiographs=80)
    save_run(tmp_path / "other", radiographs=80, seed=3)
    shutil.copy(
        tmp_path / "other" / "predictions-val.npz", tmp_path / "1-EEEA-Net-C2" / "predictions-val.npz"
    )
    shutil.rmtree(tmp_path / "other")
    text, measured = _cautions(tmp_path)
    assert "EEEA-Net-C2 alone: its predictions of the validation list come from another checkpoint" in text
    assert all(each.validated is None for each in measured.runs.values())


def test_validation_that_shares_patients_with_the_test_is_left_out(tmp_path):
    save_run(tmp_path / "1-EEEA-Net-C2", radiographs=80)
    path = tmp_path / "1-EEEA-Net-C2" / "predictions-val.npz"
    val = Predictions.load(path)
    test = Predictions.load(path.with_name("predictions-test.npz"))
    val.patients[0] = test.patients[-1]
    val.save(path)
    text, measured = _cautions(tmp_path)
    assert "shares patients" in text
    assert all(each.validated is None for each in measured.runs.values())


def test_finding_of_few_patients_is_named_and_never_clear(tmp_path):
    shares = (*COMMON[:-1], 0.02)
    save_run(tmp_path / "1-EEEA-Net-C2", radiographs=300, shares=shares, distance=0.1)
    save_run(tmp_path / KD, teacher="3-CheXNet", radiographs=300, shares=shares, distance=3)
    for folder in ("1-EEEA-Net-C2", KD):
        test = Predictions.load(tmp_path / folder / "predictions-test.npz")
        positive = np.flatnonzero(test.labels[:, -1])
        test.labels[positive[test.patients[positive] != test.patients[positive[0]]], -1] = 0
        test.save(tmp_path / folder / "predictions-test.npz")
    text, measured = _cautions(tmp_path)
    assert f"{FINDINGS[-1]}: fewer than 2 patients" in text
    assert measured.is_trusted.tolist() == [True] * (len(FINDINGS) - 1) + [False]
    (row,) = gain_tables.gain_table(measured).rows
    assert (row[6].text, row[7].text) == (str(len(FINDINGS) - 1), "0")
