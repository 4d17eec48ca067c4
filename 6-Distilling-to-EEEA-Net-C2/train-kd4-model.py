"""Distil Visformer-small into EEEA-Net-C2 and keep the epoch with the best validation AUROC.

    python train-kd4-model.py                        # with the constants below
    python train-kd4-model.py --distill-loss study   # override any of them; --help lists all

The teacher comes from 4-Visformer-small/train-model.py.
Leaves modeld4.pth (the best epoch), modeld4.log.csv (a row an epoch) and modeld4.last.pth (for --resume).
On the real radiographs the study reports a mean test AUROC of 0.823 for this student.
"""

from cxr14 import script
from cxr14.settings import DistillSettings

TEACHER = "4-Visformer-small"

# Paths are relative to this folder.
TEACHER_CKPT_PATH = "../4-Visformer-small/model4.pth"
STUDENT_CKPT_PATH = None  # the ImageNet-1k weights, where stage 1 starts too
DATA_DIR = "../ChestX-ray14/images"
TRAIN_IMAGE_LIST = "../ChestX-ray14/labels/train_list.txt"
VAL_IMAGE_LIST = "../ChestX-ray14/labels/val_list.txt"
CKPT_PATH = "modeld4.pth"

BATCH_SIZE = 64
NUM_EPOCHS = 10
LEARNING_RATE = 1e-3  # peak
DISTILL_LOSS = "bernoulli"  # or "study", "matching"
TEMPERATURE = 2.0

if __name__ == "__main__":
    with script.run(DistillSettings, globals()) as settings:
        # Imported here because it loads torch, which --help does not need.
        from cxr14.training.command import distill

        distill(settings)
