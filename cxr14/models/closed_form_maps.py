"""Heat maps of all findings at a network's last layer, without a backward pass.

Behind its last feature maps F each of the five networks takes their mean over the cells, so all cells of a
channel c share one derivative of a logit, d_kc = d logit_k / d mean_c, divided by the number of cells. It has
a closed form: the classifier's weights, and in EEEA-Net-C2 and OFA-595 a convolution and a hardswish
between the mean and the classifier. Cell (i, j) of finding k is then

    LayerCAM (Jiang et al. 2021):    relu(sum over c of relu(d_kc) F_cij) / cells
    Grad-CAM (Selvaraju et al. 2017): relu(sum over c of d_kc F_cij) / cells

The full references are in cxr14/explanation/heat_maps.py.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxr14.settings import Method

LEAST_CELLS = 7
"""Fewest cells on a side that a heat map is worth: those of the last maps at 224 px. At 64 px they have 2 x 2
cells, too few to localise anything."""

CHANNELS_LAST = frozenset({"5-AutoFormerV2-base"})
"""Networks whose feature maps are (B, H, W, C) instead of (B, C, H, W)."""


def head(model: nn.Module, network: str, features: Tensor) -> tuple[Tensor, Tensor]:
    """Apply a network's head, and differentiate it.

    Args:
        model: one of the five networks in eval mode.
        network: its folder, a key of `HEADS`.
        features: what ``model.forward_features`` returns, B radiographs with C channels.

    Returns:
        (B, F) logits, and their (B, F, C) or (F, C) derivatives by the mean of each channel.
    """
    return HEADS[network](model, features)


def cells(
    features: Tensor, derivatives: Tensor, network: str, side: int, method: Method = "layer-cam"
) -> Tensor:
    """Return the heat maps of all findings, before they are scaled or enlarged.

    Args:
        features: what ``model.forward_features`` returns.
        derivatives: as `head` returns them.
        network: its folder.
        side: cells along a side of the features; a number, so that a traced graph measures no shape.
        method: layer-cam or grad-cam.

    Returns:
        (B, F, side, side), 0 or more.
    """
    if network in CHANNELS_LAST:
        features = features.permute(0, 3, 1, 2)
    if method == "layer-cam":
        derivatives = functional.relu(derivatives)
    findings, channels = derivatives.shape[-2:]
    maps = functional.relu(derivatives / side**2 @ features.reshape(-1, channels, side**2))
    return maps.reshape(-1, findings, side, side)


def _linear_head(model: nn.Module, features: Tensor) -> tuple[Tensor, Tensor]:
    return model.forward_head(features), model.get_classifier().weight


def _head_with_convolution(model: nn.Module, features: Tensor) -> tuple[Tensor, Tensor]:
    hidden = model.norm_head(model.conv_head(model.global_pool(features)))  # (B, H, 1, 1)
    # The derivative of the hardswish, and before it: timm's works in place.
    steepness = torch.where(hidden < -3, 0.0, torch.where(hidden <= 3, hidden / 3 + 0.5, 1.0))
    logits = model.classifier(model.flatten(model.act2(hidden)))
    by_hidden = model.classifier.weight * steepness.flatten(1)[:, None]  # (B, F, H)
    # The transposed convolution is the derivative of the convolution. It takes the same weights, so an
    # exported file contains them once.
    by_mean = functional.conv_transpose2d(by_hidden.transpose(1, 2)[..., None], model.conv_head.weight)
    return logits, by_mean.squeeze(3).transpose(1, 2)  # from (B, C, F, 1)


HEADS: dict[str, Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]]] = {
    "1-EEEA-Net-C2": _head_with_convolution,
    "2-OFA-595": _head_with_convolution,
    "3-CheXNet": _linear_head,
    "4-Visformer-small": _linear_head,
    "5-AutoFormerV2-base": _linear_head,
}
"""Head of each network that the closed form holds for, by its folder."""
