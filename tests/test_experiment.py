"""The experiment on distillation: its plan, and its tables and figure from made runs."""

import json
import runpy
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.distillation import __main__ as experiment
from benchmarks.distillation import data, differences, figures, page, rates, rule, runs
from benchmarks.distillation.arms import ARMS, BY_NAME, DEFAULT
from benchmarks.distillation.regimes import Regime
from benchmarks.distillation.runs import Run
from benchmarks.distillation.stages import STAGES
from cxr14.data.image_lists import write_list
from cxr14.errors import InputError
from cxr14.evaluation import metrics
from cxr14.models.zoo import NAMES
from cxr14.settings import ROOT

REGIME = Regime(train_count=100, difficulty="easy", epochs=3)
FASTER = replace(REGIME, learning_rate=0.009)
"""The regime at the rate that is the better one for labels alone."""
COUNT = 120


@pytest.mark.parametrize("budget", ["cores", "gpu"])
@pytest.mark.parametrize("stage", STAGES)
def test_runs_have_names_of_their_own_and_follow_their_teachers(stage, budget):
    planned = experiment.with_teachers(STAGES[stage](budget))
    names = [run.name for run in planned]
    assert len(set(names)) == len(names)
    for number, run in enumerate(planned):
        assert all(teacher in planned[:number] for teacher in run.teachers)
        assert all(teacher.regime.train_count == run.regime.train_count for teacher in run.teachers)
        assert bool(run.teachers) == (not run.arm.startswith("labels"))


def test_arms_of_a_stage_differ_in_teacher_and_loss_alone():
    for run in STAGES["screening"]("cores"):
        assert run.regime == STAGES["screening"]("cores")[0].regime
    assert len({arm.name for arm in ARMS}) == len(ARMS)


def test_a_student_has_the_rate_of_its_regime_and_a_teacher_its_own(tmp_path):
    lists = data.Lists(*[tmp_path] * 5)
    run = next(run for run in STAGES["rates"]("cores") if run.teachers and run.regime.learning_rate == 0.009)
    for one, rate in ((run, "0.009"), (run.teachers[0], "0.001")):
        words = runs.train_words(one, lists, tmp_path)
        assert words[words.index("--learning-rate") + 1] == rate


def test_a_failed_run_leaves_out_its_students_alone_and_is_named(tmp_path, monkeypatch):
    teacher = Run(REGIME, "3-CheXNet")
    planned = [teacher, Run(REGIME, arm="bernoulli", teachers=(teacher,)), Run(REGIME), Run(REGIME, seed=1)]
    ended = []

    def run_or_fail(name, *_):
        if name == teacher.name:
            raise subprocess.CalledProcessError(2, name)
        ended.append(name)

    monkeypatch.setattr(experiment, "_in_a_process", run_or_fail)
    monkeypatch.setattr(experiment, "STAGES", {"map": lambda _: planned})
    monkeypatch.setattr(data, "prepare", lambda *_: None)
    settings = experiment.ExperimentSettings(work=tmp_path, results=tmp_path, jobs=2)
    with pytest.raises(InputError, match=f"2 runs failed.*: {teacher.name}, {planned[1].name}"):
        experiment.main(settings)
    assert sorted(ended) == [run.name for run in planned[2:]]


def test_one_run_that_is_unknown_or_fails_is_an_input_error(tmp_path, monkeypatch):
    settings = experiment.ExperimentSettings(work=tmp_path, results=tmp_path, only="nothing")
    with pytest.raises(InputError, match="stage map has no run nothing; --list"):
        experiment.main(settings)

    def fail(run, work):
        raise subprocess.CalledProcessError(2, run.name)

    monkeypatch.setattr(runs, "train", fail)
    settings.only = STAGES["map"]("cores")[0].name
    with pytest.raises(InputError, match=f"{settings.only} did not end; .*{settings.only}/{runs.OUTPUT}"):
        experiment.main(settings)


