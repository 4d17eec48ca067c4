"""Training on an accelerator, as far as a machine without one can check it.

Torch's meta device computes shapes only, but like a GPU it rejects a tensor of another device.
"""

import numpy as np
import pytest
import torch

from cxr14.errors import InputError
from cxr14.evaluation import inference
from cxr14.findings import FINDINGS
from cxr14.models import zoo
from cxr14.runtime import devices
from cxr14.runtime.distributed import ProcessGroup
from cxr14.settings import STUDENT
from cxr14.training import losses, train_step
from cxr14.training.distillation import Distillation, Teacher
from cxr14.training.train_step import TrainStep
from tests.toy import SIDE, toy_network, toy_settings, toy_training

META = torch.device("meta")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def step_on_meta(model, loss, settings):
    """Take one step and return its loss."""
    step = TrainStep(model, loss, settings, ProcessGroup(META), steps_per_epoch=1)
    images = torch.zeros(settings.batch_size, SIDE, SIDE, dtype=torch.uint8, device=META)
    labels = torch.zeros(settings.batch_size, len(FINDINGS), device=META)
    return step(images, labels, batch_size=settings.batch_size, epoch=0, batch=0, step=0)


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}])
def test_step_uses_its_device_only(changes, tmp_path):
    settings = toy_settings(tmp_path, ema_decay=0, **changes)
    loss = step_on_meta(toy_network(), losses.binary_cross_entropy, settings)
    assert loss.device == META
    assert loss.shape == ()


def test_step_of_a_distillation_uses_its_device_only(tmp_path):
    settings = toy_settings(tmp_path, ema_decay=0)
    teacher = zoo.build(STUDENT, pretrained=False, image_size=settings.image_size)

    def compare(student, teacher, labels):
        return losses.bernoulli_loss(student, teacher, labels, temperature=2.0, soft_weight=0.1)

    loss = Distillation([Teacher(devices.place(teacher, META))], compare)
    assert step_on_meta(toy_network(), loss, settings).device == META


@pytest.mark.parametrize("name", zoo.NAMES)
def test_sync_batchnorm_leaves_the_function_of_a_network(name):
    """Its sums over processes need GPUs; its output for one radiograph in eval mode does not."""
    model = zoo.build(name, pretrained=False, image_size=64).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model(images)
        after = train_step._convert_sync_batchnorm(model, torch.device("cuda"))(images)
    assert torch.equal(before, after)


def test_sync_batchnorm_without_gpus_raises_input_error():
    with pytest.raises(InputError, match="SYNC_BATCHNORM"):
        train_step._convert_sync_batchnorm(toy_network(), torch.device("cpu"))


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine that seems to have two GPUs; the calls that would reach them are recorded."""
    calls = {"set_device": [], "get_rng_state": [], "set_rng_state": []}
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: calls.get("capability", (8, 0)))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80"])
    monkeypatch.setattr(torch.cuda, "set_device", calls["set_device"].append)

    def get_rng_state(device="cuda"):
        calls["get_rng_state"].append(torch.device(device))
        return torch.full((16,), torch.device(device).index or 0, dtype=torch.uint8)

    def set_rng_state(state, device="cuda"):
        calls["set_rng_state"].append((torch.device(device), state[0].item()))

    monkeypatch.setattr(torch.cuda, "get_rng_state", get_rng_state)
    monkeypatch.setattr(torch.cuda, "set_rng_state", set_rng_state)
    return calls


def test_second_gpu_becomes_the_current_device(two_gpus):
    second = torch.device("cuda:1")
    assert devices.choose("cuda:1") == second
    assert two_gpus["set_device"] == [second]
    with pytest.raises(InputError, match="2 CUDA devices"):
        devices.choose("cuda:2")


def test_gpu_that_is_too_old_raises_input_error_before_anything_runs_on_it(two_gpus):
    two_gpus["capability"] = (6, 0)
    with pytest.raises(InputError, match=r"compute capability 6\.0"):
        devices.choose("auto")
    assert two_gpus["set_device"] == []


def test_random_state_of_the_second_gpu_is_saved_and_restored(two_gpus):
    second = torch.device("cuda:1")
    state = train_step._random_state(second)
    assert two_gpus["get_rng_state"] == [second]
    train_step._set_random_state(state, second)
    assert two_gpus["set_rng_state"] == [(second, 1)]


def test_random_state_of_a_gpu_is_ignored_on_the_cpu(two_gpus):
    state = train_step._random_state(torch.device("cuda:1"))
    train_step._set_random_state(state, torch.device("cpu"))
    assert two_gpus["set_rng_state"] == []


@needs_gpu
def test_gpu_trains_like_a_cpu(tmp_path):
    logits, losses_of_last_epoch = {}, {}
    for name in ("cpu", "cuda"):
        group = ProcessGroup(devices.choose(name))
        settings = toy_settings(tmp_path / name, num_epochs=2)
        training = toy_training(settings, network=toy_network(dropout=0), group=group)
        losses_of_last_epoch[name] = training.run().history[-1]["train_loss"]
        model = training.train_step.evaluated_model
        logits[name] = inference.predict(model, training.val_batches, group, image_size=32)
    assert losses_of_last_epoch["cuda"] == pytest.approx(losses_of_last_epoch["cpu"], rel=0.02)
    assert np.abs(logits["cuda"] - logits["cpu"]).max() < 0.2
