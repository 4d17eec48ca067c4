"""One run of the experiment: a training by its own script, scored once, as one JSON file."""

import csv
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import expit

from benchmarks.distillation import data
from benchmarks.distillation.regimes import BATCH_SIZE, LEARNING_RATES, SMALLEST_CROP, Regime
from cxr14.files import atomic_write
from cxr14.settings import ROOT, STUDENT

KD = "6-Distilling-to-EEEA-Net-C2"
WEIGHTS, TRAINED = "model.pth", "trained"
OUTPUT = "output.txt"
"""Name of the file of what a training prints."""

VALIDATION, NOISY, TRUE = "validation, noisy labels", "test, noisy labels", "test, true labels"
"""What a run is scored on."""
CURVE = "validation AUROC by epoch"


@dataclass(frozen=True)
class Run:
    """What is trained, on what, with which seed."""

    regime: Regime
    network: str = STUDENT
    """Folder of the network that is trained; a student where there is a teacher."""
    arm: str = "labels"
    """Name of the arm."""
    seed: int = 0
    teachers: tuple["Run", ...] = ()
    """The runs whose networks teach."""
    flags: dict[str, object] = field(default_factory=dict, hash=False)
    """Settings of the arm beyond those of the regime, by flag; None: a flag without a value."""
    control: str | None = None
    """What is done to the teacher's logits, for benchmarks/distillation/control.py."""

    @property
    def name(self) -> str:
        """Name of the run's files."""
        by = "+".join(f"{one.network[0]}-e{one.regime.epochs}" for one in self.teachers)
        arm = self.arm.replace(": ", "-").replace(", ", "-").replace(" ", "-")
        parts = [self.regime.name, self.network, f"by-{by}" if by else "", arm, f"s{self.seed}"]
        return "_".join(part for part in parts if part)

    @property
    def learning_rate(self) -> float:
        """Peak learning rate of the network that is trained."""
        return self.regime.learning_rate or LEARNING_RATES[self.network]


def folder_of(name: str, work: Path) -> Path:
    """Return the folder of what a run leaves: checkpoints, output and logits."""
    return work / "runs" / name


def train(run: Run, work: Path) -> None:
    """Train, or resume where an interruption left it; nothing where the checkpoint is finished."""
    lists, folder = data.prepare(run.regime, work), folder_of(run.name, work)
    if is_trained(run, work):
        return
    words = train_words(run, lists, work)
    if (folder / "model.last.pth").exists():
        words.append("--resume")
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (folder / OUTPUT).open("a") as output:
        subprocess.run([sys.executable, *words], check=True, stdout=output, stderr=output, cwd=ROOT)
    (folder / TRAINED).write_text(json.dumps({"seconds of the last part": time.monotonic() - began}))


def train_words(run: Run, lists: data.Lists, work: Path) -> list[str]:
    """Return the script that trains a run, and its flags."""
    flags = {
        "no-pretrained": None,
        "data-dir": lists.images,
        "train-image-list": lists.train,
        "val-image-list": lists.val,
        "ckpt-path": folder_of(run.name, work) / WEIGHTS,
        "image-size": run.regime.image_size,
        "num-epochs": run.regime.epochs,
        "batch-size": BATCH_SIZE,
        "learning-rate": run.learning_rate,
        "smallest-crop": SMALLEST_CROP,
        "seed": run.seed,
        **run.flags,
    }
    words: list[object] = [ROOT / run.network / "train-model.py"]
    weights = [folder_of(teacher.name, work) / WEIGHTS for teacher in run.teachers]
    if weights:
        flags |= {"teacher-cache": work / "teacher-logits", "student-ckpt-path": "None"}
        flags |= {"teacher-ckpt-path": weights[0]} if len(weights) == 1 else {}
        words = [ROOT / KD / f"train-kd{run.teachers[0].network[0]}-model.py"]
    if len(weights) > 1:
        words = [ROOT / KD / "train-kdall-model.py", "--teachers", *weights]
    if run.control:
        words = ["-m", "benchmarks.distillation.control", "--control", run.control]
    for name, value in flags.items():
        words += [f"--{name}"] if value is None else [f"--{name}", value]
    return list(map(str, words))


def is_trained(run: Run, work: Path) -> bool:
    """Return whether the checkpoint of a run is there and finished."""
    return (folder_of(run.name, work) / TRAINED).is_file()


def score(run: Run, work: Path, results: Path) -> Path:
    """Score a trained run on the test list, on noisy and on true labels; return the path of its JSON file."""
    path = results / f"{run.name}.json"
    if path.is_file():
        return path
    # Imported here so that planning and drawing the page need no torch.
    import torch

    from cxr14.data.geometry import read_side
    from cxr14.data.image_lists import read_list
    from cxr14.data.images import open_images
    from cxr14.data.loader import Batches
    from cxr14.evaluation import inference, metrics
    from cxr14.models import checkpoint
    from cxr14.runtime import devices
    from cxr14.runtime.distributed import ProcessGroup

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    lists, folder = data.prepare(run.regime, work), folder_of(run.name, work)
    model, trained = checkpoint.load(folder / WEIGHTS, run.network)
    group = ProcessGroup(devices.choose("auto"))
    size = run.regime.image_size
    images = open_images(lists.images)
    content: dict[str, object] = {
        "run": run.name,
        "regime": asdict(run.regime),
        "learning rate": run.learning_rate,
        "network": run.network,
        "arm": run.arm,
        "seed": run.seed,
        "teachers": [teacher.name for teacher in run.teachers],
        "flags": {name: str(value) for name, value in run.flags.items()},
        "best epoch": trained.about.epoch,
        CURVE: _history(folder / "model.log.csv"),
        "device": devices.describe(group.device),
        "versions": trained.about.versions,
        "weights": trained.weights_hash,
    }
    logits = {}
    for name, path_of_list in (("val", lists.val), ("test", lists.test)):
        batches = Batches(read_list(path_of_list), images, side=read_side(size), batch_size=256)
        model = devices.place(model, group.device)
        logits[name] = inference.predict(model, batches, group, image_size=size, note=f"scoring {run.name}")
    for name, key, path_of_list in (
        (VALIDATION, "val", lists.val),
        (NOISY, "test", lists.test),
        (TRUE, "test", lists.test_true),
    ):
        labels = read_list(path_of_list).labels
        by_finding = metrics.auroc(labels, logits[key])
        errors = metrics.expected_calibration_error(labels, expit(logits[key]))
        content[name] = {
            "mean AUROC": round(metrics.macro(by_finding)[0], 6),
            "mean calibration error": round(metrics.macro(errors)[0], 6),
            "AUROC": [None if np.isnan(value) else round(value, 6) for value in by_finding.tolist()],
        }
    np.savez_compressed(folder / "logits.npz", val=logits["val"], test=logits["test"])
    with atomic_write(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")
    return path


def read_results(results: Path) -> list[dict]:
    """Return the content of all JSON files of runs, in the order of their names."""
    return with_regimes([json.loads(path.read_text()) for path in sorted(results.glob("*_s[0-9].json"))])


def with_regimes(rows: list[dict]) -> list[dict]:
    """Return rows of JSON with a Regime in place of its fields."""
    return [row | {"regime": Regime(**row["regime"])} for row in rows]


def _history(path: Path) -> list[float]:
    with path.open(newline="") as file:
        return [round(float(row["val_auroc"]), 6) for row in csv.DictReader(file)]
