"""Distil several teachers into EEEA-Net-C2 and keep the epoch with the best validation AUROC.

    python train-kdall-model.py                              # with the constants below
    python train-kdall-model.py --teacher-weights finding    # override any of them; --help lists all

The teachers come from the train-model.py of their folders. Each is calibrated on one half of the validation
list, by patient; the other half chooses the epoch.
Leaves modeldall.pth (the best epoch), modeldall.log.csv (a row an epoch), modeldall.last.pth (for --resume).
The study reports no such student. A step takes the forward passes of all teachers, the first time.
"""

from cxr14 import script
from cxr14.settings import DistillAllSettings

# Paths are relative to this folder.
TEACHERS = (  # two or more
    "../1-EEEA-Net-C2/model1.pth",
    "../2-OFA-595/model2.pth",
    "../3-CheXNet/model3.pth",
    "../4-Visformer-small/model4.pth",
    "../5-AutoFormerV2-base/model5.pth",
)
TEACHER_WEIGHTS = "equal"  # or "finding": by validation AUROC
STUDENT_CKPT_PATH = None  # the ImageNet-1k weights, where stage 1 starts too
DATA_DIR = "../ChestX-ray14/images"
TRAIN_IMAGE_LIST = "../ChestX-ray14/labels/train_list.txt"
VAL_IMAGE_LIST = "../ChestX-ray14/labels/val_list.txt"
CKPT_PATH = "modeldall.pth"

BATCH_SIZE = 64
NUM_EPOCHS = 10
LEARNING_RATE = 1e-3  # peak
DISTILL_LOSS = "bernoulli"  # or "study", "matching"
TEMPERATURE = 2.0

if __name__ == "__main__":
    with script.run(DistillAllSettings, globals()) as settings:
        # Imported here because it loads torch, which --help does not need.
        from cxr14.training.command import distill

        distill(settings)
