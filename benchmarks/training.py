"""Speed of the training loop, against the bare network and against the study's loop.

    python -m benchmarks.training                               # about 15 minutes on 2 cores
    python -m benchmarks.training --networks 1-EEEA-Net-C2
    python -m benchmarks.training --batch-size 512              # on a GPU

What is compared:
  bare      forward, loss, backward and optimiser on one resident batch, as fast as the network allows;
  loop      the real loop over the packed store: crops, flips, bar, losses read; validation aside;
  usual     the study's loop: 1024 px PNG through PIL and torchvision with 4 workers, float32, contiguous;
  compiled  the bare step of a network compiled by torch.compile;
and for the distillation the student's bare step, the teacher's forward, and the loop with both.

A shared machine is now faster, now slower. So the others take their steps between the loop's own, and a ratio
is the median over neighbours in time; only `usual`, whose workers read ahead, takes turns with the loop.
The radiographs are synthetic; only time is measured. Writes benchmarks/results/training-DEVICE.json.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import nn

from benchmarks.common import Settings, keep_result
from benchmarks.folders import draw_radiographs
from benchmarks.turns import Between, timed
from cxr14.data import augment
from cxr14.data.geometry import read_side
from cxr14.data.image_lists import ImageList
from cxr14.data.images import open_images
from cxr14.data.loader import Batches
from cxr14.data.prepare.packing import pack
from cxr14.data.prepare.sources import find_sources
from cxr14.data.provenance import Provenance
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, profile, zoo
from cxr14.runtime import devices, precision
from cxr14.runtime.distributed import ProcessGroup
from cxr14.script import PositiveInt
from cxr14.settings import ROOT, STUDENT, TrainSettings
from cxr14.training import losses
from cxr14.training.data import Data
from cxr14.training.distillation import Distillation, Teacher
from cxr14.training.loop import TrainingLoop
from cxr14.training.train_step import TrainStep

TEACHER = "3-CheXNet"
FILES, FILE_SIDE, STORE_SIDE = 64, 1024, 256


@dataclass(kw_only=True)
class TrainingSettings(Settings):
    """Settings of this benchmark."""

    networks: tuple[str, ...] = zoo.NAMES
    """Folders of the networks to time; all that is not bare step or loop goes with the student's."""
    device: str = "auto"
    """As in a train script."""
    image_size: int = 224
    """Side of the square that the networks see, in pixels."""
    batch_size: int = 16
    """Radiographs in one step."""
    files: int = FILES
    """Synthetic radiographs that are read over and over."""
    seconds: float = 60.0
    """About how long each comparison takes."""
    turns: PositiveInt = 3
    """Turns of the loop and of the study's."""
    compiled: bool = True
    """Compile the student's network too; on a CPU that takes a minute and a C++ compiler."""


