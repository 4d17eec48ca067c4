"""A network with normalisation, calibration and heat maps, for tracing."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxr14.data import augment
from cxr14.data.geometry import MEAN, STD
from cxr14.models import closed_form_maps


class DeployedNetwork(nn.Module):
    """A network from gray pixels to logits, probabilities and, where the closed form holds, heat maps.

    The heat maps are LayerCAM's at the network's last feature maps, see `cxr14.models.closed_form_maps`. A
    network of a user's own has none, and none has an image whose last maps are too coarse.
    """

    def __init__(
        self, model: nn.Module, network: str, image_size: int, slope: Tensor, intercept: Tensor
    ) -> None:
        """Wrap a network of the zoo in eval mode.

        Args:
            model: normalised images (N, 3, S, S) -> (N, 14) logits.
            network: its folder.
            image_size: S, the side of its images in pixels.
            slope: (14,) what calibration multiplies the logits with.
            intercept: (14,) what calibration then adds.
        """
        super().__init__()
        self.model = model
        # All of it, or the exporter would put the network back into the wrapper's training mode at its end.
        self.eval()
        self._network, self._side = network, 0
        if network in closed_form_maps.HEADS:
            with torch.inference_mode():
                features = self.model.forward_features(torch.zeros(1, 3, image_size, image_size))
            self._side = features.shape[2]
        self.has_heat_maps = self._side >= closed_form_maps.LEAST_CELLS
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
        images = gray.float() * self.scale + self.shift
        if not self.has_heat_maps:
            logits = self.model(images)
            return logits, torch.sigmoid(logits * self.slope + self.intercept)
        features = self.model.forward_features(images)
        logits, derivatives = closed_form_maps.head(self.model, self._network, features)
        probabilities = torch.sigmoid(logits * self.slope + self.intercept)
        maps = closed_form_maps.cells(features, derivatives, self._network, self._side)
        return logits, probabilities, maps


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
        channels = 3 if network in closed_form_maps.CHANNELS_LAST else 1
        maps = []
        for finding in range(logits.shape[1]):
            (gradient,) = torch.autograd.grad(logits[:, finding].sum(), features, retain_graph=True)
            maps.append(functional.relu((functional.relu(gradient) * features).sum(channels)))
        return torch.stack(maps, dim=1).detach()
