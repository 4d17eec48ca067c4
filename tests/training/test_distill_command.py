"""The entry point of the distillation scripts: teachers, their cache, and what a student inherits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cxr14.data.image_lists import read_list, write_list
from cxr14.data.provenance import Provenance, of_lists
from cxr14.errors import InputError
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from cxr14.script import read_settings
from cxr14.settings import STUDENT, DistillSettings
from cxr14.training.command import distill
from tests.training.short_trainings import run_distill, run_distill_all, save_network

pytestmark = pytest.mark.slow


def test_teacher_trained_again_between_two_halves_raises_input_error(constants, tmp_path):
    teacher = tmp_path / "teacher.pth"
    save_network(teacher, seed=1)
    about = run_distill(constants, teacher).about
    assert about.teacher == STUDENT
    assert about.teacher_hash == checkpoint.read(teacher).weights_hash
    run_distill(constants, teacher, RESUME=True)
    save_network(teacher, seed=2)
    with pytest.raises(InputError, match=r"another training.*teacher"):
        run_distill(constants, teacher, RESUME=True)


def test_distillation_inherits_the_teachers_patients_and_compares_them(constants, tmp_path):
    val = read_list(tmp_path / "labels" / "val_list.txt")
    others = Provenance(train=np.array([17], np.uint64), unknown=("model.pth.tar",))
    save_network(tmp_path / "teacher.pth", provenance=others)
    with pytest.raises(InputError, match=r"model\.pth\.tar.*ALLOW_UNKNOWN_ORIGIN"):
        run_distill(constants, tmp_path / "teacher.pth")
    student = run_distill(constants, tmp_path / "teacher.pth", ALLOW_UNKNOWN_ORIGIN=True).provenance
    assert 17 in student.train
    assert student.unknown == ("model.pth.tar",)
    save_network(tmp_path / "teacher.pth", provenance=of_lists(val, val))
    with pytest.raises(InputError, match="were used to train"):
        run_distill(constants, tmp_path / "teacher.pth")


def test_student_starts_from_random_weights_or_from_its_checkpoint(constants, tmp_path):
    save_network(tmp_path / "teacher.pth", seed=1)
    save_network(tmp_path / "student.pth", seed=9)
    slow = {"LEARNING_RATE": 1e-2, "WARM_START_LEARNING_RATE": 1e-9, "WEIGHT_DECAY": 0.0}
    start = checkpoint.read(tmp_path / "student.pth").weights["classifier.weight"]

    def classifier(**changes):
        trained = run_distill(constants, tmp_path / "teacher.pth", **slow, **changes)
        return trained.weights["classifier.weight"]

    warm = classifier(STUDENT_CKPT_PATH=str(tmp_path / "student.pth"))
    torch.testing.assert_close(warm, start, rtol=0, atol=1e-6)
    assert not torch.allclose(classifier(STUDENT_CKPT_PATH=None), start, atol=1e-2)


def test_teacher_cache_in_the_script_gives_the_same_weights(constants, tmp_path):
    save_network(tmp_path / "teacher.pth", seed=1)
    without = run_distill(constants, tmp_path / "teacher.pth", TEACHER_CACHE=None).weights_hash
    assert not (tmp_path / "teacher-logits").exists()
    run_distill(constants, tmp_path / "teacher.pth")
    assert len(list((tmp_path / "teacher-logits").glob("*/epoch-0001.npy"))) == 1
    cache = {"TEACHER_CACHE": str(tmp_path / "cache")}
    assert run_distill(constants, tmp_path / "teacher.pth", **cache).weights_hash == without
    (epoch,) = (tmp_path / "cache").glob("*/epoch-0001.npy")
    before = epoch.stat().st_mtime_ns
    assert not np.isnan(np.load(epoch)).any()
    assert run_distill(constants, tmp_path / "teacher.pth", **cache).weights_hash == without
    assert epoch.stat().st_mtime_ns == before
    assert len(FINDINGS) == np.load(epoch).shape[1]


def test_teacher_of_another_image_size_needs_the_setting_for_sharper_teachers(constants, tmp_path, capsys):
    save_network(tmp_path / "teacher.pth", image_size=96)
    with pytest.raises(InputError, match=r"trained at 96 pixels.*SHARPER_TEACHER"):
        run_distill(constants, tmp_path / "teacher.pth")
    trained = run_distill(constants, tmp_path / "teacher.pth", SHARPER_TEACHER=True)
    assert trained.about.image_size == 64
    assert "of the validation list" in capsys.readouterr().out


def test_several_teachers_are_distilled_and_named(constants, tmp_path):
    save_network(tmp_path / "first.pth", seed=1)
    save_network(
        tmp_path / "second.pth", "2-OFA-595", seed=2, provenance=Provenance(train=np.array([17], np.uint64))
    )
    paths = tmp_path / "first.pth", tmp_path / "second.pth"
    with pytest.raises(InputError, match="calibrated on has 0 patients with"):
        run_distill_all(constants, *paths)
    run_distill_all(constants, *paths, CALIBRATE_TEACHERS=False)
    # The other way round, so that enough patients are there to calibrate on.
    train, val = (Path(constants[f"{role}_IMAGE_LIST"]) for role in ("TRAIN", "VAL"))
    longer, shorter = read_list(train), read_list(val)
    labels = np.random.default_rng(0).integers(0, 2, longer.labels.shape).astype(np.uint8)
    write_list(val, longer.names, labels)
    write_list(train, shorter.names, shorter.labels)
    cache = {"TEACHER_CACHE": str(tmp_path / "cache"), "TEACHER_WEIGHTS": "finding"}
    trained = run_distill_all(constants, *paths, **cache)
    assert trained.about.teacher == f"{STUDENT}+2-OFA-595"
    assert 17 in trained.provenance.train
    assert trained.about.settings["teachers"] == [str(path) for path in paths]
    assert len(list((tmp_path / "cache").iterdir())) == 2
    again = run_distill_all(constants, *paths, **cache)
    uncalibrated = run_distill_all(constants, *paths, CALIBRATE_TEACHERS=False, **cache)
    assert again.weights_hash == trained.weights_hash != uncalibrated.weights_hash
    save_network(paths[0], seed=3)
    with pytest.raises(InputError, match=r"another training.*teacher"):
        run_distill_all(constants, *paths, RESUME=True, **cache)


def test_map_term_changes_the_student_and_needs_no_cache(constants, tmp_path, capsys):
    save_network(tmp_path / "teacher.pth", seed=1)
    plain = run_distill(constants, tmp_path / "teacher.pth").weights_hash
    cache = {"TEACHER_CACHE": str(tmp_path / "cache")}
    trained = run_distill(constants, tmp_path / "teacher.pth", MAP_WEIGHT=1.0, **cache)
    assert trained.weights_hash != plain
    assert trained.weights.keys() == zoo.build(STUDENT, pretrained=False).state_dict().keys()
    assert "maps are not cached" in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


def test_own_comparison_is_the_one_that_is_trained(constants, tmp_path):
    save_network(tmp_path / "teacher.pth", seed=1)
    values = {"TEACHER": STUDENT, "TEACHER_CKPT_PATH": str(tmp_path / "teacher.pth")}
    values |= {"TEMPERATURE": 2.0, "DISTILL_LOSS": "bernoulli"}
    seen = []

    def compare(student, teacher, labels):
        seen.append(teacher.shape)
        return (student - teacher).square().mean()

    distill(read_settings(DistillSettings, constants | values, []), compare)
    assert seen
