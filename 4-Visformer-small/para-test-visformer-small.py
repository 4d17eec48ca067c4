"""Print the parameters, MACs, size on disk and latency of Visformer-small.

    python para-test-visformer-small.py
    python para-test-visformer-small.py --image-size 512

Takes seconds, needs no weights and writes no file. At 224 px:
The total number of parameters: 39461358
Total FLOPs: 4756494848.0
"""

from cxr14 import script
from cxr14.settings import ParaTestSettings

if __name__ == "__main__":
    with script.run(ParaTestSettings, globals()) as settings:
        # Imported here because they load torch, which --help does not need.
        from model import build_model

        from cxr14.models.command import para_test

        para_test(build_model, settings)
