"""AutoFormerV2-base: a Swin transformer of searched shape; 70.4 M parameters, 12.7 G MACs at 224 px.

Chen, Wu, Ni, Peng, Liu, Fu, Chao and Ling 2021, "Searching the Search Space of Vision Transformer", NeurIPS:
its S3-B. The ImageNet-1k weights are those of microsoft/Cream (AutoFormerV2), as timm's hub keeps them.
"""

import timm
from torch import nn

from cxr14.models.imagenet import load_imagenet

TIMM_NAME = "swin_s3_base_224.ms_in1k"


def build_model(num_classes: int = 14, pretrained: bool = True, image_size: int = 224) -> nn.Module:
    """Build AutoFormerV2-base.

    Args:
        num_classes: outputs.
        pretrained: start from the published ImageNet-1k weights.
        image_size: side of the images in pixels; windows of 14 and 7 shrink where a stage is smaller.

    Returns:
        A network (B, 3, image_size, image_size) -> (B, num_classes) logits.

    Raises:
        InputError: the published weights cannot be had.
    """
    model = timm.create_model(TIMM_NAME, num_classes=num_classes, img_size=image_size)
    if pretrained:
        load_imagenet(model)
    return model
