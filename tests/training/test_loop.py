"""The training loop learns, resumes bit for bit, and reports errors."""

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

STEPS_PER_EPOCH = 5


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    training = toy_training(toy_settings(tmp_path_factory.mktemp("uninterrupted")))
    training.run()
    return training


def loss_that_signals_in_step(number, sign=signal.SIGTERM):
    """Return a loss that sends this process a signal in step `number`, counted from 0."""
    steps = iter(range(number, -10_000, -1))

    def loss(images, logits, labels):
        if next(steps) == 0:
            os.kill(os.getpid(), sign)
        return losses.binary_cross_entropy(images, logits, labels)

    return loss


def test_loss_falls_and_best_epoch_is_saved(uninterrupted):
    history = pd.DataFrame(uninterrupted.progress.history)
    assert list(history["epoch"]) == [1, 2, 3, 4]
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    assert history["val_auroc"].max() == uninterrupted.progress.best_auroc
    assert checkpoint.read(uninterrupted.settings.ckpt_path).about.val_auroc == history["val_auroc"].max()
    assert history["learning_rate"].iloc[-1] < 0.01 * 0.02


def test_equal_seeds_give_equal_weights_and_other_seeds_other_weights(uninterrupted, tmp_path):
    again = toy_training(toy_settings(tmp_path))
    again.run()
    assert_same(weights_of(uninterrupted), weights_of(again))
    other = toy_training(toy_settings(tmp_path, seed=1))
    other.run()
    assert not torch.equal(next(iter(weights_of(other).values())), next(iter(weights_of(again).values())))


@pytest.mark.parametrize("step", [0, 2, STEPS_PER_EPOCH - 1, STEPS_PER_EPOCH, 2 * STEPS_PER_EPOCH - 1, 13])
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_resumed_training_equals_uninterrupted_one_bitwise(step, sign, uninterrupted, tmp_path):
    settings = toy_settings(tmp_path)
    first = toy_training(settings, loss=loss_that_signals_in_step(step, sign))
    with pytest.raises(snapshot.Stopped) as stopped:
        first.run()
    assert stopped.value.signal_number == sign
    torch.manual_seed(12345)  # resume has to restore the generator
    second = toy_training(settings)
    second.resume()
    second.run()
    assert_same(weights_of(uninterrupted), weights_of(second))
    resumed = pd.read_csv(checkpoint.log_path(settings.ckpt_path))
    expected = pd.DataFrame(uninterrupted.progress.history)
    timeless = ["epoch", "train_loss", "val_loss", "val_auroc", "findings_covered", "learning_rate"]
    pd.testing.assert_frame_equal(resumed[timeless], expected[timeless])


def test_time_limit_stops_with_a_snapshot_and_is_told_from_other_signals(uninterrupted, tmp_path):
    settings = toy_settings(tmp_path)
    first = toy_training(settings, loss=run_toy.slow_loss)
    with (
        snapshot.time_limit(0.4 / 3600),
        pytest.raises(snapshot.Stopped, match="STOP_AFTER_HOURS") as stopped,
    ):
        first.run()
    assert stopped.value.is_time_limit
    assert first.progress.epoch < 4
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    second = toy_training(settings)
    second.resume()
    second.run()
    assert_same(weights_of(uninterrupted), weights_of(second))


def test_signal_of_a_scheduler_is_followed_by_sigterm_without_loss():
    """Slurm sends SIGTERM at the limit, perhaps while the snapshot is being written."""
    with snapshot.StopSignal().handled() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.number == signal.SIGUSR1
    with snapshot.StopSignal().handled(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)


def test_training_stopped_between_epochs_resumes_bitwise(uninterrupted, tmp_path):
    settings = toy_settings(tmp_path)
    first = toy_training(settings)
    finish = first._finish_epoch

    def finish_then_signal(training_log, timer):
        finish(training_log, timer)
        if first.progress.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    first._finish_epoch = finish_then_signal
    with pytest.raises(snapshot.Stopped):
        first.run()
    assert first.progress.epoch == 2
    second = toy_training(settings)
    second.resume()
    second.run()
    assert_same(weights_of(uninterrupted), weights_of(second))


@pytest.mark.slow
def test_training_killed_at_random_moments_ends_with_equal_weights(uninterrupted, tmp_path):
    """kill -9, ten times: within a step, while saving, while starting."""
    # Processes are forked from a server that has imported torch once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.run_toy"])
    # Ten times less than two of the 20 steps leave some for the last process, which is not killed.
    moments = np.random.default_rng(8).uniform(0.0, 1.7 * run_toy.STEP_SECONDS, 10)
    for moment in [*moments, None]:
        process = context.Process(target=run_toy.main, args=(str(tmp_path),))
        process.start()
        process.join(timeout=moment)
        if moment is not None:
            assert process.is_alive(), "the process ended before it was killed"
            process.kill()
            process.join()
    assert process.exitcode == 0
    finished = torch.load(tmp_path / "finished.pth", weights_only=True)
    assert_same(weights_of(uninterrupted), finished)


