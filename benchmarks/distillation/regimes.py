"""The regimes: on which radiographs the arms are compared, and for how long a network is trained there."""

from dataclasses import dataclass, replace
from typing import Literal

from cxr14.data.geometry import read_side
from cxr14.settings import STUDENT

VALIDATION, TEST = 4_000, 20_000
LARGEST_TRAINING_LIST = 20_000

NOISE = 0.08
"""Label noise of phantoms of standard difficulty."""


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
    label_noise: float = NOISE
    """Share of the findings that are not labelled, and invented labels as a share of the prevalence."""
    drawn_for: int = 0
    """Image size that the radiographs are drawn for, larger where a teacher sees them sharper; 0: the own."""
    learning_rate: float | None = None
    """Peak learning rate of the network that is trained; None: its own in `LEARNING_RATES`."""

    @property
    def radiographs(self) -> str:
        """Name of the set of radiographs in file names."""
        return f"{self._difficulty}{self.side}{self._noise}"

    @property
    def name(self) -> str:
        """Name of the regime in file names."""
        drawn = f"-from{self.drawn_for}" if self.drawn_for else ""
        rate = "" if self.learning_rate is None else f"-rate{self.learning_rate:g}"
        size = f"n{self.train_count}-px{self.image_size}"
        return f"{self._difficulty}{size}-e{self.epochs}{rate}{self._noise}{drawn}"

    def times(self, length: int) -> "Regime":
        """Return the same regime with `length` times the epochs."""
        return replace(self, epochs=length * self.epochs)

    @property
    def at_any_rate(self) -> "Regime":
        """What is the same for runs that differ in the learning rate."""
        return replace(self, learning_rate=None)

    @property
    def data(self) -> "Regime":
        """What is the same for runs on the same list, of any length and rate."""
        return self.at_any_rate.times(0)

    @property
    def side(self) -> int:
        """Side of the packed radiographs in pixels."""
        return read_side(self.drawn_for or self.image_size)

    @property
    def _difficulty(self) -> str:
        return "" if self.difficulty == "standard" else f"{self.difficulty}-"

    @property
    def _noise(self) -> str:
        return "" if self.label_noise == NOISE else f"-noise{self.label_noise:g}"


# Peak learning rate of each network, trained from scratch with batches of 32, where a regime has no other.
LEARNING_RATES = {
    STUDENT: 3e-3,
    "2-OFA-595": 3e-3,
    "3-CheXNet": 1e-3,
    "4-Visformer-small": 5e-4,
    "5-AutoFormerV2-base": 5e-4,
}
BATCH_SIZE = 32
SMALLEST_CROP = 0.8
