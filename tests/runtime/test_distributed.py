"""Two real processes that talk through gloo learn what one learns."""

import multiprocessing
import os
import socket

import numpy as np
import pandas as pd
import pytest
import torch

from cxr14.evaluation import inference, metrics
from cxr14.runtime.distributed import process_group
from tests.toy import toy_data, toy_network, toy_settings, toy_training, weights_of

TIMELESS = ["epoch", "train_loss", "val_loss", "val_auroc", "findings_covered"]


def learn(rank, world, port, folder):
    """Be one of `world` processes that train the toy; leave its weights, history and answers."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    with process_group("cpu") as group:
        # BatchNorm sees half a batch in each of two processes, dropout draws apart: both are left out.
        network = toy_network(dropout=0, norm=False)
        settings = toy_settings(folder / str(world), num_epochs=2, accumulate=2 // world)
        training = toy_training(settings, network=network, group=group)
        training.run()
        answers = inference.predict(training.learner.tested, training.val, group, image_size=32)
        left = {"weights": weights_of(training), "history": training.progress.history}
        torch.save(left | {"answers": torch.from_numpy(answers)}, folder / f"{world}-{rank}.pth")


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.toy"])
    for world in (1, 2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        processes = [context.Process(target=learn, args=(r, world, port, folder)) for r in range(world)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=300)
        assert [process.exitcode for process in processes] == [0] * world
    names = ("1-0", "2-0", "2-1")
    return {name: torch.load(folder / f"{name}.pth", weights_only=True) for name in names}


def test_the_two_hold_the_same_weights(left):
    for name, value in left["2-0"]["weights"].items():
        assert torch.equal(value, left["2-1"]["weights"][name]), name


def test_two_halves_of_a_batch_are_the_batch(left):
    for name, value in left["1-0"]["weights"].items():
        torch.testing.assert_close(value, left["2-0"]["weights"][name], rtol=1e-4, atol=1e-6)


def test_only_the_first_tells_and_it_tells_of_all(left):
    assert left["2-1"]["history"] == []
    first, one = (pd.DataFrame(left[name]["history"])[TIMELESS] for name in ("2-0", "1-0"))
    pd.testing.assert_frame_equal(first, one, rtol=1e-4)


def test_answers_are_gathered_once_each_and_in_order(left):
    """20 radiographs in batches of 8 do not divide evenly; none is counted twice, none is missing."""
    both = [left[name]["answers"].numpy() for name in ("2-0", "2-1")]
    np.testing.assert_array_equal(*both)
    np.testing.assert_allclose(both[0], left["1-0"]["answers"].numpy(), rtol=1e-3, atol=1e-5)


def test_auroc_of_gathered_answers_is_that_of_one_process_to_the_last_digit(left):
    mean, _ = metrics.macro(metrics.auroc(toy_data().val.labels, left["2-0"]["answers"].numpy()))
    assert mean == left["2-0"]["history"][-1]["val_auroc"]
