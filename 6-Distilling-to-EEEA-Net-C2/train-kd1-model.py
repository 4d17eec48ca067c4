"""Distil EEEA-Net-C2 into EEEA-Net-C2 and keep the epoch with the best validation AUROC.

    python train-kd1-model.py                        # with the constants below
    python train-kd1-model.py --distill-loss study   # override any of them; --help lists all

The teacher comes from 1-EEEA-Net-C2/train-model.py.
Leaves modeld1.pth (the best epoch), modeld1.log.csv (a row an epoch) and modeld1.last.pth (for --resume).
On the real radiographs the study reports a mean test AUROC of 0.814 for this student.
"""

from cxr14 import script
from cxr14.settings import DistillSettings

TEACHER = "1-EEEA-Net-C2"

# Paths are relative to this folder.
TEACHER_CKPT_PATH = "../1-EEEA-Net-C2/model1.pth"
STUDENT_CKPT_PATH = None  # the ImageNet-1k weights, where stage 1 starts too
DATA_DIR = "../ChestX-ray14/images"
TRAIN_IMAGE_LIST = "../ChestX-ray14/labels/train_list.txt"
VAL_IMAGE_LIST = "../ChestX-ray14/labels/val_list.txt"
CKPT_PATH = "modeld1.pth"

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
