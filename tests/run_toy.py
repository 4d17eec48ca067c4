"""The toy training in a process of its own, which a test kills: python -m tests.run_toy FOLDER."""

import sys
import time
from pathlib import Path

import torch

from cxr14.models import checkpoint
from cxr14.training import losses
from tests.toy import toy_settings, toy_training, weights_of

STEP_SECONDS = 0.15


def slow_loss(images, logits, labels):
    """Return the usual loss after a delay, so that a test can kill the process within a step."""
    time.sleep(STEP_SECONDS)
    return losses.binary_cross_entropy(images, logits, labels)


def main(folder: str) -> None:
    """Train in `folder`, or resume there, and write finished.pth."""
    settings = toy_settings(Path(folder), save_minutes=0)
    training = toy_training(settings, loss=slow_loss)
    if checkpoint.snapshot_path(settings.ckpt_path).exists():
        training.resume()
    print("ready", flush=True)
    training.run()
    torch.save(weights_of(training), Path(folder) / "finished.pth")


if __name__ == "__main__":
    main(sys.argv[1])