class Bench:
    """The radiographs, the device, and what works on them."""

    def __init__(self, settings: TrainingSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.processes = ProcessGroup(devices.choose(settings.device))
        self.device = self.processes.device
        precision.configure_training(deterministic=False)
        self.files = draw_radiographs(folder / "png", settings.files, FILE_SIDE)
        names = [file.name for file in self.files]
        pack(find_sources(folder / "png", STORE_SIDE), names, folder / "store", STORE_SIDE, workers=1)
        self.images = open_images(folder / "store")
        self.load_batch()
        # A step on a GPU is short, and waiting for its end after each would cost the loop its head start.
        self.group, self.fewest_groups = (20, 5) if self.device.type == "cuda" else (1, 8)

    def load_batch(self) -> None:
        """Put a batch of the settings' size on the device."""
        settings = self.settings
        size = (settings.batch_size, settings.image_size, settings.image_size)
        gray = torch.randint(0, 256, size, dtype=torch.uint8, device=self.device)
        self.pictures = augment.normalise(gray).contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 2, (settings.batch_size, len(FINDINGS)), device=self.device).float()

    def train_step(
        self, network: str, loss: losses.Loss = losses.binary_cross_entropy, compiled: bool = False
    ) -> TrainStep:
        """Return a network as a training would set it up."""
        settings = TrainSettings(
            data_dir=self.folder / "store",
            ckpt_path=self.folder / "bench.pth",
            train_image_list=self.folder,
            val_image_list=self.folder,
            batch_size=self.settings.batch_size,
            num_epochs=1,
            learning_rate=1e-6,
            image_size=self.settings.image_size,
            save_minutes=1e9,
            compile=compiled,
        )
        model = zoo.build(network, pretrained=False, image_size=settings.image_size)
        return TrainStep(model, loss, settings, self.processes, steps_per_epoch=1000)

    def bare_step(self, train_step: TrainStep) -> None:
        """Take one step on the resident batch, with nothing around it."""
        train_step.wrapped_model.train()
        with precision.autocast(self.device):
            logits = train_step.wrapped_model(self.pictures)
        train_step.loss(self.pictures, logits.float(), self.labels).backward()
        train_step.optimizer.step()
        train_step.optimizer.zero_grad(set_to_none=True)

    @torch.inference_mode()
    def forward(self, model: nn.Module) -> None:
        """Show the resident batch to a network in eval."""
        with precision.autocast(self.device):
            model(self.pictures)

    def groups_in(self, seconds: float, *steps: Callable[[], None]) -> int:
        """Return how many groups of these steps, one after the other, fill the time; not less than a few."""
        for step in steps:
            timed(step, 2, self.device)
        taken = sum(timed(step, self.group, self.device) for step in steps)
        return max(self.fewest_groups, round(seconds / taken))

    def beside(
        self, train_step: TrainStep, others: dict[str, Callable[[], None]], groups: int
    ) -> dict[str, np.ndarray]:
        """Run the real loop with the others' steps between its own; return the rates by name."""
        count = groups * self.group * self.settings.batch_size
        names = [self.files[number % len(self.files)].name for number in range(count)]
        labels = np.random.default_rng(0).integers(0, 2, (count, len(FINDINGS)), dtype=np.uint8)
        train = ImageList(self.folder, names, labels)
        val = ImageList(self.folder, names[:2], labels[:2])
        shares = {"side": read_side(self.settings.image_size), "batch_size": self.settings.batch_size}
        batches = Between(Batches(train, self.images, seed=0, **shares), others, self.group, self.device)
        validation = Batches(val, self.images, **shares)
        data = Data(train, val, self.images)
        about = checkpoint.About(network=STUDENT, image_size=self.settings.image_size)
        TrainingLoop(train_step, data, batches, validation, {}, about, Provenance()).run()
        return batches.rates(self.settings.batch_size)


def network_row(bench: Bench, network: str) -> dict[str, object]:
    """Time the bare step between those of the loop."""
    train_step = bench.train_step(network)
    bare = partial(bench.bare_step, train_step)
    groups = bench.groups_in(bench.settings.seconds, bare, bare)
    rates = bench.beside(train_step, {"bare": bare}, groups)
    row = {"what": network, "groups": groups, **medians(rates)}
    row["loop / bare"] = ratio(rates["loop"], rates["bare"])
    if bench.device.type == "cuda":
        macs = profile.macs(zoo.build(network, pretrained=False), bench.settings.image_size)
        # Forward once, backward twice, two operations a MAC.
        row["achieved TFLOP/s"] = 6 * macs * row["bare, images/s"] / 1e12
    return row


