"""Draw heat maps of a trained network on radiographs, and score them against annotated boxes.

    python explain-model.py
    python explain-model.py --ckpt-path ../3-CheXNet/model3.pth --findings-shown Pneumothorax --count 20
    python explain-model.py --box-list BBox_List_2017.csv

Leaves behind, in OUT_DIR: a PNG file for each radiograph and finding, contact-sheet.png and explanations.csv;
with a box list also pointing-game.csv (pointing game) and localization.csv (accuracy of boxes around the hot
regions at T(IoU) and T(IoBB), as in Wang et al. 2017). The pictures take seconds, NIH's 984 boxes a few
minutes on a CPU.
"""

from cxr14 import script
from cxr14.settings import ExplainSettings

# Paths are relative to this folder.
CKPT_PATH = "../6-Distilling-to-EEEA-Net-C2/modeld3.pth"
DATA_DIR = "../ChestX-ray14/images"
IMAGE_LIST = "../ChestX-ray14/labels/test_list.txt"
OUT_DIR = "../results/7-Using-EEEA-Net-C2/explanations"
BOX_LIST = None  # NIH's BBox_List_2017.csv, or the one of make-phantoms.py

COUNT = 8  # radiographs to draw
# positive: those that the list has; or a finding's name; or a number: the most probable ones
FINDINGS_SHOWN = "positive"

if __name__ == "__main__":
    with script.run(ExplainSettings, globals()) as settings:
        # Imported here because it loads torch, which --help does not need.
        from cxr14.explanation.command import explain

        explain(settings)
