"""How near the training loop comes to the bare network, and how far it leaves the usual loop behind.

    python -m benchmarks.training                       # about 15 minutes on 2 cores
    python -m benchmarks.training --networks 1-EEEA-Net-C2
    python -m benchmarks.training --batch-size 512 --rounds 5       # on a GPU

The contestants take turns in one process, and the median of the rounds counts:
  bare     forward, loss, backward and optimiser on one resident batch, as fast as the network allows;
  loop     the real loop over the packed store: crops, flips, bar, losses read; validation aside;
  usual    the study's loop: 1024 px PNG through PIL and torchvision with 4 workers, float32, contiguous;
and for the distillation the student's bare step, the teacher's forward, and the taught step.
The radiographs are synthetic; only time is measured. Writes benchmarks/results/training-DEVICE.json.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.common import keep_result, synchronise
from cxr14 import augment, devices, losses, profile, zoo
from cxr14.dataset import Batches
from cxr14.images import open_images
from cxr14.labels import FINDINGS
from cxr14.learner import Learner
from cxr14.lists import ImageList
from cxr14.loop import Data, Progress, Training
from cxr14.origins import find_origins
from cxr14.packing import pack
from cxr14.phantom import DIFFICULTIES, render
from cxr14.processes import Processes
from cxr14.settings import STUDENT, TrainSettings

TEACHER = "3-CheXNet"
FILES, FILE_SIDE, STORE_SIDE = 64, 1024, 256
USUAL_WORKERS = 4  # as in the study's scripts


@dataclass(kw_only=True)
class BenchmarkSettings:
    """What this benchmark can be told."""

    networks: tuple[str, ...] = zoo.NAMES
    """Folders of the networks to time; the usual loop and the distillation go with the student's."""
    device: str = "auto"
    """As in a train script."""
    image_size: int = 224
    """Side of the square that the networks see, in pixels."""
    batch_size: int = 32
    """Radiographs in one step."""
    rounds: int = 3
    """How often the contestants take turns."""
    seconds: float = 8.0
    """About how long each turn takes."""


