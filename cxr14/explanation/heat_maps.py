"""Heat maps: the evidence for one finding in one radiograph.

At 224 px the last feature maps of every network have 7 x 7 cells; at 64 px they would have 2 x 2, too few to
localise anything. So the layer is the deepest with at least 7 cells on a side, and the default method is
LayerCAM, which was made for layers before the last. At the last layer the maps have a closed form
(cxr14/models/closed_form_maps.py), at the others pytorch-grad-cam computes them from gradients.

    LayerCAM: Jiang, Zhang, Hou, Cheng and Wei 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps
    for Localization", IEEE Transactions on Image Processing 30. It weights each cell by its own positive
    gradient.
    Grad-CAM: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", ICCV. It weights each channel by its mean gradient.

Measured on one core of an AMD EPYC, EEEA-Net-C2 trained on real radiographs, 14 findings in each of 32: 0.8 s
in closed form, 20 s by gradients, and the maps differ by 2.5e-6 at most.

Measured with ``explain-model.py --box-list ... --method ...`` on 429 findings of 400 easy phantoms (``--size
73 --seed 77``) with CheXNet, trained at 64 px on 5,000 standard phantoms for three epochs, on two cores of an
Intel Xeon: LayerCAM at stride 8 points into a box in 0.59, Grad-CAM in 0.49, and chance is 0.15. At the last
layer, which the script does not use at this size, they point into a box in 0.12 and 0.14.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cxr14.data import augment
from cxr14.errors import InputError
from cxr14.models import closed_form_maps
from cxr14.models.closed_form_maps import CHANNELS_LAST, LEAST_CELLS
from cxr14.settings import Method

# The last module with an output of each size. In EEEA-Net-C2 and OFA-595 it is the expansion of the next
# stage, which has an activation: the outputs of their blocks have none, and their maps pointed less often.
LAYERS: dict[str, dict[int, str]] = {
    "1-EEEA-Net-C2": {8: "blocks.3.0.bn1", 16: "blocks.5.0.bn1", 32: "blocks.6"},
    "2-OFA-595": {8: "blocks.3.0.bn1", 16: "blocks.5.0.bn1", 32: "blocks.6"},
    "3-CheXNet": {8: "features.denseblock2", 16: "features.denseblock3", 32: "features.norm5"},
    "4-Visformer-small": {8: "stage1", 16: "stage2", 32: "norm"},
    "5-AutoFormerV2-base": {8: "layers.1", 16: "layers.2", 32: "norm"},
}
"""Layers of each network that heat maps can be computed at: stride in pixels of the image -> module."""


class Layer(NamedTuple):
    """A layer of a network that heat maps are computed at."""

    module: str
    """Name of the module within the network."""
    stride: int
    """Pixels of the image from one cell to the next."""
    channels_last: bool = False
    """Whether it returns (B, H, W, C) instead of (B, C, H, W)."""
    closed_form: str | None = None
    """Folder of the network whose last layer it is, where the maps have a closed form; None elsewhere."""


def layer_for(network: str, image_size: int) -> Layer:
    """Return the deepest layer with `LEAST_CELLS` cells on a side; for a smaller image, the finest layer.

    Args:
        network: folder of the network, a key of `LAYERS`.
        image_size: side of the images in pixels.

    Raises:
        InputError: the layers of the network are not known.
    """
    if network not in LAYERS:
        raise InputError(
            f"the layers of {network} are not known, so it has no heat maps; known are {', '.join(LAYERS)}. "
            "Add its layers to cxr14/explanation/heat_maps.py."
        )
    layers = LAYERS[network]
    stride = max((one for one in layers if image_size // one >= LEAST_CELLS), default=min(layers))
    is_last = stride == max(layers)
    return Layer(layers[stride], stride, network in CHANNELS_LAST, network if is_last else None)


def heat_maps(
    model: nn.Module, layer: Layer, images: Tensor, findings: Sequence[int], method: Method = "layer-cam"
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the heat map of one finding in each radiograph.

    Args:
        model: a network in eval mode, normalised images (B, 3, S, S) -> (B, F) logits.
        layer: of the network; see `layer_for`.
        images: (B, S, S) uint8.
        findings: B column numbers, the finding of each map.
        method: how cells and channels are weighted.

    Returns:
        Maps (B, S, S) float32, with minimum 0 and maximum 1, or 0 everywhere where there is no evidence for
        the finding; and the (B, F) float32 logits.
    """
    if layer.closed_form is None:
        return maps_by_gradients(model, layer, images, findings, method)
    cells, logits = all_cells(model, layer, images, method)
    return enlarge(cells[range(len(cells)), findings], images.shape[-1]), logits


@torch.inference_mode()
def all_cells(
    model: nn.Module, layer: Layer, images: Tensor, method: Method = "layer-cam"
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the heat maps of all findings at a layer with a closed form.

    Args:
        model, layer, images, method: as in `heat_maps`.

    Returns:
        Maps (B, F, C, C) float32 of C x C cells, 0 or more, and the (B, F) float32 logits.
    """
    features = model.forward_features(augment.normalise(images))
    logits, derivatives = closed_form_maps.head(model, layer.closed_form, features)
    cells = closed_form_maps.cells(features, derivatives, layer.closed_form, features.shape[2], method)
    return cells.float().cpu().numpy(), logits.float().cpu().numpy()


def enlarge(cells: np.ndarray, side: int) -> np.ndarray:
    """Return maps in the size of the radiographs, as pytorch-grad-cam scales and enlarges them.

    Args:
        cells: (M, C, C), 0 or more.
        side: S, pixels on a side.

    Returns:
        (M, S, S) float32 with minimum 0 and maximum 1, or 0 everywhere.
    """
    maps = _stretch(torch.from_numpy(cells))
    maps = functional.interpolate(maps[:, None], (side, side), mode="bilinear", align_corners=False)
    return _stretch(maps[:, 0]).numpy()


def maps_by_gradients(
    model: nn.Module, layer: Layer, images: Tensor, findings: Sequence[int], method: Method = "layer-cam"
) -> tuple[np.ndarray, np.ndarray]:
    """Compute heat maps at any layer by a backward pass; arguments and result are those of `heat_maps`."""
    # Importing it takes seconds, because it imports OpenCV and matplotlib.
    from pytorch_grad_cam import GradCAM, LayerCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    module = model.get_submodule(layer.module)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # Gradients stop at the layer: 2.5 times faster, and a fraction of the memory.
    model.requires_grad_(False)
    detach = module.register_forward_hook(lambda _module, _inputs, output: output.detach().requires_grad_())
    explainer = {"layer-cam": LayerCAM, "grad-cam": GradCAM}[method](
        model, [module], reshape_transform=_channels_first if layer.channels_last else None
    )
    try:
        with torch.enable_grad():
            maps = explainer(augment.normalise(images), [ClassifierOutputTarget(one) for one in findings])
        return maps, explainer.outputs.detach().float().cpu().numpy()
    finally:
        explainer.activations_and_grads.release()
        detach.remove()
        for parameter in trainable:
            parameter.requires_grad_()


def _stretch(maps: Tensor) -> Tensor:
    """Scale each map to 0 to 1; pytorch-grad-cam adds the same 1e-7 to the divisor."""
    maps = maps - maps.amin(dim=(1, 2), keepdim=True)
    return maps / (maps.amax(dim=(1, 2), keepdim=True) + 1e-7)


def _channels_first(tokens: Tensor) -> Tensor:
    return tokens.permute(0, 3, 1, 2)
