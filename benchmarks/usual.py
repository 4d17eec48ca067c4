"""What most repositories of this kind do: PIL and torchvision, an image at a time, beside a plain loop."""

import itertools
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import tyro
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from cxr14.data import augment
from cxr14.data.geometry import read_side
from cxr14.findings import FINDINGS
from cxr14.models import zoo
from cxr14.training import losses

WORKERS = 4  # as in the study's scripts
READ_AHEAD = 2  # batches a worker; torch's default


def usual_pipeline(image_size: int, smallest_crop: float) -> Callable[[Path], Tensor]:
    """Return the way from a file to (3, image_size, image_size) float32: resize, crop, flip, normalise."""
    transform = transforms.Compose(
        [
            transforms.Resize(read_side(image_size)),
            transforms.RandomResizedCrop(image_size, scale=(smallest_crop, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(augment.MEAN, augment.STD),
        ]
    )
    return lambda path: transform(Image.open(path).convert("RGB"))


class UsualDataset(Dataset):
    """Files over and over, `count` in all, each through the usual pipeline."""

    def __init__(self, files: list[Path], count: int, pipeline: Callable[[Path], Tensor]) -> None:
        self.files, self.count, self.pipeline = files, count, pipeline

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.pipeline(self.files[index % len(self.files)]), torch.zeros(len(FINDINGS))


def usual_rate(
    files: Path, network: str, device: str, image_size: int, smallest_crop: float, batch_size: int, steps: int
) -> float:
    """Train as the study's loop does, in float32 and contiguous.

    Args:
        files: folder of PNG files, which are read over and over.
        network: folder of the network, one of `zoo.NAMES`.
        device: as torch names it.
        image_size, smallest_crop, batch_size: as in a train script.
        steps: how many are timed, after a first one.

    Returns:
        Radiographs a second.
    """
    place = torch.device(device)
    model = zoo.build(network, pretrained=False, image_size=image_size).to(place)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-6)
    # Workers read ahead: with nothing left to read, the last steps would have the processor to themselves.
    count = (steps + 1 + WORKERS * READ_AHEAD) * batch_size
    dataset = UsualDataset(sorted(files.glob("*.png")), count, usual_pipeline(image_size, smallest_crop))
    moments = []
    # On fewer than four cores torch advises against the four processes, but the study has them.
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    loader = DataLoader(dataset, batch_size, num_workers=WORKERS, prefetch_factor=READ_AHEAD)
    for images, labels in itertools.islice(loader, steps + 1):
        images, labels = images.to(place), labels.to(place)
        loss = losses.binary_cross_entropy(images, model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()
        moments.append(time.perf_counter())
    return steps * batch_size / (moments[-1] - moments[0])  # neither the workers' start nor their end


if __name__ == "__main__":
    print(tyro.cli(usual_rate))
