"""Synthetic radiographs of the experiment: drawn once for each image size, packed, split by patient."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.distillation.regimes import LARGEST_TRAINING_LIST, TEST, VALIDATION, Regime
from cxr14.data.image_lists import write_list
from cxr14.data.nih_tables import read_table
from cxr14.settings import ROOT

COUNT = LARGEST_TRAINING_LIST + VALIDATION + TEST


@dataclass(frozen=True)
class Lists:
    """The lists of a regime; test_true holds what was drawn, test what a fallible reader reported."""

    images: Path
    train: Path
    val: Path
    test: Path
    test_true: Path


def prepare(regime: Regime, work: Path) -> Lists:
    """Draw and pack the radiographs of a regime, unless they are there, and write its lists.

    Args:
        regime: size of the images and length of the training list.
        work: folder for everything that can be made again.
    """
    folder = work / f"phantoms-{regime.radiographs}"
    source, packed = folder / "source", folder / "packed"
    if not (packed / "labels").is_dir():
        size = ("--size", regime.side)
        noise = ("--false-negatives", regime.label_noise, "--false-positives", regime.label_noise)
        drawn = ("--count", COUNT, *size, "--difficulty", regime.difficulty, *noise)
        _run("make-phantoms.py", *drawn, "--out", source)
        _run("prepare.py", "--source", source, "--out", packed, *size)
    noisy = read_table(source / "Data_Entry_2017_synthetic.csv")
    true = read_table(source / "true_labels.csv")
    names = sorted(noisy)  # two radiographs of each patient lie side by side
    train, val, test = np.split(np.array(names), [LARGEST_TRAINING_LIST, LARGEST_TRAINING_LIST + VALIDATION])
    lists = Lists(
        packed / "images",
        *(folder / f"{name}.txt" for name in (f"train-{regime.train_count}", "val", "test", "test-true")),
    )
    for path, members, labels in (
        (lists.train, train[: regime.train_count], noisy),
        (lists.val, val, noisy),
        (lists.test, test, noisy),
        (lists.test_true, test, true),
    ):
        if not path.is_file():
            write_list(path, list(members), np.array([labels[name] for name in members]))
    return lists


def _run(script: str, *flags: object) -> None:
    words = [sys.executable, ROOT / "ChestX-ray14" / script, *flags]
    subprocess.run([str(word) for word in words], check=True)
