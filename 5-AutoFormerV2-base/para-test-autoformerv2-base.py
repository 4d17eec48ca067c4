"""Print what AutoFormerV2-base costs: its parameters, MACs, bytes on disk, and time for one image.

    python para-test-autoformerv2-base.py
    python para-test-autoformerv2-base.py --image-size 512

Takes seconds; needs no weights and leaves nothing behind. At 224 px:
The total number of parameters: 70367528
Total FLOPs: 12748499904.0
"""

from model import build_model

from cxr14 import profile

if __name__ == "__main__":
    profile.main(build_model, globals())
