"""Print what EEEA-Net-C2 costs: its parameters, MACs, bytes on disk, and time for one image.

    python para-test-eeeac2.py
    python para-test-eeeac2.py --image-size 512

Takes seconds; needs no weights and leaves nothing behind. At 224 px:
The total number of parameters: 4732838
Total FLOPs: 311335744.0
"""

from model import build_model

from cxr14 import profile

if __name__ == "__main__":
    profile.main(build_model, globals())
