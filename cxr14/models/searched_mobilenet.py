"""MobileNetV3 from a searched block table: EEEA-Net-C2 and OFA-595."""

from dataclasses import dataclass
from functools import partial

from timm.layers import make_divisible
from timm.models import PretrainedCfg, build_model_with_cfg
from timm.models.mobilenetv3 import MobileNetV3, SqueezeExcite, decode_arch_def
from torch import nn

from cxr14.models import published


@dataclass(frozen=True)
class Stage:
    """One stage of the search space; its inverted residuals differ only in kernel and expansion."""

    width: int
    """Output channels of each block."""
    kernels: tuple[int, ...]
    """Side of each block's depthwise convolution, in pixels."""
    expansions: tuple[int, ...]
    """Ratio of each block's inner to its input channels."""


@dataclass(frozen=True)
class BlockTable:
    """The result of an architecture search."""

    stem: int
    """Output channels of the first convolution and of the depthwise-separable block after it."""
    stages: tuple[Stage, ...]
    """Five stages."""
    head: tuple[int, int]
    """Channels before and after the global average pooling."""


# The search does not change the first stride, squeeze-excitation and activation of stages 1 to 5 (Howard et
# al. 2019, "Searching for MobileNetV3", table 1, adopted by Cai et al. 2020, "Once-for-All").
_STAGE_OPTIONS = ((2, False, "re"), (2, True, "re"), (2, False, "hs"), (1, True, "hs"), (2, True, "hs"))


def searched_mobilenet(
    timm_name: str, table: BlockTable, weights_url: str, pretrained: bool = False, **options: object
) -> MobileNetV3:
    """Build a MobileNetV3 from a searched block table, the way timm builds its own networks.

    Args:
        timm_name: the network's name in timm.
        table: the block table.
        weights_url: address of the published ImageNet-1k weights.
        pretrained: let timm load those weights, or others where the option ``pretrained_cfg`` names them.
        options: arguments of timm's `build_model_with_cfg` and `MobileNetV3`, such as ``num_classes``.

    Returns:
        A network (B, 3, H, W) -> (B, num_classes) logits for any H and W of at least 32 px, by default with
        1000 outputs and random weights.
    """
    published_cfg = PretrainedCfg(
        url=weights_url, num_classes=1000, pool_size=(7, 7), first_conv="conv_stem", classifier="classifier"
    )
    pretrained_cfg = options.pop("pretrained_cfg", None) or published_cfg
    return build_model_with_cfg(
        partial(_mobilenet, table),
        timm_name,
        pretrained,
        pretrained_cfg=pretrained_cfg,
        pretrained_filter_fn=published.translate,
        **options,
    )


def _mobilenet(table: BlockTable, drop_rate: float = 0.2, **options: object) -> MobileNetV3:
    network = MobileNetV3(
        decode_arch_def(_definition(table)),
        stem_size=table.stem,
        num_features=table.head[1],
        head_bias=False,
        norm_layer=partial(nn.BatchNorm2d, eps=1e-5),
        act_layer=nn.Hardswish,
        se_layer=partial(
            SqueezeExcite, gate_layer="hard_sigmoid", force_act_layer=nn.ReLU, rd_round_fn=make_divisible
        ),
        drop_rate=drop_rate,
        **options,
    )
    _initialize_skip_blocks_to_identity(network)
    return network


def _definition(table: BlockTable) -> list[list[str]]:
    """Return the table in timm's notation, one list of blocks a stage."""
    stages = [[f"ds_r1_k3_s1_c{table.stem}_nre"]]
    for stage, (first_stride, squeeze_excite, activation) in zip(table.stages, _STAGE_OPTIONS, strict=True):
        suffix = f"_c{stage.width}_n{activation}" + ("_se0.25" if squeeze_excite else "")
        strides = [first_stride] + [1] * (len(stage.kernels) - 1)
        blocks = zip(stage.kernels, strides, stage.expansions, strict=True)
        stages.append([f"ir_r1_k{kernel}_s{stride}_e{ratio}{suffix}" for kernel, stride, ratio in blocks])
    stages.append([f"cn_r1_k1_s1_c{table.head[0]}_nhs"])
    return stages


def _initialize_skip_blocks_to_identity(network: MobileNetV3) -> None:
    # From random weights the network hardly learns otherwise: measured on phantoms. He et al. 2019, "Bag of
    # tricks for image classification", section 3.1, calls it zero gamma.
    for block in (block for stage in network.blocks for block in stage):
        if getattr(block, "has_skip", False):
            last_norm = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)][-1]
            nn.init.zeros_(last_norm.weight)
