"""Score AutoFormerV2-base on the test list: AUROC, accuracy and F1 of each finding, from ten crops.

    python test-model.py              # with the constants below
    python test-model.py --crops 1    # the centre alone: a tenth of the time

Prints the metrics and writes predictions, metrics and operating points into RESULTS_DIR, which
compare-results.py reads. A test whose results are there already is not repeated; --retest repeats it.
"""

from cxr14 import script
from cxr14.settings import TestSettings

# Paths are relative to this folder.
DATA_DIR = "../ChestX-ray14/images"
VAL_IMAGE_LIST = "../ChestX-ray14/labels/val_list.txt"
TEST_IMAGE_LIST = "../ChestX-ray14/labels/test_list.txt"
CKPT_PATH = "model5.pth"
RESULTS_DIR = "../results/5-AutoFormerV2-base"

BATCH_SIZE = 64  # radiographs; each is scored CROPS times
CROPS = 10

if __name__ == "__main__":
    with script.run(TestSettings, globals()) as settings:
        # Imported here because they load torch, which --help does not need.
        from model import build_model

        from cxr14.evaluation.command import score

        score(build_model, settings)
