"""A network with normalisation, calibration and heat maps, for tracing."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxr14.data import augment
from cxr14.data.geometry import MEAN, STD
from cxr14.findings import FINDINGS

CELLS = 7
"""Least cells on a side of a heat map, as in the explanations: a map of 2 x 2 cells points at nothing."""

# Swin transformers keep the channels last: (N, H, W, C).
_CHANNELS_LAST = frozenset({"5-AutoFormerV2-base"})
# A convolution and a hardswish stand between the mean of the last maps and the classifier.
_CONVOLUTION_AFTER_MEAN = frozenset({"1-EEEA-Net-C2", "2-OFA-595"})


class DeployedNetwork(nn.Module):
    """A network from gray pixels to logits, probabilities and, where they are fine enough, heat maps.

    A heat map is LayerCAM's (Jiang et al. 2021) at the last maps F: cell (i, j) of finding k is
    relu(sum over c of relu(d logit_k / d F_cij) F_cij). Behind those maps every network takes their mean, so
    all cells of a channel share one derivative, and it has a closed form: no backward pass is needed.
    """

    def __init__(
        self, model: nn.Module, network: str, image_size: int, slope: Tensor, intercept: Tensor
    ) -> None:
        """Wrap a network of the zoo in eval mode.

        Args:
            model: normalised images (N, 3, S, S) -> (N, 14) logits.
            network: its folder, one of `zoo.NAMES`.
            image_size: S, the side of its images in pixels.
            slope: (14,) what calibration multiplies the logits with.
            intercept: (14,) what calibration then adds.
        """
        super().__init__()
        self.model = model
        # All of it, or the exporter would put the network back into the wrapper's training mode at its end.
        self.eval()
        with torch.inference_mode():
            self._cells = self.model.forward_features(torch.zeros(1, 3, image_size, image_size)).shape[2]
        self.has_heat_maps = self._cells >= CELLS
        self._channels_last = network in _CHANNELS_LAST
        self._head: Callable[[Tensor], tuple[Tensor, Tensor]] = (
            self._head_with_convolution if network in _CONVOLUTION_AFTER_MEAN else self._linear_head
        )
        mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", -mean / std)
        self.register_buffer("slope", slope.float())
        self.register_buffer("intercept", intercept.float())

    @property
    def outputs(self) -> list[str]:
        """Names of what `forward` returns, in order."""
        return ["logits", "probabilities"] + ["heat_maps"] * self.has_heat_maps

    def forward(self, gray: Tensor) -> tuple[Tensor, ...]:
        """Read radiographs.

        Args:
            gray: (N, 1, S, S) uint8.

        Returns:
            (N, 14) logits, (N, 14) calibrated probabilities and, with `has_heat_maps`, the (N, 14, C, C) heat
            maps, 0 or more; all float32.
        """
        features = self.model.forward_features(gray.float() * self.scale + self.shift)
        logits, gradient = self._head(features)
        probabilities = torch.sigmoid(logits * self.slope + self.intercept)
        if not self.has_heat_maps:
            return logits, probabilities
        return logits, probabilities, self._heat_maps(features, gradient)

    def _linear_head(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the (14, C) derivatives by the mean of each channel."""
        return self.model.forward_head(features), self.model.get_classifier().weight

    def _head_with_convolution(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the (N, 14, C) derivatives by the mean of each channel."""
        model = self.model
        hidden = model.norm_head(model.conv_head(model.global_pool(features)))  # (N, H, 1, 1)
        # The derivative of the hardswish, and before it: timm's works in place.
        steepness = torch.where(hidden < -3, 0.0, torch.where(hidden <= 3, hidden / 3 + 0.5, 1.0))
        logits = model.classifier(model.flatten(model.act2(hidden)))
        by_hidden = model.classifier.weight * steepness.flatten(1)[:, None]  # (N, 14, H)
        # The transposed convolution is the derivative of the convolution, and takes the same weights, which
        # so stand in the file once.
        by_mean = functional.conv_transpose2d(by_hidden.transpose(1, 2)[..., None], model.conv_head.weight)
        return logits, by_mean.squeeze(3).transpose(1, 2)  # from (N, C, 14, 1)

    def _heat_maps(self, features: Tensor, gradient: Tensor) -> Tensor:
        if self._channels_last:
            features = features.permute(0, 3, 1, 2)
        # Numbers, not features.shape: the traced graph then has constants where it would measure shapes.
        cells = self._cells
        weights = functional.relu(gradient) / cells**2  # (N, 14, C) or (14, C)
        maps = functional.relu(weights @ features.reshape(-1, gradient.shape[-1], cells**2))
        return maps.reshape(-1, len(FINDINGS), cells, cells)


def gradient_heat_maps(model: nn.Module, network: str, gray: Tensor) -> Tensor:
    """Return LayerCAM's maps by automatic differentiation: what the closed form is compared with.

    Args:
        model: a network of the zoo in eval mode.
        network: its folder.
        gray: (N, S, S) uint8.

    Returns:
        (N, 14, C, C) float32, C being the cells along a side of the network's last maps.
    """
    with torch.inference_mode(False), torch.enable_grad():
        features = model.forward_features(augment.normalise(gray)).detach().requires_grad_()
        logits = model.forward_head(features)
        channels = 3 if network in _CHANNELS_LAST else 1
        maps = []
        for finding in range(logits.shape[1]):
            (gradient,) = torch.autograd.grad(logits[:, finding].sum(), features, retain_graph=True)
            maps.append(functional.relu((functional.relu(gradient) * features).sum(channels)))
        return torch.stack(maps, dim=1).detach()
