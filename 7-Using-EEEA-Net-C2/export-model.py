"""Export a trained network as one ONNX file that small computers can run, and compare it with PyTorch.

    python export-model.py
    python export-model.py --precision float32
    python export-model.py --ckpt-path ../6-Distilling-to-EEEA-Net-C2 --results-dir ../results

The third takes the student with the best AUROC on validation.

Leaves behind, in OUT_DIR: the model, such as eeea-net-c2.onnx, and model-card.json, which predict.py needs
beside it. Prints how far the model's answers lie from PyTorch's; outside the bounds it exits with status 1
and leaves neither. About a minute on a CPU.
"""

from cxr14 import script
from cxr14.deployment_settings import ExportSettings

# Paths are relative to this folder.
CKPT_PATH = "../6-Distilling-to-EEEA-Net-C2/modeld3.pth"
RESULTS_DIR = "../results/6-Distilling-to-EEEA-Net-C2/kd3"  # of the checkpoint; None: no yes or no
DATA_DIR = "../ChestX-ray14/images"
IMAGE_LIST = "../ChestX-ray14/labels/test_list.txt"
OUT_DIR = "../results/7-Using-EEEA-Net-C2/export"

PRECISION = "w8"  # int8 weights; or float32
COUNT = 480  # radiographs to compare on

if __name__ == "__main__":
    with script.run(ExportSettings, globals()) as settings:
        # Imported here because it loads torch, which --help does not need.
        from cxr14.deployment.export.command import export

        export(settings)
