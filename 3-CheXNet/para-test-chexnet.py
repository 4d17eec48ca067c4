"""Print what CheXNet costs: its parameters, MACs, bytes on disk, and time for one image.

    python para-test-chexnet.py
    python para-test-chexnet.py --image-size 512

Takes seconds; needs no weights and leaves nothing behind. At 224 px:
The total number of parameters: 6968206
Total FLOPs: 2895997440.0
"""

from model import build_model

from cxr14 import profile

if __name__ == "__main__":
    profile.main(build_model, globals())
