"""The entry points of the train scripts: starts, teachers, provenance, and the checks of a resumption."""

import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cxr14.data.image_lists import read_list, write_list
from cxr14.data.provenance import Provenance, of_lists
from cxr14.errors import InputError
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from cxr14.runtime import threads
from cxr14.runtime.distributed import ProcessGroup
from cxr14.script import read_settings
from cxr14.settings import ROOT, STUDENT, DistillAllSettings, DistillSettings, TrainSettings
from cxr14.training import command
from cxr14.training.command import distill, train


def build_small(num_classes=14, pretrained=True, image_size=64):
    """Build a network that trains in no time."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.Dropout(0.1), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, num_classes),
    )  # fmt: skip


@pytest.fixture
def constants(phantoms, tmp_path):
    """The constants of a train script, for a copy of the phantoms' lists that a test may change."""
    shutil.copytree(phantoms / "labels", tmp_path / "labels")
    return {
        "__file__": str(ROOT / STUDENT / "train-model.py"),
        "DATA_DIR": str(phantoms / "images"),
        "TRAIN_IMAGE_LIST": str(tmp_path / "labels" / "train_list.txt"),
        "VAL_IMAGE_LIST": str(tmp_path / "labels" / "val_list.txt"),
        "CKPT_PATH": str(tmp_path / "model.pth"),
        "BATCH_SIZE": 8,
        "NUM_EPOCHS": 1,
        "LEARNING_RATE": 1e-3,
        "IMAGE_SIZE": 64,
        "PRETRAINED": False,
        "NUM_WORKERS": 0,
        "DEVICE": "cpu",
    }


def run_train(constants, **changes):
    """Train the small network; return the checkpoint."""
    settings = read_settings(TrainSettings, constants | changes, [])
    train(build_small, settings)
    return checkpoint.read(settings.ckpt_path)


def save_network(path, network=STUDENT, seed=0, provenance=None, image_size=64):
    """Save a network with random weights, as a start or a teacher."""
    torch.manual_seed(seed)
    model = zoo.build(network, pretrained=False, image_size=image_size)
    about = checkpoint.About(network=network, image_size=image_size)
    checkpoint.save(path, model.state_dict(), about, provenance)


def save_small(path, seed=0, provenance=None):
    """Save the small network with random weights."""
    torch.manual_seed(seed)
    about = checkpoint.About(network=STUDENT, image_size=64)
    checkpoint.save(path, build_small().state_dict(), about, provenance)


def run_distill(constants, teacher, **changes):
    """Distil a teacher into EEEA-Net-C2; return the checkpoint."""
    values = {"TEACHER": STUDENT, "TEACHER_CKPT_PATH": str(teacher), "TEMPERATURE": 2.0}
    values["DISTILL_LOSS"] = "bernoulli"
    settings = read_settings(DistillSettings, constants | values | changes, [])
    distill(settings)
    return checkpoint.read(settings.ckpt_path)


def shorten_list(constants):
    path = Path(constants["TRAIN_IMAGE_LIST"])
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"LEARNING_RATE": 2e-3}, "learning_rate"),
        ({"SEED": 1}, "seed"),
        ({"BATCH_SIZE": 4}, "batch_size"),
        ({"NUM_EPOCHS": 2}, "num_epochs"),
        ({"SMALLEST_CROP": 0.9}, "smallest_crop"),
        ({"MIXUP": 0.5}, "mixup"),
        ({"LABEL_SMOOTHING": 0.1}, "label_smoothing"),
        ({"EMA_DECAY": 0.5}, "ema_decay"),
        ({"DETERMINISTIC": True}, "deterministic"),
        ({"__file__": str(ROOT / "2-OFA-595" / "train-model.py")}, "network"),
    ],
)
def test_resume_with_another_setting_raises_input_error_that_names_it(change, name, constants):
    run_train(constants)
    with pytest.raises(InputError, match=f"another training.*{name}"):
        run_train(constants, RESUME=True, **change)


def test_resume_with_another_list_raises_input_error(constants):
    run_train(constants)
    shorten_list(constants)
    with pytest.raises(InputError, match="another training"):
        run_train(constants, RESUME=True)


