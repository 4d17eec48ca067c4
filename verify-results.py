"""Ask the checkpoint behind every saved result about its test list again: do its figures come out?

    python verify-results.py
    python verify-results.py --results-dir results/3-CheXNet --ckpt-path 3-CheXNet/model3.pth

Checkpoints and image list are recognised by their fingerprints. Prints a table a result and writes nothing;
the exit status is 0 if all figures come out, 1 if one does not, 2 if something is missing. Takes as long as
testing does.
"""

from cxr14 import script
from cxr14.settings import VerifySettings

RESULTS_DIR = "results"
CKPT_PATH = "."  # a checkpoint, or a folder that has them in it or in its folders, as this one has
DATA_DIR = "ChestX-ray14/images"
TEST_IMAGE_LIST = "ChestX-ray14/labels/test_list.txt"

if __name__ == "__main__":
    with script.run(VerifySettings, globals()) as settings:
        # Imported here because it loads torch, which --help does not need.
        from cxr14.evaluation.verify import verify

        verify(settings)
