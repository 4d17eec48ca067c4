"""Turn ChestX-ray14 as NIH ships it into what the networks read: a packed store and three image lists.

    python prepare.py --source ~/Downloads/nih          # folders or archives, in any layout
    python prepare.py --medmnist chestmnist_224.npz     # MedMNIST's copy instead

leaves images/ (name it as DATA_DIR), labels/train_list.txt, val_list.txt and test_list.txt, and
prepare-report.csv, which names every radiograph that is missing, damaged or unusual. All 112,120 take
25 core-minutes and 7.3 GB. It can be stopped at any moment; the same command resumes.
"""

from cxr14 import script
from cxr14.data_settings import PrepareSettings

# Edit these, or override any of them: python prepare.py --size 128 --split patient
SOURCE = "archives"  # where download.py puts the archives
OUT = "."
SIZE = 256  # networks that see 224 pixels crop from 256
SPLIT = "official"
SEED = 0

if __name__ == "__main__":
    with script.run(PrepareSettings, globals()) as settings:
        # Imported here because it loads numpy and pillow, which --help does not need.
        from cxr14.data.prepare.command import prepare

        prepare(settings)
