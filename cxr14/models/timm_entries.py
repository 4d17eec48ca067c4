"""Registration of EEEA-Net-C2 and OFA-595 with timm.

timm passes on its own arguments, so ``num_classes``, ``in_chans``, ``drop_rate``, ``pretrained`` and sources
such as "local-dir:FOLDER" work as for timm's networks.
"""

from timm.models import register_model
from timm.models.mobilenetv3 import MobileNetV3

from cxr14.models import zoo
from cxr14.models.searched_mobilenet import searched_mobilenet


@register_model
def eeea_net_c2(pretrained: bool = False, **options: object) -> MobileNetV3:
    """Build EEEA-Net-C2, by default with 1000 outputs and random weights."""
    return _build("1-EEEA-Net-C2", pretrained, options)


@register_model
def ofa_595(pretrained: bool = False, **options: object) -> MobileNetV3:
    """Build OFA-595, by default with 1000 outputs and random weights."""
    return _build("2-OFA-595", pretrained, options)


def _build(folder: str, pretrained: bool, options: dict[str, object]) -> MobileNetV3:
    network = zoo.model_file(folder)
    return searched_mobilenet(network.TIMM_NAME, network.TABLE, network.WEIGHTS_URL, pretrained, **options)
