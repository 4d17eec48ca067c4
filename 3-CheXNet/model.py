"""CheXNet: DenseNet-121 with one output a finding; 7.0 M parameters, 2.9 G MACs at 224 px.

Rajpurkar et al. 2017, "CheXNet: Radiologist-Level Pneumonia Detection on Chest X-Rays with Deep Learning",
arXiv 1711.05225; Huang, Liu, van der Maaten and Weinberger 2017, "Densely Connected Convolutional Networks",
CVPR. The ImageNet-1k weights are torchvision's, as timm's hub keeps them.
"""

import timm
from torch import nn

from cxr14.models.imagenet import initialize

TIMM_NAME = "densenet121.tv_in1k"


def build_model(num_classes: int = 14, pretrained: bool = True, image_size: int = 224) -> nn.Module:
    """Build CheXNet; arguments, result and errors are those of `cxr14.models.zoo.build`."""
    model = timm.create_model(TIMM_NAME, num_classes=num_classes)
    return initialize(model, pretrained)
