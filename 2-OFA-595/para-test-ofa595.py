"""Print what OFA-595 costs: its parameters, MACs, bytes on disk, and time for one image.

    python para-test-ofa595.py
    python para-test-ofa595.py --image-size 512

Takes seconds; needs no weights and leaves nothing behind. At 224 px:
The total number of parameters: 7620446
Total FLOPs: 543255984.0
"""

from cxr14 import script
from cxr14.settings import ParaTestSettings

if __name__ == "__main__":
    with script.run(ParaTestSettings, globals()) as settings:
        # Imported here because they load torch, which --help does not need.
        from model import build_model

        from cxr14.models.command import para_test

        para_test(build_model, settings)
