"""Visformer-small: convolutions first, then attention; 39.5 M parameters, 4.8 G MACs at 224 px.

Chen, Xie, Niu, Liu, Wei and Tian 2021, "Visformer: The Vision-friendly Transformer", ICCV. The ImageNet-1k
weights are those of danczs/Visformer, as timm's hub keeps them.
"""

import timm
from torch import nn

from cxr14.models.imagenet import initialize

TIMM_NAME = "visformer_small.in1k"


def build_model(num_classes: int = 14, pretrained: bool = True, image_size: int = 224) -> nn.Module:
    """Build Visformer-small; arguments, result and errors are those of `cxr14.models.zoo.build`."""
    model = timm.create_model(TIMM_NAME, num_classes=num_classes, img_size=image_size)
    return initialize(model, pretrained)
