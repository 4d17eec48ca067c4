"""Visformer-small: convolutions first, then attention; 39.5 M parameters, 4.8 G MACs at 224 px.

Chen, Xie, Niu, Liu, Wei and Tian 2021, "Visformer: The Vision-friendly Transformer", ICCV. The ImageNet-1k
weights are those of danczs/Visformer, as timm's hub keeps them.
"""

import timm
from torch import nn

from cxr14.models.imagenet import load_imagenet

TIMM_NAME = "visformer_small.in1k"


def build_model(num_classes: int = 14, pretrained: bool = True, image_size: int = 224) -> nn.Module:
    """Build Visformer-small.

    Args:
        num_classes: outputs.
        pretrained: start from the published ImageNet-1k weights.
        image_size: side of the images in pixels; its position tables have this size.

    Returns:
        A network (B, 3, image_size, image_size) -> (B, num_classes) logits.

    Raises:
        InputError: the published weights cannot be had.
    """
    model = timm.create_model(TIMM_NAME, num_classes=num_classes, img_size=image_size)
    if pretrained:
        load_imagenet(model)
    return model
