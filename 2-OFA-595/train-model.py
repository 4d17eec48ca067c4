"""Fine-tune OFA-595 (7.6 M parameters) and keep the epoch with the best validation AUROC.

    python train-model.py                    # with the constants below
    python train-model.py --batch-size 16    # override any of them; --help lists all
    torchrun --nproc_per_node=4 train-model.py

Leaves model2.pth (the best epoch), model2.log.csv (a row an epoch) and model2.last.pth (for --resume). On the
real radiographs the study reports a mean test AUROC of 0.817 for this stage.
"""

from cxr14 import script
from cxr14.settings import TrainSettings

# Paths are relative to this folder.
DATA_DIR = "../ChestX-ray14/images"
TRAIN_IMAGE_LIST = "../ChestX-ray14/labels/train_list.txt"
VAL_IMAGE_LIST = "../ChestX-ray14/labels/val_list.txt"
CKPT_PATH = "model2.pth"

BATCH_SIZE = 64
NUM_EPOCHS = 10
LEARNING_RATE = 1e-3  # peak; for BATCH_SIZE = 64 and ImageNet weights

if __name__ == "__main__":
    with script.run(TrainSettings, globals()) as settings:
        # Imported here because they load torch, which --help does not need.
        from model import build_model

        from cxr14.training.command import train

        train(build_model, settings)
