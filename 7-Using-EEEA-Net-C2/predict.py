"""Find the 14 findings in radiographs of your own, with an exported model and without torch.

    python predict.py chest.png
    python predict.py FOLDER --csv findings.csv
    python predict.py chest.dcm --maps drawings --json findings.json
    python predict.py FOLDER --csv findings.csv --address local    # all cores; auto: a cluster of Ray

Takes PNG, JPEG and DICOM files and folders of them. Prints each finding's probability, its operating point
and yes or no. A file that cannot be read is named and left out; the exit status is then 1. Half a second for
one file. A run with --csv or --json that was interrupted is resumed by the same command. For research only:
this is not a medical device.

Needs `pip install -r requirements-predict.txt`, no more; DICOM files need `pip install -e .[dicom]` as well,
and --address `pip install -e .[ray]`.
"""

from cxr14 import script
from cxr14.deployment_settings import PredictSettings

# Paths are relative to this folder.
MODEL_PATH = "../results/7-Using-EEEA-Net-C2/export/eeea-net-c2.onnx"

if __name__ == "__main__":
    with script.run(PredictSettings, globals()) as settings:
        # Imported here because it loads ONNX Runtime, which --help does not need.
        from cxr14.deployment.prediction.command import predict

        predict(settings)
