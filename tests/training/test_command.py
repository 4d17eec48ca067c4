"""The entry point of the train scripts: starts, provenance, and the checks of a resumption."""

import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr14.data.image_lists import read_list, write_list
from cxr14.data.provenance import Provenance
from cxr14.errors import InputError
from cxr14.models import checkpoint
from cxr14.runtime import threads
from cxr14.runtime.distributed import ProcessGroup
from cxr14.script import read_settings
from cxr14.settings import ROOT, TrainSettings
from cxr14.training import command
from cxr14.training.command import train
from tests.training.short_trainings import (
    build_small,
    run_train,
    save_small,
)


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