def test_damaged_snapshot_falls_back_to_the_previous_one(uninterrupted, tmp_path, capsys):
    settings = toy_settings(tmp_path, save_minutes=0)
    with pytest.raises(snapshot.Stopped):
        toy_training(settings, loss=loss_that_signals_in_step(8)).run()
    last = checkpoint.snapshot_path(settings.ckpt_path)
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    second = toy_training(settings)
    second.resume()
    assert "damaged" in capsys.readouterr().out
    second.run()
    assert_same(weights_of(uninterrupted), weights_of(second))


def test_resume_without_snapshot_raises_input_error(tmp_path):
    with pytest.raises(InputError, match="nothing to resume"):
        toy_training(toy_settings(tmp_path)).resume()


def test_snapshot_of_another_training_raises_input_error(tmp_path):
    settings = toy_settings(tmp_path)
    with pytest.raises(snapshot.Stopped):
        toy_training(settings, loss=loss_that_signals_in_step(2)).run()
    with pytest.raises(InputError, match=r"seed: 0, now 1"):
        toy_training(toy_settings(tmp_path, seed=1)).resume()


def test_non_finite_loss_names_epoch_batch_and_files(tmp_path):
    steps = iter(range(7, -100, -1))

    def diverging(images, logits, labels):
        bad = next(steps) == 0
        return losses.binary_cross_entropy(images, logits * (float("nan") if bad else 1), labels)

    settings = toy_settings(tmp_path)
    training = toy_training(settings, loss=diverging)
    with pytest.raises(InputError, match=r"nan in epoch 2, batch 3 \(\d{8}_000.png") as raised:
        training.run()
    assert f"{settings.ckpt_path} holds epoch 1" in str(raised.value)


def test_accumulated_parts_equal_the_whole_batch(tmp_path):
    """Without BatchNorm and dropout, four parts give the gradient of the whole."""
    weights = []
    for accumulate in (1, 4):
        settings = toy_settings(tmp_path, num_epochs=1, accumulate=accumulate, ema_decay=0)
        training = toy_training(settings, network=toy_network(dropout=0, norm=False))
        training.run()
        weights.append(weights_of(training))
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-4, atol=1e-6)


def test_full_disk_leaves_the_old_snapshot_intact(tmp_path):
    """The process may write no file larger than half of the first snapshot."""
    settings = toy_settings(tmp_path)
    with pytest.raises(snapshot.Stopped):
        toy_training(settings, loss=loss_that_signals_in_step(3)).run()
    before = checkpoint.snapshot_path(settings.ckpt_path).read_bytes()
    limit = len(before) // 2
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "import sys; from tests.run_toy import main; from cxr14.errors import exit_on_input_error\n"
        "with exit_on_input_error(): main(sys.argv[1])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 2, process.stderr
    assert "could not be written" in process.stderr
    assert checkpoint.snapshot_path(settings.ckpt_path).read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("of_gpu", [True, False])
def test_missing_memory_names_the_settings_and_leaves_the_snapshot(of_gpu, uninterrupted, tmp_path):
    steps = iter(range(7, -100, -1))

    def too_large(images, logits, labels):
        if next(steps) == 0:
            if of_gpu:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
            torch.empty(1 << 60, dtype=torch.uint8)
        return losses.binary_cross_entropy(images, logits, labels)

    settings = toy_settings(tmp_path)
    with pytest.raises(InputError, match=r"BATCH_SIZE = 8 in ACCUMULATE = 1 parts.*--accumulate 2"):
        toy_training(settings, loss=too_large).run()
    second = toy_training(settings)
    second.resume()
    assert second.progress.epoch == 1
    second.run()
    assert_same(weights_of(uninterrupted), weights_of(second))


def test_other_errors_are_not_taken_for_missing_memory(tmp_path):
    def wrong(images, logits, labels):
        return losses.binary_cross_entropy(images, logits[:, :3], labels)

    with pytest.raises((RuntimeError, ValueError)):
        toy_training(toy_settings(tmp_path), loss=wrong).run()


def test_tensorboard_holds_loss_rate_and_each_finding(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    toy_training(toy_settings(tmp_path, num_epochs=2, log_dir=tmp_path / "board")).run()
    board = EventAccumulator(str(tmp_path / "board"))
    board.Reload()
    tags = set(board.Tags()["scalars"])
    assert {"train_loss", "val_auroc", "learning_rate", "images_per_second", "share_waiting_for_data"} <= tags
    assert {f"auroc/{finding}" for finding in FINDINGS} <= tags
    assert [event.step for event in board.Scalars("train_loss")] == [1, 2]
