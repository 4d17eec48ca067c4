"""Training uses the type that the GPU computes in; scoring is float32 without TF32."""

import signal

import pytest
import torch
from torch import nn

from cxr14.evaluation import inference
from cxr14.runtime import precision
from cxr14.runtime.distributed import ProcessGroup
from cxr14.training import losses, snapshot
from tests.toy import assert_same, toy_network, toy_settings, toy_training, weights_of

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("has_bfloat16", "capability", "expected"),
    [
        (True, (8, 0), torch.bfloat16),  # A100
        (False, (7, 5), torch.float16),  # T4
        (False, (7, 0), torch.float16),  # V100
        (False, (6, 0), torch.float32),  # P100
    ],
)
def test_training_dtype_by_gpu(has_bfloat16, capability, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bfloat16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert precision.training_dtype(GPU) == expected


def test_training_dtype_of_the_cpu_is_float32_without_scaler():
    assert precision.training_dtype(CPU) == torch.float32
    assert not precision.grad_scaler(CPU).is_enabled()


@pytest.fixture
def float16(monkeypatch):
    """Train in float16 on the CPU, as on a T4."""
    monkeypatch.setattr(precision, "training_dtype", lambda _: torch.float16)


def test_float16_training_learns_and_stays_finite(float16, tmp_path):
    training = toy_training(toy_settings(tmp_path))
    assert training.train_step.scaler.is_enabled()
    history = training.run().history
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert all(torch.isfinite(value).all() for value in weights_of(training).values())


def test_scaler_restores_its_scale_on_resume(float16, tmp_path):
    """The first scale is so large that steps overflow and are skipped until it has been halved."""

    def start(loss=losses.binary_cross_entropy):
        training = toy_training(settings, loss=loss)
        training.train_step.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**30)
        return training

    settings = toy_settings(tmp_path / "uninterrupted")
    uninterrupted = start()
    uninterrupted.run()

    steps = iter(range(100))

    def loss_with_signal(images, logits, labels):
        if next(steps) == 12:
            signal.raise_signal(signal.SIGTERM)
        return losses.binary_cross_entropy(images, logits, labels)

    settings = toy_settings(tmp_path / "interrupted")
    first = start(loss_with_signal)
    with pytest.raises(snapshot.Stopped):
        first.run()
    assert first.train_step.scaler.get_scale() < 2.0**30
    second = start()
    second.resume()
    assert second.train_step.scaler.get_scale() == first.train_step.scaler.get_scale()
    second.run()
    assert_same(weights_of(uninterrupted), weights_of(second))


def test_exact_float32_disables_tf32_and_restores_the_settings():
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    try:
        with precision.exact_float32():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision("highest")


def test_predictions_are_computed_in_exact_float32(tmp_path):
    modes = set()  # of the network and of copies of it

    class Recorder(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = toy_network()

        def forward(self, images):
            modes.add((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))
            return self.network(images)

    model, training = Recorder(), toy_training(toy_settings(tmp_path))
    precision.configure_training(deterministic=False)
    try:
        inference.predict(model, training.val_batches, ProcessGroup(CPU), image_size=32)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert modes == {("highest", False)}


@pytest.mark.parametrize("deterministic", [False, True])
def test_deterministic_setting_reaches_torch(deterministic, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        precision.configure_training(deterministic)
        assert torch.are_deterministic_algorithms_enabled() == deterministic
        assert torch.backends.cudnn.benchmark != deterministic
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_float32_matmul_precision("highest")