class Bench:
    """The radiographs, the device, and what takes turns on them."""

    def __init__(self, settings: BenchmarkSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.processes = Processes(devices.choose(settings.device))
        self.device = self.processes.device
        self.files = draw_files(folder / "png")
        names = [file.name for file in self.files]
        pack(find_origins(folder / "png", STORE_SIDE), names, folder / "store", STORE_SIDE, workers=1)
        self.images = open_images(folder / "store")
        size = (settings.batch_size, settings.image_size, settings.image_size)
        gray = torch.randint(0, 256, size, dtype=torch.uint8, device=self.device)
        self.pictures = augment.normalise(gray).contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 2, (settings.batch_size, len(FINDINGS)), device=self.device).float()

    def learner(self, network: str, loss: losses.Loss = losses.binary_cross_entropy) -> Learner:
        """Return a network as a training would set it up."""
        settings = TrainSettings(
            data_dir=self.folder / "store",
            ckpt_path=self.folder / "bench.pth",
            train_image_list=self.folder,
            val_image_list=self.folder,
            batch_size=self.settings.batch_size,
            num_epochs=1000,
            learning_rate=1e-6,
            image_size=self.settings.image_size,
            save_minutes=1e9,
        )
        model = zoo.build(network, pretrained=False, image_size=settings.image_size)
        return Learner(model, loss, settings, self.processes, steps_per_epoch=1000)

    def bare_step(self, learner: Learner) -> None:
        """Take one step on the resident batch, with nothing around it."""
        learner.net.train()
        with devices.autocast(self.device):
            logits = learner.net(self.pictures)
        learner.loss(self.pictures, logits.float(), self.labels).backward()
        learner.optimiser.step()
        learner.optimiser.zero_grad(set_to_none=True)

    @torch.inference_mode()
    def forward(self, model: nn.Module) -> None:
        """Show the resident batch to a network in eval."""
        with devices.autocast(self.device):
            model(self.pictures)

    def rate(self, step: Callable[[], None], steps: int) -> float:
        """Return radiographs a second over `steps` calls."""
        synchronise(self.device)
        began = time.perf_counter()
        for _ in range(steps):
            step()
        synchronise(self.device)
        return steps * self.settings.batch_size / (time.perf_counter() - began)

    def steps_for(self, step: Callable[[], None]) -> int:
        """Return how many calls fill one turn, after a warm-up."""
        self.rate(step, 2)
        return max(2, round(self.settings.seconds * self.rate(step, 2) / self.settings.batch_size))

    def loop_rate(self, learner: Learner, steps: int) -> float:
        """Return radiographs a second of one epoch of the real loop, validation aside."""
        training = self.training(learner, steps)
        training.run()
        return training.progress.history[-1]["images_per_second"]

    def training(self, learner: Learner, steps: int) -> Training:
        """Return the real training over `steps` batches."""
        count = steps * self.settings.batch_size
        names = [self.files[number % FILES].name for number in range(count)]
        labels = np.random.default_rng(0).integers(0, 2, (count, len(FINDINGS)), dtype=np.uint8)
        train = ImageList(self.folder, names, labels)
        val = ImageList(self.folder, names[:2], labels[:2])
        shares = {"side": augment.read_side(self.settings.image_size), "batch_size": self.settings.batch_size}
        batches = [Batches(a, self.images, seed=0, drop_last=True, **shares) for a in (train, val)]
        learner.settings.num_epochs = 1
        training = Training(learner, Data(train, val, self.images), *batches, lambda *_: None, {})
        training.progress = Progress()
        return training

    def take_turns(self, contestants: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
        """Return each contestant's rate in each round."""
        rates: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(self.settings.rounds):
            for name, measure in contestants.items():
                rates[name].append(measure())
        return rates


class UsualDataset(Dataset):
    """The usual pipeline, an image at a time."""

    def __init__(self, files: list[Path], count: int, image_size: int) -> None:
        self.files, self.count = files, count
        self.transform = transforms.Compose(
            [
                transforms.Resize(augment.read_side(image_size)),
                transforms.RandomResizedCrop(image_size),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(augment.MEAN, augment.STD),
            ]
        )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = Image.open(self.files[index % len(self.files)]).convert("RGB")
        return self.transform(image), torch.zeros(len(FINDINGS))


def usual_loop(bench: Bench, steps: int) -> float:
    """Return radiographs a second of the study's loop for the student."""
    settings = bench.settings
    model = zoo.build(STUDENT, pretrained=False, image_size=settings.image_size).to(bench.device)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-6)
    dataset = UsualDataset(bench.files, (steps + 1) * settings.batch_size, settings.image_size)
    batches = iter(DataLoader(dataset, settings.batch_size, num_workers=USUAL_WORKERS))

    def step() -> None:
        images, labels = (part.to(bench.device) for part in next(batches))
        loss = losses.binary_cross_entropy(images, model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()

    step()  # the workers' start is not the loop's
    return bench.rate(step, steps)


def draw_files(folder: Path) -> list[Path]:
    """Draw synthetic radiographs of NIH's size; enlarged, for only their decoding matters."""
    folder.mkdir(parents=True)
    files = []
    for index in range(FILES):
        film = Image.fromarray(render(index, 0, DIFFICULTIES["standard"], STORE_SIDE).image)
        files.append(folder / f"synthetic_{index:08d}_000.png")
        film.resize((FILE_SIDE, FILE_SIDE), Image.Resampling.BICUBIC).save(files[-1])
    return files


def network_rows(bench: Bench) -> Iterator[dict[str, object]]:
    """Time bare step against loop, network by network."""
    for network in bench.settings.networks:
        learner = bench.learner(network)
        bare = partial(bench.bare_step, learner)
        steps = bench.steps_for(bare)
        contestants = {
            "bare": lambda bare=bare, steps=steps: bench.rate(bare, steps),
            "loop": lambda learner=learner, steps=steps: bench.loop_rate(learner, steps),
        }
        if network == STUDENT:
            contestants["usual"] = lambda steps=steps: usual_loop(bench, max(2, steps // 2))
        rates = bench.take_turns(contestants)
        row = {"what": network, "steps": steps, **summary(rates), "loop / bare": ratio(rates, "loop", "bare")}
        if network == STUDENT:
            row["loop / usual"] = ratio(rates, "loop", "usual")
        if bench.device.type == "cuda":
            macs = profile.macs(zoo.build(network, pretrained=False), bench.settings.image_size)
            # Forward once, backward twice, two operations a MAC.
            row["achieved TFLOP/s"] = 6 * macs * statistics.median(rates["bare"]) / 1e12
        yield row


def distillation_row(bench: Bench) -> dict[str, object]:
    """Time the taught step against the student's bare step and the teacher's forward together."""
    student = bench.learner(STUDENT)
    teacher = devices.place(
        zoo.build(TEACHER, pretrained=False, image_size=bench.settings.image_size), bench.device
    )
    compare = partial(losses.bernoulli_loss, temperature=2.0, soft_weight=1 / len(FINDINGS))
    taught = bench.learner(STUDENT, losses.Distillation([teacher], compare))
    steps = bench.steps_for(partial(bench.bare_step, taught))
    contestants = {
        "student": lambda: bench.rate(partial(bench.bare_step, student), steps),
        "teacher": lambda: bench.rate(partial(bench.forward, teacher), steps),
        "taught": lambda: bench.loop_rate(taught, steps),
    }
    rates = bench.take_turns(contestants)
    times = [
        (1 / whole) / (1 / alone + 1 / asked)
        for alone, asked, whole in zip(*(rates[name] for name in contestants), strict=True)
    ]
    return {
        "what": "kd3",
        "steps": steps,
        **summary(rates),
        "time of taught / parts": statistics.median(times),
    }


def matrix_rate(device: torch.device) -> float:
    """Return the TFLOP/s of a bfloat16 matrix product, the most that the card does."""
    side, repeats = 8192, 50
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    a @ b
    synchronise(device)
    began = time.perf_counter()
    for _ in range(repeats):
        a @ b
    synchronise(device)
    return repeats * 2 * side**3 / (time.perf_counter() - began) / 1e12


def summary(rates: dict[str, list[float]]) -> dict[str, float]:
    """Return each contestant's median rate."""
    return {f"{name}, images/s": statistics.median(values) for name, values in rates.items()}


def ratio(rates: dict[str, list[float]], ours: str, theirs: str) -> float:
    """Return the median over rounds of one rate over another of the same round."""
    return statistics.median(a / b for a, b in zip(rates[ours], rates[theirs], strict=True))


def main() -> None:
    """Measure, print and keep."""
    settings = tyro.cli(BenchmarkSettings)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(settings, Path(folder))
        rows = list(network_rows(bench))
        if STUDENT in settings.networks:
            rows.append(distillation_row(bench))
        more = {"matrix TFLOP/s": matrix_rate(bench.device)} if bench.device.type == "cuda" else {}
        keep_result("training", bench.device, {"settings": vars(settings) | more, "rows": rows})


if __name__ == "__main__":
    main()
