"""What EEEA-Net-C2 and OFA-595 share: a timm MobileNetV3 grown from a searched block table."""

from dataclasses import dataclass
from functools import partial

from timm.layers import make_divisible
from timm.models import PretrainedCfg
from timm.models.mobilenetv3 import MobileNetV3, SqueezeExcite, decode_arch_def
from torch import nn


@dataclass(frozen=True)
class Stage:
    """One stage of the search space: its inverted residuals differ in kernel and expansion alone."""

    width: int
    """Channels that each of its blocks gives out."""
    kernels: tuple[int, ...]
    """Side of each block's depthwise convolution, in pixels."""
    expansions: tuple[int, ...]
    """How many times wider each block is inside than at its entrance."""


# The search leaves these alone: first stride, squeeze-excitation and activation of stages 1 to 5 (Howard et
# al. 2019, "Searching for MobileNetV3", table 1, as Cai et al. 2020, "Once-for-All", took it over).
_FRAME = ((2, False, "re"), (2, True, "re"), (2, False, "hs"), (1, True, "hs"), (2, True, "hs"))


def searched_mobilenet(
    stem: int, stages: tuple[Stage, ...], head: tuple[int, int], num_classes: int, weights_url: str
) -> MobileNetV3:
    """Build a MobileNetV3 from a searched block table, with fresh weights.

    Args:
        stem: channels of the first convolution and of the depthwise-separable block after it.
        stages: the five stages of the table.
        head: channels before and after the last mean over the image.
        num_classes: outputs of the classifier.
        weights_url: where the published ImageNet-1k weights lie; remembered, not fetched.

    Returns:
        A network (B, 3, H, W) -> (B, num_classes) logits, for any H and W from 32 px on.
    """
    table = [[f"ds_r1_k3_s1_c{stem}_nre"]]
    for stage, (stride, excite, activation) in zip(stages, _FRAME, strict=True):
        tail = f"_c{stage.width}_n{activation}" + ("_se0.25" if excite else "")
        strides = [stride] + [1] * (len(stage.kernels) - 1)
        blocks = zip(stage.kernels, stage.expansions, strides, strict=True)
        table.append([f"ir_r1_k{kernel}_s{s}_e{expansion}{tail}" for kernel, expansion, s in blocks])
    table.append([f"cn_r1_k1_s1_c{head[0]}_nhs"])

    network = MobileNetV3(
        decode_arch_def(table),
        num_classes=num_classes,
        stem_size=stem,
        num_features=head[1],
        head_bias=False,
        norm_layer=partial(nn.BatchNorm2d, eps=1e-5),
        act_layer=nn.Hardswish,
        se_layer=partial(
            SqueezeExcite, gate_layer="hard_sigmoid", force_act_layer=nn.ReLU, rd_round_fn=make_divisible
        ),
        drop_rate=0.2,
    )
    _begin_skip_blocks_at_identity(network)
    network.pretrained_cfg = PretrainedCfg(
        url=weights_url, num_classes=1000, pool_size=(7, 7), first_conv="conv_stem", classifier="classifier"
    ).to_dict()
    return network


def _begin_skip_blocks_at_identity(network: MobileNetV3) -> None:
    # From random weights the network hardly learns otherwise: measured on phantoms. He et al. 2019, "Bag of
    # tricks for image classification", section 3.1, calls it zero gamma.
    for block in (block for stage in network.blocks for block in stage):
        if getattr(block, "has_skip", False):
            last_norm = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)][-1]
            nn.init.zeros_(last_norm.weight)