def usual_row(bench: Bench) -> dict[str, object]:
    """Let the loop and the usual one take turns."""
    settings = bench.settings
    train_step = bench.train_step(STUDENT)
    groups = bench.groups_in(settings.seconds / settings.turns / 3, partial(bench.bare_step, train_step))
    recorded = {
        "files": bench.folder / "png",
        "network": STUDENT,
        "device": bench.device,
        "image-size": settings.image_size,
        "smallest-crop": train_step.settings.smallest_crop,
        "batch-size": settings.batch_size,
        # On a GPU the loop's steps are tens of times as many in that time.
        "steps": 3 * bench.group if bench.device.type == "cuda" else groups,
    }
    flags = [str(word) for name, value in recorded.items() for word in (f"--{name}", value)]

    def usual_rate() -> float:
        # In a process of its own: none of what this one has set up for itself is the study's.
        command = [sys.executable, "-m", "benchmarks.usual", *flags]
        return float(subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout)

    rates = {"loop": [], "usual": []}
    for _ in range(settings.turns):
        rates["loop"].append(np.median(bench.beside(train_step, {}, groups)["loop"]))
        rates["usual"].append(usual_rate())
    row = {"what": f"{STUDENT} against the study's loop", "turns": settings.turns, **medians(rates)}
    return row | {"loop / usual": ratio(*rates.values())}


def compiled_row(bench: Bench) -> dict[str, object]:
    """Let the bare step of a compiled network and that of the same as it is take turns."""
    steps = {
        name: partial(bench.bare_step, bench.train_step(STUDENT, compiled=name == "compiled"))
        for name in ("bare", "compiled")
    }
    started = timed(steps["compiled"], 1, bench.device)
    groups = bench.groups_in(bench.settings.seconds, *steps.values())
    rates = {name: [] for name in steps}
    for _ in range(groups):
        for name, step in steps.items():
            taken = timed(step, bench.group, bench.device)
            rates[name].append(bench.group * bench.settings.batch_size / taken)
    row = {"what": f"{STUDENT} compiled", "groups": groups, **medians(rates)}
    return row | {"compiled / bare": ratio(rates["compiled"], rates["bare"]), "first step, s": started}


def distillation_row(bench: Bench) -> dict[str, object]:
    """Time the student's bare step and the teacher's forward between the loop's steps, which do both."""
    model = zoo.build(TEACHER, pretrained=False, image_size=bench.settings.image_size)
    teacher = devices.place(model, bench.device)
    compare = partial(losses.bernoulli_loss, temperature=2.0, soft_weight=1 / len(FINDINGS))
    taught = bench.train_step(STUDENT, Distillation([Teacher(teacher)], compare))
    others = {
        "student": partial(bench.bare_step, bench.train_step(STUDENT)),
        "teacher": partial(bench.forward, teacher),
    }
    groups = bench.groups_in(bench.settings.seconds / 2, *others.values())
    rates = bench.beside(taught, others, groups)
    parts = 1 / (1 / rates["student"] + 1 / rates["teacher"])
    return {
        "what": "kd3",
        "groups": groups,
        **medians(rates),
        "time of loop / parts": ratio(parts, rates["loop"]),
    }


def matrix_rate(device: torch.device) -> float:
    """Return the TFLOP/s of a bfloat16 matrix product, the most that the card does."""
    side, repeats = 8192, 50
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    timed(lambda: a @ b, 1, device)
    return repeats * 2 * side**3 / timed(lambda: a @ b, repeats, device) / 1e12


def medians(rates: dict[str, np.ndarray] | dict[str, list[float]]) -> dict[str, float]:
    """Return the median rate of each, by name."""
    return {f"{name}, images/s": float(statistics.median(values)) for name, values in rates.items()}


def ratio(ours: np.ndarray | list[float], theirs: np.ndarray | list[float]) -> float:
    """Return the median over neighbours in time of one rate over the other."""
    return float(np.median(np.array(ours) / np.array(theirs)))


def main(settings: TrainingSettings) -> None:
    """Measure, print and keep."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(settings, Path(folder))
        rows = [network_row(bench, network) for network in settings.networks]
        if STUDENT in settings.networks:
            rows += [usual_row(bench), distillation_row(bench)]
            rows += [compiled_row(bench)] if settings.compiled else []
        recorded = {name: value for name, value in vars(settings).items() if name != "keep_in"}
        if bench.device.type == "cuda":
            recorded["matrix TFLOP/s"] = matrix_rate(bench.device)
        keep_result(settings, "training", bench.device, {"settings": recorded, "rows": rows})


if __name__ == "__main__":
    main(tyro.cli(TrainingSettings, description=__doc__))
