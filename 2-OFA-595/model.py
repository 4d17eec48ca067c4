"""OFA-595: 7.6 M parameters, 543 M MACs at 224 px.

Cai, Gan, Wang, Zhang and Han 2020, "Once-for-All: Train One Network and Specialize it for Efficient
Deployment", ICLR: the subnet that they name after its 595 M MACs, from the supernet of width 1.2 in the frame
of MobileNetV3. The ImageNet-1k weights are those of the model zoo jitdee-ai/darmo.
"""

from torch import nn

from cxr14.models.imagenet import initialize
from cxr14.models.searched_mobilenet import BlockTable, Stage, searched_mobilenet

TIMM_NAME = "ofa_595"
WEIGHTS_URL = "https://github.com/jitdee-ai/darmo/releases/download/0.0.1/ofa595_1k_b1a18d5.pt"
TABLE = BlockTable(
    stem=24,
    stages=(
        Stage(width=32, kernels=(3, 5, 3), expansions=(3, 4, 3)),
        Stage(width=48, kernels=(5, 5, 3, 5), expansions=(4, 4, 6, 3)),
        Stage(width=96, kernels=(7, 5, 3, 5), expansions=(6, 6, 3, 4)),
        Stage(width=136, kernels=(3, 5, 7, 3), expansions=(6, 6, 6, 4)),
        Stage(width=192, kernels=(3, 3, 5, 3), expansions=(6, 6, 6, 3)),
    ),
    head=(1152, 1536),
)


def build_model(num_classes: int = 14, pretrained: bool = True, image_size: int = 224) -> nn.Module:
    """Build OFA-595; arguments, result and errors are those of `cxr14.models.zoo.build`."""
    model = searched_mobilenet(TIMM_NAME, TABLE, WEIGHTS_URL, num_classes=num_classes)
    return initialize(model, pretrained)
