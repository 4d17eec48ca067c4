"""The toy training as a process of its own, to be killed: python -m tests.run_toy FOLDER."""

import sys
from pathlib import Path

import torch

from cxr14 import snapshot
from tests.toy import toy_settings, toy_training, weights_of


def main(folder: str) -> None:
    """Train in `folder`, or go on there, and leave finished.pth."""
    settings = toy_settings(Path(folder), save_minutes=0)
    training = toy_training(settings)
    if snapshot.path_of(settings.ckpt_path).exists():
        training.resume()
    print("ready", flush=True)
    training.run()
    torch.save(weights_of(training), Path(folder) / "finished.pth")


if __name__ == "__main__":
    main(sys.argv[1])
