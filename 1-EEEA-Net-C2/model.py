"""EEEA-Net-C2: 4.7 M parameters, 311 M MACs at 224 px.

Termritthikun, Jamtsho, Ieamsaard, Muneesawang and Lee 2021, "EEEA-Net: An Early Exit Evolutionary Neural
Architecture Search", Engineering Applications of Artificial Intelligence 104. The search chose kernels and
expansions in the frame of MobileNetV3; the ImageNet-1k weights are those of the model zoo jitdee-ai/darmo.
"""

from torch import nn

from cxr14.models.imagenet import initialize
from cxr14.models.searched_mobilenet import BlockTable, Stage, searched_mobilenet

TIMM_NAME = "eeea_net_c2"
WEIGHTS_URL = "https://github.com/jitdee-ai/darmo/releases/download/0.0.1/eeea-c2.pt"
TABLE = BlockTable(
    stem=16,
    stages=(
        Stage(width=24, kernels=(3, 5, 3), expansions=(3, 4, 3)),
        Stage(width=40, kernels=(7, 3, 7), expansions=(4, 3, 3)),
        Stage(width=80, kernels=(5, 7, 5, 3), expansions=(6, 6, 3, 3)),
        Stage(width=112, kernels=(7, 5, 3, 3), expansions=(6, 4, 3, 3)),
        Stage(width=160, kernels=(5, 3, 5, 7), expansions=(6, 6, 6, 3)),
    ),
    head=(960, 1280),
)


def build_model(num_classes: int = 14, pretrained: bool = True, image_size: int = 224) -> nn.Module:
    """Build EEEA-Net-C2; arguments, result and errors are those of `cxr14.models.zoo.build`."""
    model = searched_mobilenet(TIMM_NAME, TABLE, WEIGHTS_URL, num_classes=num_classes)
    return initialize(model, pretrained)
