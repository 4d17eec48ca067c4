"""Which runs are compared, what else differs between them, and what a difference means."""

import numpy as np
import pytest

from cxr14.evaluation.predictions import Predictions
from cxr14.report import conditions, gain_tables
from cxr14.report.reading import read_sections
from cxr14.report.runs import without_number
from tests.report.common import COMMON, KD, measure
from tests.simulated_runs import save_run, simulate_history

SMALL = {"radiographs": 60}


def _teaching(folder):
    (section,) = read_sections(folder)
    (teaching,) = section.teachings
    return teaching


# --- arms -------------------------------------------------------------------------------------------------


def test_runs_that_differ_by_seed_alone_form_an_arm(tmp_path):
    for seed in (2, 0, 1):
        save_run(tmp_path / f"alone-{seed}", seed=seed, **SMALL)
    save_run(tmp_path / "slower", seed=0, settings={"learning_rate": 1e-4}, **SMALL)
    (section,) = read_sections(tmp_path)
    assert [[run.seed for run in arm.runs] for arm in section.arms] == [[0, 1, 2], [0]]
    assert section.arms[0].name == "EEEA-Net-C2 alone (learning rate 0.001)"
    assert section.arms[1].name == "EEEA-Net-C2 alone (learning rate 0.0001)"
    assert section.runs[1].name == "EEEA-Net-C2 alone (learning rate 0.001), seed 1"


def test_arms_of_one_network_and_teacher_have_different_names(tmp_path):
    save_run(tmp_path / "alone", **SMALL)
    save_run(tmp_path / "bernoulli", teacher="3-CheXNet", **SMALL)
    save_run(tmp_path / "study", teacher="3-CheXNet", settings={"distill_loss": "study"}, **SMALL)
    save_run(tmp_path / "other-seed", teacher="3-CheXNet", seed=7, **SMALL)
    save_run(tmp_path / "twin", teacher="3-CheXNet", seed=7, **SMALL)
    save_run(tmp_path / "twin-2", teacher="3-CheXNet", seed=7, **SMALL)
    (section,) = read_sections(tmp_path)
    assert [arm.name for arm in section.arms] == [
        "EEEA-Net-C2 alone",
        "EEEA-Net-C2 taught by CheXNet (bernoulli loss, seeds 0, 7)",
        "EEEA-Net-C2 taught by CheXNet (study loss)",
        "EEEA-Net-C2 taught by CheXNet (bernoulli loss, seed 7, twin)",
        "EEEA-Net-C2 taught by CheXNet (bernoulli loss, seed 7, twin-2)",
    ]


def test_students_of_two_checkpoints_of_one_teacher_are_not_averaged(tmp_path):
    for number in (1, 2):
        settings = {"teacher_ckpt_path": f"/teacher{number}.pth"}
        for seed in (0, 1):
            name = f"taught-{number}-{seed}"
            save_run(tmp_path / name, teacher="3-CheXNet", seed=seed, settings=settings, **SMALL)
    (section,) = read_sections(tmp_path)
    paths = [{run.about("settings", "teacher_ckpt_path") for run in arm.runs} for arm in section.arms]
    assert paths == [{"/teacher1.pth"}, {"/teacher2.pth"}]


def test_networks_are_in_the_order_of_their_folders(tmp_path):
    for network in ("5-AutoFormerV2-base", "1-EEEA-Net-C2", "3-CheXNet"):
        save_run(tmp_path / f"z-{network}", network, radiographs=40)
    (section,) = read_sections(tmp_path)
    assert [run.network for run in section.runs] == ["EEEA-Net-C2", "CheXNet", "AutoFormerV2-base"]
    assert without_number("10-New") == "New" and without_number("unnumbered") == "unnumbered"


def test_teacher_is_the_run_whose_checkpoint_taught(tmp_path):
    for epochs in (5, 18):
        save_run(tmp_path / f"teacher-{epochs}", "3-CheXNet", epochs=epochs, **SMALL)
    settings = {"teacher_ckpt_path": str(tmp_path / "teacher-18" / "model.pth")}
    save_run(tmp_path / KD, teacher="3-CheXNet", settings=settings, **SMALL)
    assert _teaching(tmp_path).teacher.runs[0].folder == tmp_path / "teacher-18"


# --- what else differs ------------------------------------------------------------------------------------


