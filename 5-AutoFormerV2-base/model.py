"""AutoFormerV2-base: a Swin transformer of searched shape; 70.4 M parameters, 12.7 G MACs at 224 px.

Chen, Wu, Ni, Peng, Liu, Fu, Chao and Ling 2021, "Searching the Search Space of Vision Transformer", NeurIPS:
its S3-B. The ImageNet-1k weights are those of microsoft/Cream (AutoFormerV2), as timm's hub keeps them.
"""

import timm
from torch import nn

from cxr14.models.imagenet import initialize

TIMM_NAME = "swin_s3_base_224.ms_in1k"


def build_model(num_classes: int = 14, pretrained: bool = True, image_size: int = 224) -> nn.Module:
    """Build AutoFormerV2-base; arguments, result and errors are those of `cxr14.models.zoo.build`."""
    # Windows of 14 and 7 cells shrink where a stage of a small image has fewer.
    model = timm.create_model(TIMM_NAME, num_classes=num_classes, img_size=image_size)
    return initialize(model, pretrained)