def test_resume_from_other_initial_weights_raises_input_error(constants, tmp_path):
    start = tmp_path / "start.pth"
    save_small(start, seed=1)
    run_train(constants, INIT_CHECKPOINT=str(start))
    run_train(constants, INIT_CHECKPOINT=str(start), RESUME=True)
    save_small(start, seed=2)
    with pytest.raises(InputError, match="another training"):
        run_train(constants, INIT_CHECKPOINT=str(start), RESUME=True)


def test_paths_readers_and_saving_may_change_between_two_halves(constants, phantoms, tmp_path):
    run_train(constants)
    moved = shutil.copytree(phantoms / "images", tmp_path / "moved")
    changes = {"DATA_DIR": str(moved), "NUM_WORKERS": 1, "SAVE_MINUTES": 1.0}
    assert run_train(constants, RESUME=True, **changes).about.epoch == 1


def test_init_checkpoint_is_where_the_training_starts(constants, tmp_path):
    save_small(tmp_path / "start.pth", seed=5)
    slow = {"LEARNING_RATE": 1e-9, "WEIGHT_DECAY": 0.0}
    trained = run_train(constants, INIT_CHECKPOINT=str(tmp_path / "start.pth"), **slow).weights
    start = checkpoint.read(tmp_path / "start.pth").weights
    for name, value in trained.items():
        torch.testing.assert_close(value, start[name], rtol=0, atol=1e-6)


def test_deterministic_training_repeats_its_weights(constants):
    try:
        hashes = {run_train(constants, DETERMINISTIC=True).weights_hash for _ in range(2)}
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert len(hashes) == 1


