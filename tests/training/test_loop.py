"""The one loop: it learns, loses nothing, and says what went wrong."""

import multiprocessing
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from cxr14.errors import InputError
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint
from cxr14.settings import ROOT
from cxr14.training import losses, snapshot
from tests import run_toy
from tests.toy import assert_same, toy_network, toy_settings, toy_training, weights_of

STEPS_AN_EPOCH = 5


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    training = toy_training(toy_settings(tmp_path_factory.mktemp("undisturbed")))
    training.run()
    return training


def stopped_in_step(number, sign=signal.SIGTERM):
    """Return a loss that sends the process a real signal in its step `number`, counted from 0."""
    steps = iter(range(number, -10_000, -1))

    def loss(images, logits, labels):
        if next(steps) == 0:
            os.kill(os.getpid(), sign)
        return losses.binary_cross_entropy(images, logits, labels)

    return loss


def test_it_learns(undisturbed):
    history = pd.DataFrame(undisturbed.progress.history)
    assert list(history["epoch"]) == [1, 2, 3, 4]
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    assert history["val_auroc"].max() == undisturbed.kept["auroc"] == undisturbed.progress.best_auroc
    assert history["learning_rate"].iloc[-1] < 0.01 * 0.02


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(undisturbed, tmp_path):
    again = toy_training(toy_settings(tmp_path))
    again.run()
    assert_same(weights_of(undisturbed), weights_of(again))
    other = toy_training(toy_settings(tmp_path, seed=1))
    other.run()
    assert not torch.equal(next(iter(weights_of(other).values())), next(iter(weights_of(again).values())))


@pytest.mark.parametrize("step", [0, 2, STEPS_AN_EPOCH - 1, STEPS_AN_EPOCH, 2 * STEPS_AN_EPOCH - 1, 13])
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_stopped_and_resumed_is_bitwise_the_undisturbed_run(step, sign, undisturbed, tmp_path):
    settings = toy_settings(tmp_path)
    first = toy_training(settings, loss=stopped_in_step(step, sign))
    with pytest.raises(snapshot.Stopped) as stopped:
        first.run()
    assert stopped.value.number == sign
    torch.manual_seed(12345)  # whatever happened to the generator in between
    second = toy_training(settings)
    second.resume()
    second.run()
    assert_same(weights_of(undisturbed), weights_of(second))
    told = pd.read_csv(checkpoint.log_path(settings.ckpt_path))
    expected = pd.DataFrame(undisturbed.progress.history)
    timeless = ["epoch", "train_loss", "val_loss", "val_auroc", "findings_covered", "learning_rate"]
    pd.testing.assert_frame_equal(told[timeless], expected[timeless])


def test_two_epochs_and_two_are_four(undisturbed, tmp_path):
    settings = toy_settings(tmp_path)
    first = toy_training(settings)
    close = first._close_epoch

    def close_then_ask(book, clock):
        close(book, clock)
        if first.progress.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    first._close_epoch = close_then_ask
    with pytest.raises(snapshot.Stopped):
        first.run()
    assert first.progress.epoch == 2
    second = toy_training(settings)
    second.resume()
    second.run()
    assert_same(weights_of(undisturbed), weights_of(second))


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_weights(undisturbed, tmp_path):
    """kill -9, ten times, wherever it happens to be: in a step, while saving, while starting."""
    # Each process is real and is forked from a server that has imported torch once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.run_toy"])
    # Ten times less than two steps leave some of the 20 for the last, undisturbed process.
    moments = np.random.default_rng(8).uniform(0.0, 1.7 * run_toy.STEP_SECONDS, 10)
    for moment in [*moments, None]:
        process = context.Process(target=run_toy.main, args=(str(tmp_path),))
        process.start()
        process.join(timeout=moment)
        if moment is not None:
            assert process.is_alive(), "it was to be killed while it trains"
            process.kill()
            process.join()
    assert process.exitcode == 0
    finished = torch.load(tmp_path / "finished.pth", weights_only=True)
    assert_same(weights_of(undisturbed), finished)


def test_a_damaged_snapshot_gives_way_to_the_one_before(undisturbed, tmp_path, capsys):
    settings = toy_settings(tmp_path, save_minutes=0)
    with pytest.raises(snapshot.Stopped):
        toy_training(settings, loss=stopped_in_step(8)).run()
    last = checkpoint.snapshot_path(settings.ckpt_path)
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    second = toy_training(settings)
    second.resume()
    assert "damaged" in capsys.readouterr().out
    second.run()
    assert_same(weights_of(undisturbed), weights_of(second))


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(InputError, match="nothing to resume"):
        toy_training(toy_settings(tmp_path)).resume()


def test_a_snapshot_of_another_training_is_refused(tmp_path):
    settings = toy_settings(tmp_path)
    with pytest.raises(snapshot.Stopped):
        toy_training(settings, loss=stopped_in_step(2)).run()
    with pytest.raises(InputError, match=r"seed: 0, now 1"):
        toy_training(toy_settings(tmp_path, seed=1)).resume()


def test_a_non_finite_loss_names_epoch_batch_and_files(tmp_path):
    steps = iter(range(7, -100, -1))

    def diverging(images, logits, labels):
        bad = next(steps) == 0
        return losses.binary_cross_entropy(images, logits * (float("nan") if bad else 1), labels)

    settings = toy_settings(tmp_path)
    training = toy_training(settings, loss=diverging)
    with pytest.raises(InputError, match=r"nan in epoch 2, batch 3 \(\d{8}_000.png") as told:
        training.run()
    assert f"{settings.ckpt_path} holds epoch 1" in str(told.value)


def test_parts_of_a_batch_add_up_to_the_batch(tmp_path):
    """Without BatchNorm and dropout, four parts give the gradient of the whole."""
    learnt = []
    for accumulate in (1, 4):
        settings = toy_settings(tmp_path, num_epochs=1, accumulate=accumulate, ema_decay=0)
        training = toy_training(settings, network=toy_network(dropout=0, norm=False))
        training.run()
        learnt.append(weights_of(training))
    for name, value in learnt[0].items():
        torch.testing.assert_close(value, learnt[1][name], rtol=1e-4, atol=1e-6)


def test_a_full_disk_leaves_the_old_snapshot_whole(tmp_path):
    """The process may write no file larger than the first snapshot's half; what stood there stays."""
    settings = toy_settings(tmp_path)
    with pytest.raises(snapshot.Stopped):
        toy_training(settings, loss=stopped_in_step(3)).run()
    before = checkpoint.snapshot_path(settings.ckpt_path).read_bytes()
    limit = len(before) // 2
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "import sys; from tests.run_toy import main; from cxr14.errors import exit_on_input_error\n"
        "with exit_on_input_error(): main(sys.argv[1])"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 2, process.stderr
    assert "could not be written" in process.stderr
    assert checkpoint.snapshot_path(settings.ckpt_path).read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_tensorboard_tells_loss_rate_and_each_finding(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    toy_training(toy_settings(tmp_path, num_epochs=2, log_dir=tmp_path / "board")).run()
    board = EventAccumulator(str(tmp_path / "board"))
    board.Reload()
    told = set(board.Tags()["scalars"])
    assert {"train_loss", "val_auroc", "learning_rate", "images_per_second", "share_waiting_for_data"} <= told
    assert {f"auroc/{finding}" for finding in FINDINGS} <= told
    assert [event.step for event in board.Scalars("train_loss")] == [1, 2]
