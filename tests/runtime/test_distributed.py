"""Two processes that communicate through gloo train like one."""

import multiprocessing
import os
import socket

import numpy as np
import pandas as pd
import pytest
import torch

from cxr14.errors import InputError
from cxr14.evaluation import inference, metrics
from cxr14.runtime.distributed import ProcessGroup, process_group
from cxr14.training.train_step import seed_process
from tests.toy import toy_data, toy_network, toy_settings, toy_training, weights_of

DETERMINISTIC_COLUMNS = ["epoch", "train_loss", "val_loss", "val_auroc", "findings_covered"]


def train_in_process(rank, world_size, port, folder, exact):
    """Train the toy in one of `world_size` processes; save its weights, history and logits.

    With `exact`, without BatchNorm and dropout, whose results depend on how a batch is shared.
    """
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    with process_group("cpu") as group:
        network = toy_network(dropout=0, norm=False) if exact else toy_network()
        masks = record_dropout(network)
        settings = toy_settings(folder / str(world_size), num_epochs=2, accumulate=2 // world_size)
        seed_process(settings.seed, group.rank)
        training = toy_training(settings, network=network, group=group)
        training.run()
        model = training.train_step.evaluated_model
        logits = inference.predict(model, training.val_batches, group, image_size=32)
        result = {
            "weights": weights_of(training),
            "history": training.progress.history,
            "logits": torch.from_numpy(logits),
            "dropout": masks,
        }
        torch.save(result, folder / f"{world_size}-{rank}.pth")


def record_dropout(network):
    """Return a list to which each training step adds which inputs dropout set to 0."""
    masks = []

    def record(module, inputs, output):
        if module.training:
            masks.append((output == 0) & (inputs[0] != 0))

    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.register_forward_hook(record)
    return masks


def train_in_processes(world_size, folder, exact):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.toy"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        context.Process(target=train_in_process, args=(rank, world_size, port, folder, exact))
        for rank in range(world_size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)
    assert [process.exitcode for process in processes] == [0] * world_size
    return [torch.load(folder / f"{world_size}-{rank}.pth", weights_only=True) for rank in range(world_size)]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    (one,) = train_in_processes(1, folder, exact=True)
    first, second = train_in_processes(2, folder, exact=True)
    return {"1-0": one, "2-0": first, "2-1": second}


@pytest.fixture(scope="module")
def batchnorm_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("batchnorm")


@pytest.fixture(scope="module")
def with_batchnorm(batchnorm_folder):
    """Results of two processes that train with BatchNorm and dropout."""
    return train_in_processes(2, batchnorm_folder, exact=False)


def test_both_processes_have_equal_weights(results):
    for name, value in results["2-0"]["weights"].items():
        assert torch.equal(value, results["2-1"]["weights"][name]), name


def test_two_shares_of_a_batch_give_the_weights_of_the_whole(results):
    for name, value in results["1-0"]["weights"].items():
        torch.testing.assert_close(value, results["2-0"]["weights"][name], rtol=1e-4, atol=1e-6)


def test_main_process_logs_the_metrics_of_all(results):
    assert results["2-1"]["history"] == []
    two, one = (pd.DataFrame(results[name]["history"])[DETERMINISTIC_COLUMNS] for name in ("2-0", "1-0"))
    pd.testing.assert_frame_equal(two, one, rtol=1e-4)


def test_logits_are_gathered_once_each_and_in_order(results):
    """20 radiographs in batches of 8 do not divide evenly; none is counted twice, none is missing."""
    both = [results[name]["logits"].numpy() for name in ("2-0", "2-1")]
    np.testing.assert_array_equal(*both)
    np.testing.assert_allclose(both[0], results["1-0"]["logits"].numpy(), rtol=1e-3, atol=1e-5)


def test_logged_auroc_is_that_of_the_gathered_logits(results):
    mean, _ = metrics.macro(metrics.auroc(toy_data().val.labels, results["2-0"]["logits"].numpy()))
    assert mean == results["2-0"]["history"][-1]["val_auroc"]


def test_batchnorm_statistics_are_equal_in_both_processes(with_batchnorm):
    """Each process updates them from its own share; validation needs the same in both."""
    first, second = (result["weights"] for result in with_batchnorm)
    assert any(name.startswith("ema.") and name.endswith("running_mean") for name in first)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_logged_auroc_is_that_of_the_saved_weights(with_batchnorm, tmp_path):
    """Validate the weights of the main process again, in this process alone."""
    weights = with_batchnorm[0]["weights"]
    model = toy_network()
    model.load_state_dict(
        {name.removeprefix("ema."): value for name, value in weights.items() if name.startswith("ema.")}
    )
    group = ProcessGroup(torch.device("cpu"))
    training = toy_training(toy_settings(tmp_path), group=group)
    logits = inference.predict(model, training.val_batches, group, image_size=32)
    np.testing.assert_allclose(logits, with_batchnorm[0]["logits"].numpy(), rtol=1e-4, atol=1e-5)
    mean, _ = metrics.macro(metrics.auroc(toy_data().val.labels, logits))
    assert mean == with_batchnorm[0]["history"][-1]["val_auroc"]


def test_processes_drop_different_units(with_batchnorm):
    first, second = (result["dropout"] for result in with_batchnorm)
    assert len(first) == len(second) > 0
    assert not all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_snapshot_of_two_processes_is_not_resumed_by_one(with_batchnorm, batchnorm_folder):
    training = toy_training(toy_settings(batchnorm_folder / "2"))
    with pytest.raises(InputError, match="written by 2 processes; resume it with as many"):
        training.resume()


@pytest.mark.parametrize(
    ("batch_size", "world_size", "message"),
    [(1, 2, "BATCH_SIZE = 1 is less than the 2 processes"), (64, 41, "40 radiographs for 41 processes")],
)
def test_share_without_radiographs_raises_input_error(batch_size, world_size, message):
    group = ProcessGroup(torch.device("cpu"), world_size=world_size)
    with pytest.raises(InputError, match=message):
        toy_data().require_share_for_each_process(batch_size, group)


def test_equal_share_sizes_are_accepted():
    toy_data().require_share_for_each_process(2, ProcessGroup(torch.device("cpu"), world_size=2))
