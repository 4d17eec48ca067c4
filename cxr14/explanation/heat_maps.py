"""Where the network looks: one heat map for a radiograph and a finding, for all five networks alike.

The maps come from pytorch-grad-cam. At 224 px the last maps of every network have 7 x 7 cells; at 64 px they
would have 2 x 2, which cannot point at anything. So the layer that is looked at is the deepest with at least
7 cells on a side, and the default method is LayerCAM, which was made for layers before the last. Measured on
200 findings of synthetic radiographs of 64 px (CheXNet, where chance is 15 %): Grad-CAM points into a box in
15 % at the last layer and 40 % at stride 8, LayerCAM there in 53 %.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cxr14.data import augment
from cxr14.settings import Method

CELLS = 7
"""Least cells on a side of the maps that are looked at: those of the last layer at 224 px."""

# Stride -> the last module with an output of that size. Of EEEA-Net-C2 and OFA-595 it is the one that widens
# the maps for the next stage: maps without an activation, as their blocks give out, pointed less often.
LAYERS: dict[str, dict[int, str]] = {
    "1-EEEA-Net-C2": {8: "blocks.3.0.bn1", 16: "blocks.5.0.bn1", 32: "blocks.6"},
    "2-OFA-595": {8: "blocks.3.0.bn1", 16: "blocks.5.0.bn1", 32: "blocks.6"},
    "3-CheXNet": {8: "features.denseblock2", 16: "features.denseblock3", 32: "features.norm5"},
    "4-Visformer-small": {8: "stage1", 16: "stage2", 32: "norm"},
    "5-AutoFormerV2-base": {8: "layers.1", 16: "layers.2", 32: "norm"},
}
"""The layers of each network that can be looked at, by their stride in pixels of the image."""

CHANNELS_LAST = frozenset({"5-AutoFormerV2-base"})
"""Networks whose layers give out (B, H, W, C) instead of (B, C, H, W)."""


class Layer(NamedTuple):
    """Which maps of a network are looked at."""

    module: str
    """Its name within the network."""
    stride: int
    """Pixels of the image from one cell to the next."""
    channels_last: bool = False
    """Whether it gives out (B, H, W, C) instead of (B, C, H, W)."""


def layer_for(network: str, image_size: int) -> Layer:
    """Return the deepest layer with `CELLS` cells on a side, or the finest of an image too small for that.

    Args:
        network: folder of the network, one of `zoo.NAMES`.
        image_size: side of the images in pixels.
    """
    layers = LAYERS[network]
    stride = max((one for one in layers if image_size // one >= CELLS), default=min(layers))
    return Layer(layers[stride], stride, network in CHANNELS_LAST)


def heat_maps(
    model: nn.Module, layer: Layer, images: Tensor, findings: Sequence[int], method: Method = "layer-cam"
) -> tuple[np.ndarray, np.ndarray]:
    """Show what speaks for one finding in each radiograph.

    LayerCAM (Jiang, Zhang, Hou, Cheng and Wei 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps
    for Localization", IEEE Transactions on Image Processing 30) weights every cell by its own positive
    gradient; Grad-CAM (Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization", ICCV) each channel by its mean gradient.

    Args:
        model: a network in eval mode, normalised images (B, 3, S, S) -> (B, F) logits.
        layer: whose maps to look at; see `layer_for`.
        images: (B, S, S) uint8.
        findings: B column numbers, the finding asked about in each radiograph.
        method: how cells and channels are weighed.

    Returns:
        Maps (B, S, S) float32, the lowest 0 and the highest 1, or 0 everywhere when nothing speaks for the
        finding; and the (B, F) float32 logits.
    """
    # Loading it takes seconds, because of OpenCV and matplotlib; nothing else in this package needs it.
    from pytorch_grad_cam import GradCAM, LayerCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    module = model.get_submodule(layer.module)
    frozen = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # The gradient is needed down to the layer and no further: 2.5 times faster, and a fraction of the memory.
    model.requires_grad_(False)
    begin = module.register_forward_hook(lambda module, given, output: output.detach().requires_grad_())
    explainer = {"layer-cam": LayerCAM, "grad-cam": GradCAM}[method](
        model, [module], reshape_transform=_channels_first if layer.channels_last else None
    )
    try:
        with torch.enable_grad():
            maps = explainer(augment.normalise(images), [ClassifierOutputTarget(one) for one in findings])
        return maps, explainer.outputs.detach().float().cpu().numpy()
    finally:
        explainer.activations_and_grads.release()
        begin.remove()
        for parameter in frozen:
            parameter.requires_grad_()


def _channels_first(tokens: Tensor) -> Tensor:
    return tokens.permute(0, 3, 1, 2)