def test_comparison_is_with_the_run_of_equal_epochs(tmp_path):
    save_run(tmp_path / "6-epochs", epochs=6, **SMALL)
    save_run(tmp_path / "10-epochs", epochs=10, **SMALL)
    save_run(tmp_path / KD, teacher="3-CheXNet", epochs=10, **SMALL)
    teaching = _teaching(tmp_path)
    assert teaching.alone.runs[0].folder.name == "10-epochs" and teaching.is_fair


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"epochs": 10}, ("2 more epochs",)),
        ({"epochs": 7}, ("1 fewer epoch",)),
        ({"seed": 3}, ("seed 3 instead of 0",)),
        ({"image_size": 64}, ("64 px instead of 224 px",)),
        ({"crops": 1}, ("tested on 1 crops instead of 10",)),
        ({"splits": {"train": "c" * 64, "val": "b" * 64}}, ("another training list",)),
        ({"settings": {"learning_rate": 3e-3}}, ("learning rate 0.003 instead of 0.001",)),
        ({"settings": {"batch_size": 32}}, ("batch size 32 instead of 64",)),
        ({"settings": {"smallest_crop": 0.8}}, ("smallest crop 0.8 instead of 0.5",)),
        ({"settings": {"ema_decay": 0.999}}, ("ema decay 0.999 instead of 0",)),
        ({"settings": {"pretrained": False}}, ("starts from random weights instead of ImageNet weights",)),
        ({"settings": {"student_ckpt_path": "/x/model1.pth"}}, ("starts from trained weights (model1.pth)",)),
        ({"settings": {"num_workers": 7, "device": "cuda", "data_dir": "/elsewhere"}}, ()),
    ],
    ids=str,
)
def test_differences_besides_the_teacher_are_named(tmp_path, change, expected):
    save_run(tmp_path / "1-EEEA-Net-C2", **SMALL)
    save_run(tmp_path / KD, teacher="3-CheXNet", **(SMALL | change))
    found = _teaching(tmp_path).differences
    assert set(expected) <= set(found)
    assert bool(found) == bool(expected)
    if "student_ckpt_path" not in str(change):
        assert found == expected


def test_epochs_before_a_trained_start_are_counted(tmp_path):
    save_run(tmp_path / "1-EEEA-Net-C2", epochs=10, **SMALL)
    start = {"student_ckpt_path": str(tmp_path / "1-EEEA-Net-C2" / "model.pth")}
    save_run(tmp_path / KD, teacher="3-CheXNet", epochs=10, settings=start, **SMALL)
    teaching = _teaching(tmp_path)
    assert teaching.differences == ("starts from trained weights (model.pth)", "10 more epochs")
    assert teaching.taught.runs[0].epochs_before == 10


def test_control_of_equal_start_is_preferred(tmp_path):
    save_run(tmp_path / "1-EEEA-Net-C2", epochs=10, **SMALL)
    start = str(tmp_path / "1-EEEA-Net-C2" / "model.pth")
    save_run(tmp_path / "control", epochs=10, settings={"init_checkpoint": start}, **SMALL)
    how = {"teacher": "3-CheXNet", "epochs": 10, "settings": {"student_ckpt_path": start}}
    save_run(tmp_path / KD, **how, **SMALL)
    teaching = _teaching(tmp_path)
    assert teaching.alone.runs[0].folder.name == "control" and teaching.is_fair


def test_control_on_labels_alone_is_a_fair_comparison(tmp_path):
    save_run(tmp_path / "1-EEEA-Net-C2", epochs=10, **SMALL)
    start = {"student_ckpt_path": str(tmp_path / "1-EEEA-Net-C2" / "model.pth")}
    control = {"init_checkpoint": None, "distill_loss": "labels", "temperature": 2.0}
    save_run(tmp_path / "control", epochs=10, settings=start | control, **SMALL)
    save_run(tmp_path / KD, teacher="3-CheXNet", epochs=10, settings=start, **SMALL)
    teaching = _teaching(tmp_path)
    assert teaching.alone.runs[0].folder.name == "control" and teaching.is_fair
    assert teaching.alone.name == "EEEA-Net-C2 alone (labels loss, from trained weights, 20 epochs)"


