"""A distillation whose teacher's logits are changed: the controls of the experiment.

    python -m benchmarks.distillation.control --control permuted …      # flags as of train-kd3-model.py

permuted: each radiograph is taught with the logits of the next one in its batch, so a student must lose.
doubled: the teacher's logits times two, which keeps its AUROC and spoils its calibration.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cxr14 import script
from cxr14.settings import DistillSettings
from cxr14.training.command import distill
from cxr14.training.distillation import comparison


@dataclass(kw_only=True)
class ControlSettings(DistillSettings):
    """A distillation with changed logits of the teacher."""

    teacher: str = "3-CheXNet"
    """Folder of the teacher's network."""
    control: Literal["permuted", "doubled"]
    """What is done to the teacher's logits."""


CONTROL = "permuted"
DATA_DIR = "../../ChestX-ray14/images"
TRAIN_IMAGE_LIST = "../../ChestX-ray14/labels/train_list.txt"
VAL_IMAGE_LIST = "../../ChestX-ray14/labels/val_list.txt"
TEACHER_CKPT_PATH = "../../3-CheXNet/model3.pth"
CKPT_PATH = "../work/control.pth"
BATCH_SIZE = 32
NUM_EPOCHS = 10
LEARNING_RATE = 1e-3
DISTILL_LOSS = "matching"
TEMPERATURE = 1.0


def main(settings: ControlSettings) -> None:
    """Distil with the teacher's logits permuted in the batch, or doubled."""
    base = comparison(settings)

    def compare(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        changed = teacher.roll(1, dims=0) if settings.control == "permuted" else 2 * teacher
        return base(student, changed, labels)

    distill(settings, compare)


if __name__ == "__main__":
    constants = {name: value for name, value in globals().items() if name != "ControlSettings"}
    with script.run(ControlSettings, constants) as settings:
        main(settings)
