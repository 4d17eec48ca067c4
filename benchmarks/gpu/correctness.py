"""Parts that compare the device's results with those of the CPU in float32."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor

from benchmarks.gpu.place import Place
from cxr14.data import augment
from cxr14.evaluation import inference
from cxr14.findings import FINDINGS
from cxr14.models import zoo
from cxr14.runtime import precision
from cxr14.runtime.distributed import ProcessGroup
from cxr14.settings import ROOT, STUDENT, TrainSettings
from cxr14.training import losses
from cxr14.training.distillation import Distillation, Teacher
from cxr14.training.teacher_cache import TeacherCache
from cxr14.training.train_step import TrainStep
from cxr14.training.views import Views

TOLERANCE = 1e-4
"""Largest difference of a logit in float32, as a share of the standard deviation of all logits: the device
sums in another order."""

TIMES_THE_CPU = 2.0
"""Largest difference in a short format, as a multiple of the CPU's in the same format. How large that is
depends on the network: BatchNorm among random weights enlarges what rounding changes."""

BATCH = 8
_COMPARE = partial(losses.bernoulli_loss, temperature=2.0, soft_weight=1 / len(FINDINGS))


def logits(place: Place) -> dict[str, object]:
    """Compare each network's logits with the CPU's in float32: in float32 and in both short formats."""
    images = augment.normalise(augment.centre_crop(place.radiographs(BATCH), place.image_size))
    formats = (torch.bfloat16, torch.float16) if place.is_gpu else (torch.bfloat16,)
    rows = []
    for name in place.networks:
        row = {"what": name}
        with torch.inference_mode():
            reference, model, moved = place.network(name), place.placed(name), images.to(place.device)
            expected = reference(images)
            with precision.exact_float32():
                row["float32"] = _distance(expected, model(moved))
            for dtype in formats:
                for label, network, shown in (("", model, moved), (", CPU", reference, images)):
                    with torch.autocast(shown.device.type, dtype):
                        row[f"{dtype}{label}".removeprefix("torch.")] = _distance(expected, network(shown))
        rows.append(row)
    passed = all(
        row["float32"] <= TOLERANCE
        and all(row[kind] <= TIMES_THE_CPU * row[f"{kind}, CPU"] for kind in row if f"{kind}, CPU" in row)
        for row in rows
    )
    return {"bound": TOLERANCE, "times the CPU": TIMES_THE_CPU, "rows": rows, "passed": passed}


def crops(place: Place) -> dict[str, object]:
    """Compare crops, mirrored and resized: in gray levels of 0 to 255."""
    images = place.radiographs(BATCH)
    drawn = augment.draw_crops(BATCH, images.shape[-1], 0.5, torch.Generator().manual_seed(1))
    expected = augment.cut(images, drawn, place.image_size).int()
    found = augment.cut(images.to(place.device), drawn, place.image_size).cpu().int()
    largest = (expected - found).abs().max().item()
    return {"largest difference, gray levels": largest, "passed": largest <= 1}


def resume(place: Place) -> dict[str, object]:
    """Compare a deterministic training with one whose state went through a file in the middle, bit by bit."""
    precision.configure_training(deterministic=True)
    try:
        whole = _trained(place, 6, interrupted=False)
        again = _trained(place, 6, interrupted=True)
    finally:
        torch.use_deterministic_algorithms(False)
        precision.configure_training(deterministic=False)
    differing = [name for name, value in whole.items() if not torch.equal(value, again[name])]
    return {"tensors that differ": len(differing), "of": len(whole), "passed": not differing}


def distillation(place: Place) -> dict[str, object]:
    """Compare the loss of a student with one and with several teachers."""
    images = augment.normalise(augment.centre_crop(place.radiographs(BATCH), place.image_size))
    labels = torch.randint(0, 2, (BATCH, len(FINDINGS)), generator=torch.Generator().manual_seed(2)).float()
    rows = []
    for names in (place.networks[-1:], place.networks):
        values = []
        for build, device in ((place.network, torch.device("cpu")), (place.placed, place.device)):
            loss = Distillation([Teacher(build(name)) for name in names], _COMPARE)
            moved = images.to(device)
            with torch.no_grad():
                student = build(STUDENT)(moved).float()
                values.append(loss(Views(moved, 0, slice(0, BATCH)), student, labels.to(device)).item())
        rows.append({"teachers": len(names), "CPU": values[0], "device": values[1]})
    passed = all(abs(row["CPU"] - row["device"]) <= 0.02 * abs(row["CPU"]) for row in rows)
    return {"rows": rows, "passed": passed}


def teacher_cache(place: Place) -> dict[str, object]:
    """Compare a teacher's logits with those that the cache has kept."""
    images = augment.normalise(augment.centre_crop(place.radiographs(BATCH), place.image_size))
    views = Views(images.to(place.device), 0, slice(0, BATCH))
    model = place.placed(place.networks[-1])
    key = {"teacher": place.networks[-1], "device": str(place.device)}
    found = []
    for _ in range(2):
        cache = TeacherCache(place.folder / "cache", key, BATCH, len(FINDINGS))
        found.append(Teacher(model, cache).logits(views))
    return {
        "on the device": found[1].device == views.images.device,
        "passed": torch.equal(found[0].cpu(), found[1].cpu()),
    }


