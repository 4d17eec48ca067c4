"""Score the EEEA-Net-C2 distilled from several teachers: AUROC, accuracy and F1 of each finding, ten crops.

    python test-kdall-model.py              # with the constants below
    python test-kdall-model.py --crops 1    # the centre alone: a tenth of the time

Prints the metrics and writes predictions, metrics and operating points into RESULTS_DIR, which
compare-results.py reads. A test whose results are there already is not repeated; --retest repeats it.
"""

from cxr14 import script
from cxr14.settings import TaughtTestSettings

TEACHER = "several"

# Paths are relative to this folder.
DATA_DIR = "../ChestX-ray14/images"
VAL_IMAGE_LIST = "../ChestX-ray14/labels/val_list.txt"
TEST_IMAGE_LIST = "../ChestX-ray14/labels/test_list.txt"
CKPT_PATH = "modeldall.pth"
RESULTS_DIR = "../results/6-Distilling-to-EEEA-Net-C2/kdall"

BATCH_SIZE = 64  # radiographs; each is scored CROPS times
CROPS = 10

if __name__ == "__main__":
    with script.run(TaughtTestSettings, globals()) as settings:
        # Imported here because it loads torch, which --help does not need.
        from cxr14.evaluation.command import score_student

        score_student(settings)
