"""What README and docs/distillation.md say of the experiment holds for the committed runs."""

from collections import defaultdict

import numpy as np

from benchmarks.distillation import rates, runs
from benchmarks.distillation.arms import BY_NAME, DEFAULT, is_contender
from benchmarks.distillation.stages import FINALIST_RATES, FIT, SCREENED
from cxr14.models.zoo import NAMES
from docs.tables import EXPERIMENT, EXPERIMENT_ON_H100


def test_the_rates_of_the_finalists_are_the_best_of_the_committed_runs():
    committed = runs.read_results(EXPERIMENT)
    at_best = [run for run in rates.at_best_rates(committed) if run["regime"] == FIT]
    best = {run["arm"]: run["learning rate"] for run in at_best}
    assert FINALIST_RATES.items() <= best.items()


def test_what_readme_and_page_say_of_single_trainings_holds():
    committed = runs.read_results(EXPERIMENT)
    here = [run for run in committed if run["network"] == NAMES[0] and run["regime"].data == FIT.data]
    best = [run for run in rates.at_best_rates(committed) if run["regime"] in (FIT, FIT.times(2))]
    default = [run for run in best if run["arm"] == DEFAULT]
    assert len(default) == 10
    alone = [run[runs.TRUE]["mean AUROC"] for run in here if run["arm"] == "labels"]
    assert min(run[runs.TRUE]["mean AUROC"] for run in default) > max(alone)
    for arm, first, last in (("labels", 32, 43), (DEFAULT, 71, 95)):
        longer = [run for run in best if run["arm"] == arm and run["regime"] == FIT.times(2)]
        epochs = [run["best epoch"] for run in longer]
        assert (min(epochs), max(epochs), len(epochs)) == (first, last, 5)


def test_what_the_page_says_of_the_screening_holds():
    committed = runs.read_results(EXPERIMENT)
    scores, curves = defaultdict(list), defaultdict(list)
    for run in committed:
        if run["network"] == NAMES[0] and run["regime"] == SCREENED:
            scores[run["arm"]].append(run[runs.TRUE]["mean AUROC"])
            curves[run["arm"]].append(run[runs.CURVE])
    mean = {arm: np.mean(values) for arm, values in scores.items()}
    alike = [mean[arm] for arm in ("bernoulli", "matching", "matching, T 2", "matching, T 4, rank")]
    assert max(alike) - min(alike) < 0.002 and min(alike) > mean["labels"] + 0.01
    assert max(mean.values()) == max(alike)
    assert abs(mean["control: itself"] - mean["labels"]) < 0.002
    assert mean["labels"] < mean["study"] < mean["labels"] + 0.004
    assert mean["control: permuted"] < mean["labels"] - 0.1
    assert mean["labels"] < mean["control: doubled"] < mean[DEFAULT]
    assert all(max(scores[arm]) < min(scores["labels"]) for arm in scores if arm.startswith("labels,"))
    smoothed = np.array(curves["labels, smoothed"])
    assert (smoothed < curves["labels"]).all()  # seed by seed, in every epoch
    assert (smoothed.argmax(1) == SCREENED.epochs - 1).all()
    assert all(mean[arm] < mean[DEFAULT] for arm in mean if BY_NAME[arm].has_several_teachers)
    assert 0.01 < max(np.ptp(values) for arm, values in scores.items() if is_contender(arm)) < 0.011


def test_what_the_page_says_of_the_gpu_holds():
    here, there = (
        {run["run"]: run for run in runs.read_results(each)} for each in (EXPERIMENT, EXPERIMENT_ON_H100)
    )
    score = {
        name: [of[name][runs.TRUE]["mean AUROC"] for of in (here, there)] for name in here.keys() & there
    }
    apart = {name: np.ptp(values) for name, values in score.items()}
    assert len(apart) == 7 and here[max(apart, key=apart.get)]["network"] == NAMES[1]
    assert round(max(apart.values()), 3) == 0.019
    taught = {name: values for name, values in score.items() if here[name]["arm"] == DEFAULT}
    assert round(max(apart[name] for name in taught), 3) == 0.005
    alone = [
        score[name] for name in score if here[name]["arm"] == "labels" and here[name]["regime"] == SCREENED
    ]
    gains = np.mean(list(taught.values()), axis=0) - np.mean(alone, axis=0)
    assert [round(gain, 3) for gain in gains.tolist()] == [0.011, 0.010]


def test_what_the_page_says_of_several_teachers_holds():
    scores = defaultdict(list)
    for run in runs.read_results(EXPERIMENT):
        if run["regime"].image_size == 32 and run["regime"].learning_rate is None:
            arm = run["arm"] if run["network"] == NAMES[0] else run["network"]
            scores[arm].append(run[runs.TRUE]["mean AUROC"])
    mean = {arm: round(float(np.mean(values)), 3) for arm, values in scores.items()}
    assert [mean[name] for name in NAMES[1:]] == [0.784, 0.929, 0.889, 0.793]
    assert mean["labels"] == 0.82
    several = [arm for arm in mean if arm in BY_NAME and BY_NAME[arm].has_several_teachers]
    assert len(several) == 4 and all(mean[arm] < mean[DEFAULT] for arm in several)
    assert all(mean[arm] < mean["labels"] + 0.006 for arm in several)
    assert abs(mean["sharper teacher"] - mean[DEFAULT]) < 0.003
    ahead = np.subtract(scores["sharper teacher"], scores[DEFAULT])  # seed by seed
    assert ahead[0] < 0 < ahead[1]
    assert 0.0355 < max(np.ptp(values) for values in scores.values()) < 0.0365


def test_what_the_page_says_of_maps_holds():
    scores = defaultdict(dict)  # arm or teacher -> seed -> AUROC
    for run in runs.read_results(EXPERIMENT):
        if run["regime"].image_size == 128:
            arm = run["arm"] if run["network"] == NAMES[0] else run["network"]
            scores[arm][run["seed"]] = run[runs.TRUE]["mean AUROC"]
    alone, default, maps = (
        np.array([scores[arm][seed] for seed in (0, 1)]) for arm in ("labels", DEFAULT, "bernoulli, maps")
    )
    assert [round(ahead, 3) for ahead in (maps - default).tolist()] == [-0.001, 0.001]
    for taught in (default, maps):
        assert round(float(np.mean(taught - alone)), 3) == 0.011
    assert round(scores[NAMES[2]][0] - float(alone.mean()), 3) == 0.014