def ten_crops(place: Place) -> dict[str, object]:
    """Compare ten-crop probabilities, as a test scores them."""
    images = place.radiographs(BATCH)
    values = []
    for model, device in (
        (place.network(STUDENT), torch.device("cpu")),
        (place.placed(STUDENT), place.device),
    ):
        index = torch.arange(BATCH)
        batch = SimpleNamespace(to=lambda target, index=index: (images.to(target), None, index))
        batches = _OneBatch(batch)
        found = inference.predict(model, batches, ProcessGroup(device), image_size=place.image_size, crops=10)
        values.append(torch.from_numpy(found).sigmoid())
    largest = (values[0] - values[1]).abs().max().item()
    return {"largest difference of a probability": largest, "passed": largest <= 1e-4}


def several_gpus(place: Place) -> dict[str, object]:
    """Train with two GPUs, NCCL and synchronised BatchNorm, on synthetic radiographs."""
    count = torch.cuda.device_count() if place.is_gpu else 0
    if count < 2:
        return {"waits for": f"a second GPU; there {'is' if count == 1 else 'are'} {count}"}
    folder = place.folder / "several"
    phantoms = ["ChestX-ray14/make-phantoms.py", "--count", "256", "--out", folder / "phantoms"]
    prepare = ["ChestX-ray14/prepare.py", "--source", folder / "phantoms", "--out", folder, "--size", "256"]
    for words in (phantoms, prepare):
        subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, check=True)
    flags = f"--batch-size 32 --num-epochs 1 --no-pretrained --sync-batchnorm --ckpt-path {folder}/two.pth"
    flags += f" --data-dir {folder}/images --train-image-list {folder}/labels/train_list.txt"
    flags += f" --val-image-list {folder}/labels/val_list.txt"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    ended = subprocess.run(
        [sys.executable, *launch, f"{STUDENT}/train-model.py", *flags.split()],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
    )
    return {"output": ended.stdout[-500:], "passed": ended.returncode == 0}


PARTS: dict[str, Callable[[Place], dict[str, object]]] = {
    "logits": logits,
    "crops": crops,
    "resume": resume,
    "distillation": distillation,
    "teacher cache": teacher_cache,
    "ten crops": ten_crops,
    "several GPUs": several_gpus,
}


class _OneBatch:
    """A list of one batch, as `inference.predict` reads it."""

    def __init__(self, batch: object) -> None:
        self._batch = batch

    def __len__(self) -> int:
        return 1

    def epoch(self, _epoch: int) -> list[object]:
        return [self._batch]


def _distance(expected: Tensor, found: Tensor) -> float:
    return ((found.float().cpu() - expected).abs().max() / expected.std()).item()


def _trained(place: Place, steps: int, interrupted: bool) -> dict[str, Tensor]:
    """Train a few steps and return the weights; interrupted: through a file, into a new network."""
    settings = TrainSettings(
        data_dir=place.folder,
        ckpt_path=place.folder / "resume.pth",
        train_image_list=place.folder,
        val_image_list=place.folder,
        batch_size=BATCH,
        num_epochs=1,
        learning_rate=1e-3,
        image_size=place.image_size,
        ema_decay=0.9,
    )
    group = ProcessGroup(place.device)

    def begin() -> TrainStep:
        torch.manual_seed(3)
        model = zoo.build(STUDENT, pretrained=False, image_size=place.image_size)
        return TrainStep(model, losses.binary_cross_entropy, settings, group, steps_per_epoch=steps)

    images = place.radiographs(BATCH).to(place.device)
    labels = (torch.arange(BATCH * len(FINDINGS)) % 3 == 0).view(BATCH, -1).float().to(place.device)
    train_step, path = begin(), Path(place.folder / "resume.state")
    for step in range(steps):
        if interrupted and step == steps // 2:
            torch.save(train_step.state_dict(), path)
            train_step = begin()
            torch.manual_seed(12345)
            train_step.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), step)
        train_step(images, labels, batch_size=BATCH, epoch=0, batch=step, step=step)
    return {name: value.cpu() for name, value in train_step.model.state_dict().items()}
