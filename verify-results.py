"""Verify saved results: check that the files of each agree, and test its checkpoint again.

    python verify-results.py
    python verify-results.py --results-dir results/3-CheXNet --ckpt-path 3-CheXNet/model3.pth

A checkpoint is found by the hash of its weights, in CKPT_PATH or in its folders. Compared are names, labels,
split, thresholds, calibration and every metric. Prints a table for each result and changes no file; the exit
status is 0 if every result is reproduced, 1 if one is not, 2 if something is missing. Takes as long as the
tests.
"""

from cxr14 import script
from cxr14.settings import VerifySettings

RESULTS_DIR = "results"
CKPT_PATH = "."  # a checkpoint, or a folder with checkpoints in it or in its folders
DATA_DIR = "ChestX-ray14/images"
VAL_IMAGE_LIST = "ChestX-ray14/labels/val_list.txt"
TEST_IMAGE_LIST = "ChestX-ray14/labels/test_list.txt"

if __name__ == "__main__":
    with script.run(VerifySettings, globals()) as settings:
        # Imported here because it loads torch, which --help does not need.
        from cxr14.evaluation.verify import verify

        verify(settings)
