"""Class activation maps: a network's head applied to each cell.

Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", weight the channels by the
classifier. That holds where the classifier follows the mean over the cells directly. EEEA-Net-C2 and
OFA-595 have another convolution and an activation in between, so here the whole head is applied to each
cell instead; for the other networks both are the same.
"""

from torch import Tensor, nn

from cxr14.errors import InputError


class WithClassMaps(nn.Module):
    """A network that returns its class activation maps beside its logits, from one pass.

    Args:
        model: one of the five networks, or another with timm's ``forward_features`` and ``forward_head``.

    Raises:
        InputError: the network has no such functions.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if not (hasattr(model, "forward_features") and hasattr(model, "forward_head")):
            raise InputError(
                f"{type(model).__name__} has no forward_features and forward_head, as timm's networks have, "
                "so it has no class activation maps."
            )
        self.model = model
        # timm's word for features of (B, h, w, C) instead of (B, C, h, w).
        self.channels_last = getattr(model, "output_fmt", None) == "NHWC"

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and maps.

        Args:
            images: (B, 3, H, W) normalised.

        Returns:
            (B, 14) logits, the same as those of the network, and (B, 14, h, w) logits of each cell.
        """
        features = self.model.forward_features(images)
        if self.channels_last:
            b, h, w, c = features.shape
            cells = features.reshape(b * h * w, 1, 1, c)
        else:
            b, c, h, w = features.shape
            cells = features.permute(0, 2, 3, 1).reshape(b * h * w, c, 1, 1)
        maps = self.model.forward_head(cells).view(b, h, w, -1).permute(0, 3, 1, 2)
        return self.model.forward_head(features), maps
