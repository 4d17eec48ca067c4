"""AutoFormerV2-base: a Swin transformer whose shape was searched (S3-B); 70.4 M parameters, 12.7 G MACs at 224 px.

Chen, Wu, Ni, Peng, Liu, Fu, Chao and Ling 2021, "Searching the Search Space of Vision Transformer", NeurIPS. The
ImageNet-1k weights are those of microsoft/Cream (AutoFormerV2), as timm's hub keeps them.
"""

import timm
from torch import nn

from cxr14.imagenet import load_imagenet

TIMM_NAME = "swin_s3_base_224.ms_in1k"


def build_model(num_classes: int = 14, pretrained: bool = True, image_size: int = 224) -> nn.Module:
    """Build AutoFormerV2-base.

    Args:
        num_classes: outputs.
        pretrained: start from the published ImageNet-1k weights.
        image_size: side of the images in pixels; where its last stages are smaller than their windows of 7 and
            14, the windows shrink with them.

    Returns:
        A network (B, 3, image_size, image_size) -> (B, num_classes) logits.

    Raises:
        InputError: the published weights cannot be had.
    """
    model = timm.create_model(TIMM_NAME, num_classes=num_classes, img_size=image_size)
    if pretrained:
        load_imagenet(model)
    return model
