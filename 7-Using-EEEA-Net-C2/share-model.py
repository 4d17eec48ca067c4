"""Write a trained network as a folder for Hugging Face's hub, with a model card, and upload it if you say so.

    python share-model.py
    python share-model.py --nih-table ../ChestX-ray14/archives/Data_Entry_2017_v2020.csv
    python share-model.py --push OWNER/NAME

Run the test script of the checkpoint and export-model.py before. Leaves behind, in OUT_DIR: model.safetensors
and config.json for timm.create_model("local-dir:OUT_DIR", pretrained=True), onnx/ with the exported model for
predict.py, and README.md, the model card: read it before you share it. A minute on a CPU.
"""

from cxr14 import script
from cxr14.deployment_settings import ShareSettings

# Paths are relative to this folder.
CKPT_PATH = "../6-Distilling-to-EEEA-Net-C2/modeld3.pth"
RESULTS_DIR = "../results/6-Distilling-to-EEEA-Net-C2/kd3"  # of the checkpoint
MODEL_PATH = "../results/7-Using-EEEA-Net-C2/export/eeea-net-c2.onnx"  # exported from the checkpoint
NIH_TABLE = None  # NIH's Data_Entry_2017.csv: AUROC by sex, age and view
OUT_DIR = "../results/7-Using-EEEA-Net-C2/hub"

PUSH = None  # OWNER/NAME uploads the folder
PRIVATE = True  # a repository that is made by the upload
WEIGHTS_LICENSE = "mit"
SOURCE = None  # address of your copy of this repository

if __name__ == "__main__":
    with script.run(ShareSettings, globals()) as settings:
        # Imported here because it loads torch, which --help does not need.
        from cxr14.deployment.hub.command import share

        share(settings)