@pytest.fixture
def numbers_of_threads():
    """Let a test change the number of torch's threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_resume_with_another_number_of_threads_raises_input_error(constants, numbers_of_threads):
    """It determines the order of sums, and so the weights."""
    run_train(constants, THREADS=1)
    with pytest.raises(InputError, match=r"another training.*threads: 1, now 2"):
        run_train(constants, THREADS=2, RESUME=True)


@pytest.mark.skipif(threads.cpu_times() is None, reason="the system does not tell its processor times")
def test_training_on_a_busy_machine_prints_a_warning(constants, numbers_of_threads, monkeypatch, capfd):
    monkeypatch.setattr(threads, "BUSY_SHARE", -1)
    monkeypatch.setattr(threads, "_FIRST_INTERVAL", 0.001)
    run_train(constants, THREADS=2)
    assert "With --threads 1" in capfd.readouterr().err


class FirstStep(Exception):
    """The first training step has begun."""


def test_processes_start_from_the_same_weights_and_draw_different_dropout(constants, monkeypatch):
    def weights_and_seed(rank):
        group = ProcessGroup(torch.device("cpu"), rank)
        monkeypatch.setattr(command, "process_group", lambda _: nullcontext(group))
        found = []

        def stop(model, _images):
            found.extend([model[0].weight.detach().clone(), torch.initial_seed()])
            raise FirstStep

        def build(**how):
            model = build_small(**how)
            model.register_forward_pre_hook(stop)
            return model

        with pytest.raises(FirstStep):
            train(build, read_settings(TrainSettings, constants, []))
        return found

    (first, first_seed), (second, second_seed) = weights_and_seed(0), weights_and_seed(1)
    assert torch.equal(first, second)
    assert first_seed != second_seed


def test_batch_smaller_than_the_number_of_processes_is_refused_at_the_start(constants, monkeypatch):
    group = ProcessGroup(torch.device("cpu"), world_size=2)
    monkeypatch.setattr(command, "process_group", lambda _: nullcontext(group))
    with pytest.raises(InputError, match="BATCH_SIZE = 1 is less than the 2 processes"):
        run_train(constants, BATCH_SIZE=1)


def test_checkpoint_carries_the_patients_of_lists_and_start(constants, tmp_path):
    others = Provenance(train=np.array([17], np.uint64), val=np.array([19], np.uint64))
    save_small(tmp_path / "start.pth", provenance=others)
    provenance = run_train(constants, INIT_CHECKPOINT=str(tmp_path / "start.pth")).provenance
    train_list, val_list = (read_list(tmp_path / "labels" / f"{name}_list.txt") for name in ("train", "val"))
    assert 17 in provenance.train and 19 in provenance.val
    assert len(provenance.train) == len(set(train_list.patients)) + 1
    assert len(provenance.val) == len(set(val_list.patients)) + 1


def test_validation_patients_that_the_start_was_trained_on_raise_input_error(constants, tmp_path):
    run_train(constants)
    (tmp_path / "model.pth").rename(tmp_path / "start.pth")
    names, labels = (read_list(tmp_path / "labels" / "train_list.txt") for _ in range(2))
    other = read_list(tmp_path / "labels" / "val_list.txt")
    write_list(tmp_path / "labels" / "val_list.txt", names.names, labels.labels)
    write_list(tmp_path / "labels" / "train_list.txt", other.names, other.labels)
    with pytest.raises(InputError, match="were used to train"):
        run_train(constants, INIT_CHECKPOINT=str(tmp_path / "start.pth"))


def test_start_of_unknown_origin_needs_permission_and_is_carried_on(constants, tmp_path):
    save_small(tmp_path / "start.pth", provenance=Provenance(unknown=("model.pth.tar",)))
    start = {"INIT_CHECKPOINT": str(tmp_path / "start.pth")}
    with pytest.raises(InputError, match=r"model\.pth\.tar.*ALLOW_UNKNOWN_ORIGIN"):
        run_train(constants, **start)
    assert not (tmp_path / "model.pth").exists()
    trained = run_train(constants, ALLOW_UNKNOWN_ORIGIN=True, **start)
    assert trained.provenance.unknown == ("model.pth.tar",)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_teacher_of_another_image_size_needs_the_setting_for_sharper_teachers(constants, tmp_path, capsys):
    save_network(tmp_path / "teacher.pth", image_size=96)
    with pytest.raises(InputError, match=r"trained at 96 pixels.*SHARPER_TEACHER"):
        run_distill(constants, tmp_path / "teacher.pth")
    trained = run_distill(constants, tmp_path / "teacher.pth", SHARPER_TEACHER=True)
    assert trained.about.image_size == 64
    assert "of the validation list" in capsys.readouterr().out


def run_distill_all(constants, *paths, **changes):
    """Distil several teachers into EEEA-Net-C2; return the checkpoint."""
    shared = {"TEACHERS": tuple(map(str, paths)), "TEMPERATURE": 1.0, "DISTILL_LOSS": "matching"}
    settings = read_settings(DistillAllSettings, constants | shared | changes, [])
    distill(settings)
    return checkpoint.read(settings.ckpt_path)


@pytest.mark.slow
def test_several_teachers_are_distilled_and_named(constants, tmp_path):
    save_network(tmp_path / "first.pth", seed=1)
    save_network(
        tmp_path / "second.pth", "2-OFA-595", seed=2, provenance=Provenance(train=np.array([17], np.uint64))
    )
    paths = tmp_path / "first.pth", tmp_path / "second.pth"
    with pytest.raises(InputError, match="calibrated on has 0 patients with"):
        run_distill_all(constants, *paths)
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
    assert again.weights_hash == trained.weights_hash
    save_network(paths[0], seed=3)
    with pytest.raises(InputError, match=r"another training.*teacher"):
        run_distill_all(constants, *paths, RESUME=True, **cache)


@pytest.mark.slow
def test_map_term_changes_the_student_and_needs_no_cache(constants, tmp_path, capsys):
    save_network(tmp_path / "teacher.pth", seed=1)
    plain = run_distill(constants, tmp_path / "teacher.pth").weights_hash
    cache = {"TEACHER_CACHE": str(tmp_path / "cache")}
    trained = run_distill(constants, tmp_path / "teacher.pth", MAP_WEIGHT=1.0, **cache)
    assert trained.weights_hash != plain
    assert trained.weights.keys() == zoo.build(STUDENT, pretrained=False).state_dict().keys()
    assert "maps are not cached" in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
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
