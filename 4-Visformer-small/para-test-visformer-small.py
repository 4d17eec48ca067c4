"""Print what Visformer-small costs: its parameters, MACs, bytes on disk, and time for one image.

    python para-test-visformer-small.py
    python para-test-visformer-small.py --image-size 512

Takes seconds; needs no weights and leaves nothing behind. At 224 px:
The total number of parameters: 39461358
Total FLOPs: 4756494848.0
"""

from model import build_model

from cxr14 import profile

if __name__ == "__main__":
    profile.main(build_model, globals())