@pytest.mark.parametrize("which", ["settings", "seed"])
def test_unrecorded_conditions_are_not_a_fair_comparison(tmp_path, which):
    save_run(tmp_path / "1-EEEA-Net-C2", **SMALL, **({"seed": None} if which == "seed" else {}))
    save_run(tmp_path / KD, teacher="3-CheXNet", **SMALL, **({"seed": None} if which == "seed" else {}))
    if which == "settings":
        _drop(tmp_path / "1-EEEA-Net-C2", "settings")
    assert any("not recorded" in difference for difference in _teaching(tmp_path).differences)


def _drop(folder, key):
    for split in ("val", "test"):
        path = folder / f"predictions-{split}.npz"
        stored = Predictions.load(path)
        del stored.about[key]
        stored.save(path)


def test_unfair_comparison_has_no_p_value(tmp_path):
    how = {"radiographs": 300, "shares": COMMON}
    save_run(tmp_path / "1-EEEA-Net-C2", distance=0.2, **how)
    save_run(tmp_path / KD, teacher="3-CheXNet", distance=2.5, epochs=12, **how)
    (measured,) = measure(tmp_path)
    (gain,) = measured.gains
    assert np.isnan(gain.macro.p_value) and np.isnan(gain.findings.p_value).all()
    assert np.isnan(measured.adjusted).all() and not np.isnan(gain.macro.low)
    row = [cell.text for cell in gain_tables.gain_table(measured).rows[0]]
    assert row[4:8] == ["–"] * 4
    assert row[-1] == "more than teaching: 4 more epochs"


def test_unfair_comparisons_do_not_count_in_the_adjustment(tmp_path):
    how = {"radiographs": 300, "shares": COMMON}
    save_run(tmp_path / "1-EEEA-Net-C2", **how)
    save_run(tmp_path / "kd3", teacher="3-CheXNet", distance=1.3, **how)
    save_run(tmp_path / "kd2", teacher="2-OFA-595", distance=1.3, epochs=20, **how)
    (measured,) = measure(tmp_path)
    by = {gain.teaching.taught.teacher: number for number, gain in enumerate(measured.gains)}
    fair = measured.gains[by["CheXNet"]]
    assert measured.adjusted[by["CheXNet"]] == fair.macro.p_value
    assert np.isnan(measured.adjusted[by["OFA-595"]])


# --- plateau ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.7], True),
        ([0.7, 0.7], True),
        ([0.6, 0.7, 0.8, 0.8, 0.802, 0.801], False),
        ([0.6, 0.7, 0.8, 0.8, 0.804, 0.801], True),
        ([0.6, 0.7, 0.8, 0.9, 0.8, 0.7], False),
        ([np.nan, np.nan, 0.7], True),
    ],
)
def test_rising_is_a_gain_in_the_last_third(values, expected):
    assert conditions.rises_at_the_end(np.array(values)) is expected


def test_longer_training_decides_whether_the_shorter_was_rising(tmp_path):
    save_run(tmp_path / "short", epochs=6, history=simulate_history(1.0, 6, speed=2), **SMALL)
    save_run(tmp_path / "long", epochs=12, history=simulate_history(1.2, 12, speed=2), **SMALL)
    (section,) = read_sections(tmp_path)
    assert {run.folder.name: run.is_rising for run in section.runs} == {"short": True, "long": False}


def test_meaning_of_a_difference_follows_the_plateau(tmp_path):
    rising, flat = simulate_history(1.0, 6, speed=0.2), simulate_history(1.0, 6, speed=3)
    expected = {
        "both-flat": "what teaching adds",
        "taught-rising": "speed of learning: taught still rising",
        "both-rising": "speed of learning: taught and alone still rising",
        "unknown": "teaching; epochs not recorded",
    }
    for name, meaning in expected.items():
        alone, taught = {
            "both-flat": (flat, flat),
            "taught-rising": (flat, rising),
            "both-rising": (rising, rising),
            "unknown": (None, None),
        }[name]
        folder = tmp_path / name
        save_run(folder / "1-EEEA-Net-C2", epochs=6, history=alone, **SMALL)
        save_run(folder / KD, teacher="3-CheXNet", epochs=6, history=taught, **SMALL)
        (measured,) = measure(folder, 20)
        assert gain_tables.gain_table(measured).rows[0][-1].text == meaning


def test_epochs_to_reach_counts_from_one():
    values = np.array([0.6, np.nan, 0.7, 0.8])
    assert conditions.epochs_to_reach(values, 0.7) == 3
    assert conditions.epochs_to_reach(values, 0.6) == 1
    assert conditions.epochs_to_reach(values, 0.9) is None
