"""What can be known of a GPU without one, and what can be known with one.

Torch's meta device computes shapes alone, but like a GPU it refuses a tensor of another device.
"""

import sys
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from cxr14.errors import InputError
from cxr14.evaluation import inference
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from cxr14.runtime import devices
from cxr14.runtime.distributed import ProcessGroup
from cxr14.script import as_plain, read_settings
from cxr14.settings import ROOT, STUDENT, DistillSettings
from cxr14.training import command, learner, losses
from cxr14.training.learner import Learner
from tests.toy import SIDE, toy_network, toy_settings, toy_training

META = torch.device("meta")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.fixture(autouse=True)
def no_autocast_on_meta(monkeypatch):
    autocast = devices.autocast
    monkeypatch.setattr(
        devices, "autocast", lambda device: nullcontext() if device.type == "meta" else autocast(device)
    )


def step_on_meta(model, loss, settings):
    """Take one step and return its loss."""
    one = Learner(model, loss, settings, ProcessGroup(META), steps_per_epoch=1)
    images = torch.zeros(settings.batch_size, SIDE, SIDE, dtype=torch.uint8, device=META)
    labels = torch.zeros(settings.batch_size, len(FINDINGS), device=META)
    return one.step(images, labels, settings.batch_size, epoch=0, batch=0, number=0)


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}])
def test_a_step_keeps_to_its_device(changes, tmp_path):
    loss = step_on_meta(
        toy_network(), losses.binary_cross_entropy, toy_settings(tmp_path, ema_decay=0, **changes)
    )
    assert loss.device == META
    assert loss.shape == ()


def test_a_teacher_looks_where_its_student_learns(tmp_path, monkeypatch):
    settings = toy_settings(tmp_path, ema_decay=0)
    path = tmp_path / "teacher.pth"
    about = checkpoint.About(network=STUDENT, image_size=settings.image_size)
    model = zoo.build(STUDENT, pretrained=False, image_size=settings.image_size)
    checkpoint.save(path, model.state_dict(), about)
    begun = []
    monkeypatch.setattr(command, "_run", lambda *words: begun.append(words[-1]))
    monkeypatch.setattr(sys, "argv", ["train-kd1-model.py"])
    constants = {name.upper(): value for name, value in as_plain(settings).items()}
    constants = {name: constants[name] for name in constants if name != "INIT_CHECKPOINT"}
    script = {
        "__file__": str(ROOT / "6" / "train.py"),
        **constants,
        "TEACHER": STUDENT,
        "TEACHER_CKPT_PATH": path,
        "DISTILL_LOSS": "bernoulli",
        "TEMPERATURE": 2.0,
        "PRETRAINED": False,
    }
    command.distill(read_settings(DistillSettings, script, []))
    student, loss = begun[0](META)
    assert isinstance(student, torch.nn.Module)
    assert step_on_meta(student, loss, settings).device == META


@pytest.mark.parametrize("name", zoo.NAMES)
def test_synchronised_batchnorm_leaves_a_network_its_function(name):
    """Its sums over processes need GPUs; what it does to one radiograph in eval does not."""
    model = zoo.build(name, pretrained=False, image_size=64).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model(images)
        after = learner._synchronised(model, torch.device("cuda"))(images)
    assert torch.equal(before, after)


def test_synchronised_batchnorm_without_gpus_is_a_sentence():
    with pytest.raises(InputError, match="SYNC_BATCHNORM"):
        learner._synchronised(toy_network(), torch.device("cpu"))


@needs_gpu
def test_a_gpu_learns_what_a_cpu_learns(tmp_path):
    answers, told = {}, {}
    for name in ("cpu", "cuda"):
        group = ProcessGroup(devices.choose(name))
        settings = toy_settings(tmp_path / name, num_epochs=2)
        one = toy_training(settings, network=toy_network(dropout=0), group=group)
        told[name] = one.run().history[-1]["train_loss"]
        answers[name] = inference.predict(one.learner.tested, one.val, group, image_size=32)
    assert told["cuda"] == pytest.approx(told["cpu"], rel=0.02)
    assert np.abs(answers["cuda"] - answers["cpu"]).max() < 0.2
