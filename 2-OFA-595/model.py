"""OFA-595: 7.6 M parameters, 543 M MACs at 224 px.

Cai, Gan, Wang, Zhang and Han 2020, "Once-for-All: Train One Network and Specialize it for Efficient
Deployment", ICLR: the subnet that they name after its 595 M MACs, from the supernet of width 1.2 in the frame
of MobileNetV3. The ImageNet-1k weights are those of the model zoo jitdee-ai/darmo.
"""

from torch import nn

from cxr14.models.imagenet import load_imagenet
from cxr14.models.searched_mobilenet import Stage, searched_mobilenet

WEIGHTS_URL = "https://github.com/jitdee-ai/darmo/releases/download/0.0.1/ofa595_1k_b1a18d5.pt"

STEM = 24
STAGES = (
    Stage(width=32, kernels=(3, 5, 3), expansions=(3, 4, 3)),
    Stage(width=48, kernels=(5, 5, 3, 5), expansions=(4, 4, 6, 3)),
    Stage(width=96, kernels=(7, 5, 3, 5), expansions=(6, 6, 3, 4)),
    Stage(width=136, kernels=(3, 5, 7, 3), expansions=(6, 6, 6, 4)),
    Stage(width=192, kernels=(3, 3, 5, 3), expansions=(6, 6, 6, 3)),
)
HEAD = (1152, 1536)


def build_model(num_classes: int = 14, pretrained: bool = True, image_size: int = 224) -> nn.Module:
    """Build OFA-595.

    Args:
        num_classes: outputs.
        pretrained: start from the published ImageNet-1k weights.
        image_size: side of the images in pixels; the network is convolutional and takes any.

    Returns:
        A network (B, 3, image_size, image_size) -> (B, num_classes) logits.

    Raises:
        InputError: the published weights cannot be had.
    """
    model = searched_mobilenet(STEM, STAGES, HEAD, num_classes, WEIGHTS_URL)
    if pretrained:
        load_imagenet(model)
    return model
