"""The regimes: on which radiographs the arms are compared, and for how long a network is trained there."""

from dataclasses import dataclass
from typing import Literal

VALIDATION, TEST = 4_000, 20_000
LARGEST_TRAINING_LIST = 20_000


@dataclass(frozen=True)
class Regime:
    """Data and training length, the same for all arms that are compared."""

    train_count: int = 5_000
    """Radiographs in the training list; shorter lists are the beginning of longer ones."""
    image_size: int = 64
    """Side of the input in pixels; radiographs are drawn at 8/7 of it, as 256 is to 224."""
    epochs: int = 16
    """Passes over the training list."""
    difficulty: Literal["standard", "easy"] = "standard"
    """Difficulty of the phantoms' signs, as make-phantoms.py knows it."""
    label_noise: float = 0.08
    """Share of the findings that are not labelled, and invented labels as a share of the prevalence."""

    @property
    def radiographs(self) -> str:
        """Name of the set of radiographs in file names."""
        noise = "" if self.label_noise == 0.08 else f"-noise{self.label_noise:g}"
        return f"{'' if self.difficulty == 'standard' else f'{self.difficulty}-'}{self.side}{noise}"

    @property
    def name(self) -> str:
        """Name of the regime in file names."""
        difficulty = "" if self.difficulty == "standard" else f"{self.difficulty}-"
        noise = "" if self.label_noise == 0.08 else f"-noise{self.label_noise:g}"
        return f"{difficulty}n{self.train_count}-px{self.image_size}-e{self.epochs}{noise}"

    @property
    def side(self) -> int:
        """Side of the packed radiographs in pixels."""
        return round(self.image_size * 256 / 224)


# Learning rate of each network trained from scratch with batches of 32.
LEARNING_RATES = {
    "1-EEEA-Net-C2": 3e-3,
    "2-OFA-595": 3e-3,
    "3-CheXNet": 1e-3,
    "4-Visformer-small": 5e-4,
    "5-AutoFormerV2-base": 5e-4,
}
BATCH_SIZE = 32
SMALLEST_CROP = 0.8