def test_the_default_arm_is_that_of_every_script_of_folder_6():
    scripts = sorted((ROOT / runs.KD).glob("train-kd*-model.py"))
    assert len(scripts) == len(NAMES) + 1
    for script in scripts:
        constants = runpy.run_path(str(script))
        assert BY_NAME[DEFAULT].flags == {
            "distill-loss": constants["DISTILL_LOSS"],
            "temperature": constants["TEMPERATURE"],
        }


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Runs that exist as JSON and logits alone: two seeds of labels, at two rates, and of a better arm."""
    rng = np.random.default_rng(0)
    labels = (rng.random((COUNT, 14)) < 0.4).astype(np.uint8)
    names = [f"synthetic_{number // 2:08d}_{number % 2:03d}.png" for number in range(COUNT)]
    write_list(tmp_path / "true.txt", names, labels)
    write_list(tmp_path / "test.txt", names, labels ^ (np.random.default_rng(1).random(labels.shape) < 0.1))
    lists = data.Lists(
        *(tmp_path / name for name in ("images", "train.txt", "val.txt", "test.txt", "true.txt"))
    )
    monkeypatch.setattr(data, "prepare", lambda regime, work: lists)
    results = tmp_path / "results"
    results.mkdir()

    def add(name, network, arm, seed, noise, teachers=(), regime=REGIME):
        logits = 2.0 * labels + rng.normal(0, noise, labels.shape)
        folder = tmp_path / "work" / "runs" / name
        folder.mkdir(parents=True)
        np.savez_compressed(folder / "logits.npz", test=logits, val=logits)
        mean = metrics.macro(metrics.auroc(labels, logits))[0]
        found = {"mean AUROC": mean, "mean calibration error": 0.1, "AUROC": [mean] * 14}
        content = {
            "run": name,
            "regime": regime.__dict__,
            "learning rate": regime.learning_rate or 0.003,
            "network": network,
            "arm": arm,
            "seed": seed,
            "weights": name,
        }
        content |= {"teachers": list(teachers), "validation AUROC by epoch": [0.5, 0.6, mean]}
        content |= dict.fromkeys((runs.VALIDATION, runs.NOISY, runs.TRUE), found)
        (results / f"{name}.json").write_text(json.dumps(content))

    add("teacher_s0", "3-CheXNet", "labels", 0, 1.0)
    for seed in (0, 1):
        add(f"alone_s{seed}", "1-EEEA-Net-C2", "labels", seed, 2.5)
        add(f"faster_s{seed}", "1-EEEA-Net-C2", "labels", seed, 2.3, regime=FASTER)
        add(f"taught_s{seed}", "1-EEEA-Net-C2", "matching", seed, 1.2, ["teacher_s0"])
    add("default_s0", "1-EEEA-Net-C2", "bernoulli", 0, 1.1, ["teacher_s0"])
    add("by_two_s0", "1-EEEA-Net-C2", "two teachers", 0, 1.1, ["teacher_s0", "other_s0"])
    return tmp_path / "work", results


def test_differences_are_those_of_the_mean_aurocs(made):
    work, results = made
    rows = json.loads(differences.write(work, results).read_text())
    by_than = {row["than"]: row for row in rows if row["scored on"] == runs.TRUE and row["arm"] == "matching"}
    assert by_than.keys() == {"labels", "3-CheXNet", "bernoulli"}
    means = {
        path.stem: json.loads(path.read_text())[runs.TRUE]["mean AUROC"] for path in results.glob("*_s?.json")
    }
    gain = np.mean([means[f"taught_s{seed}"] - means[f"alone_s{seed}"] for seed in (0, 1)])
    assert by_than["labels"]["difference"] == pytest.approx(gain, abs=1e-5)
    assert 0 < by_than["labels"]["low"] < gain < by_than["labels"]["high"]
    assert by_than["3-CheXNet"]["difference"] < 0
    assert by_than["bernoulli"]["seeds"] == [0]
    assert by_than["bernoulli"]["difference"] == pytest.approx(
        means["taught_s0"] - means["default_s0"], abs=1e-5
    )
    rows = {row["arm"]: row for row in differences.read_differences(results, "default")}
    assert rows.keys() == {"matching", "two teachers"} and rows["two teachers"]["seeds"] == [0]
    assert rows["two teachers"]["difference"] == pytest.approx(
        means["by_two_s0"] - means["default_s0"], abs=1e-5
    )


def test_differences_of_the_same_weights_are_kept_and_others_computed(made):
    work, results = made
    path = differences.write(work, results)
    before = path.read_text()
    kept = [row for row in json.loads(before) if "matching" not in (row["arm"], row["than"])]
    by_name = [
        [row["difference"] for row in kept if row["scored on"] == on] for on in (runs.TRUE, runs.NOISY)
    ]
    assert not set(by_name[0]) & set(by_name[1])
    run = results / "taught_s0.json"
    run.write_text(json.dumps(json.loads(run.read_text()) | {"weights": "of another training"}))
    logits = work / "runs" / "taught_s0" / "logits.npz"
    np.savez_compressed(logits, test=-np.load(logits)["test"])
    for other in (work / "runs").glob("by_two_s0/*"):
        other.unlink()
    rows = json.loads(differences.write(work, results).read_text())
    assert kept and all(row in rows for row in kept)  # also without their logits
    changed = [row for row in rows if row["arm"] == "matching" and row["than"] == "labels"]
    assert len(changed) == before.count('"arm": "matching",\n  "than": "labels"') == 2
    assert all(row["difference"] < 0 for row in changed)
    logits.unlink()
    run.write_text(json.dumps(json.loads(run.read_text()) | {"weights": "of a third one"}))
    rows = json.loads(differences.write(work, results).read_text())
    assert rows == kept


def test_tables_and_figure_come_from_the_files_alone(made, tmp_path, monkeypatch):
    work, results = made
    monkeypatch.setattr(rates, "RATE_SEEDS", 2)
    differences.write(work, results)
    head, rows = page.distillation_arms(results)
    assert len(rows) == 4
    (cells,) = (dict(zip(head, row, strict=True)) for row in rows if row[5] == "matching")
    assert cells["minus bernoulli, the default"].startswith("-")
    assert cells["arm"] == "matching" and cells["seeds"] == "2"
    assert cells["minus labels alone"].startswith("+")
    assert cells["minus its best teacher"].startswith("-")
    assert cells["epochs saved"] == "0.0 (0.0 to 0.0)"  # both curves are best at their last epoch
    monkeypatch.setattr(page, "FIT", REGIME)
    by_seed = [
        f"{json.loads((results / f'taught_s{seed}.json').read_text())[runs.TRUE]['mean AUROC']:.3f}"
        for seed in (0, 1)
    ]
    monkeypatch.setattr(page, "FINALIST_RATES", {"matching": 0.003})
    (row,) = page.distillation_finalists(results, " to ")
    assert row[:4] == ("matching", "0.003 / 0.009", "3", "2")
    (tuned,) = differences.read_differences(results, "labels", "best")
    assert row[4].startswith(f"{tuned['difference']:+.3f} (") and row[4] != cells["minus labels alone"]
    assert row[5] == cells["minus its best teacher"]
    assert page.distillation_seeds(results)[1] == [("matching", "0.003", "3", *by_seed, "", "", "")]
    head, rows = page.distillation_several(results)
    (cells,) = (dict(zip(head, row, strict=True)) for row in rows if row[1] == "100")
    assert cells["arm"] == "two teachers" and cells["seeds"] == "1"
    assert {row[-1] for row in rows if row[1] != "100"} == {""}  # planned, and not yet measured
    head, rows = page.distillation_map(results, STAGES["map"]("cores"))
    made_rows = [dict(zip(head, row, strict=True)) for row in rows if row[1] == "100"]
    assert {row["network"]: row["seeds"] for row in made_rows} == {"EEEA-Net-C2": "2", "CheXNet": "1"}
    assert all(row["gain of twice the epochs"] == "" for row in made_rows)
    path = results / "alone_s1.json"
    longer = json.loads(path.read_text())
    longer["regime"] = dict(longer["regime"], epochs=6)
    longer[runs.VALIDATION] = longer[runs.VALIDATION] | {
        "mean AUROC": longer[runs.VALIDATION]["mean AUROC"] + 0.2
    }
    (results / "longer_s1.json").write_text(json.dumps(longer))
    head, rows = page.distillation_map(results, STAGES["map"]("cores"))
    (row,) = (dict(zip(head, row, strict=True)) for row in rows if row[3:6] == ("EEEA-Net-C2", "0.003", "3"))
    assert row["gain of twice the epochs"] == "+0.200 (1 seed)"  # of the seed that has both lengths
    (row,) = (dict(zip(head, row, strict=True)) for row in rows if row[1] == "100" and row[3] == "CheXNet")
    # Of one seed, and of the longer training, which validation prefers.
    best = longer[runs.TRUE]["mean AUROC"]
    lead = json.loads((results / "teacher_s0.json").read_text())[runs.TRUE]["mean AUROC"] - best
    assert row["lead over the student at its best, true labels"] == f"{lead:+.3f}"
    for write in (figures.write, figures.write_screening):
        picture = write(results, tmp_path / "figure.png", REGIME)
        assert picture.read_bytes().startswith(b"\x89PNG")


def verdict(**changed):
    facts = {"difference": 0.02, "p_value": 0.001, "of_twice_the_epochs": 0.01, "worse_findings": ()}
    facts |= {
        "learning_rates": (0.009, 0.003),
        "seeds_of_twice_the_epochs": 5,
        "calibration_loss": 0.0,
        "seeds": 5,
    }
    return rule.Verdict(REGIME, "matching", **(facts | changed)).passes


def test_rule_takes_an_arm_that_holds_every_line_and_no_other():
    assert verdict() is True
    assert verdict(p_value=0.06) is False
    assert verdict(difference=0.002) is False
    assert verdict(of_twice_the_epochs=-0.001) is False
    assert verdict(worse_findings=("Hernia",)) is False
    assert verdict(calibration_loss=0.011) is False
    assert verdict(of_twice_the_epochs=np.nan, seeds_of_twice_the_epochs=0) is None
    assert verdict(seeds_of_twice_the_epochs=4) is None
    assert verdict(seeds=2) is None
    assert verdict(seeds=2, difference=-0.01) is False


def test_each_arm_is_taken_at_the_rate_that_is_best_on_validation_over_enough_seeds():
    def trained(arm, rate, *scores):
        run = {"network": "1-EEEA-Net-C2", "arm": arm, "learning rate": rate}
        run["regime"] = replace(REGIME, learning_rate=rate)
        return [run | {runs.VALIDATION: {"mean AUROC": score}} for score in scores]

    steady, bolder = trained("labels", 0.003, 0.8, 0.8, 0.8), trained("labels", 0.009, 0.9, 0.9, 0.5)
    once, taught = trained("labels", 0.006, 0.95), trained("matching", 0.009, 0.9, 0.9, 0.9)
    too_few = trained("bernoulli", 0.009, 0.9, 0.9)
    teacher = [dict(run, network="3-CheXNet") for run in taught]
    found = rates.at_best_rates(steady + bolder + once + taught + too_few + teacher)
    assert found == [run | {"regime": REGIME} for run in steady + taught]


def test_verdicts_come_from_the_differences(made, monkeypatch):
    work, results = made
    monkeypatch.setattr(rates, "RATE_SEEDS", 2)
    differences.write(work, results)
    (found,) = rule.verdicts(results, [REGIME])
    assert (found.regime, found.arm, found.seeds, found.passes) == (REGIME, "matching", 2, None)
    assert found.learning_rates == (0.003, 0.009)  # each at its best
    assert found.p_value < 0.05 and not found.worse_findings and found.calibration_loss == 0
    # A longer training whose order is the other way round.
    path = results / differences.FILE
    rows = json.loads(path.read_text())
    longer = [dict(row, regime=dict(row["regime"], epochs=6), difference=-0.01) for row in rows]
    path.write_text(json.dumps(rows + longer))
    (found,) = rule.verdicts(results, [REGIME])
    assert found.regime == REGIME and found.of_twice_the_epochs == -0.01
    assert found.seeds_of_twice_the_epochs == 2
