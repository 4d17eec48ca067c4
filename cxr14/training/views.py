"""Views: the crops of a batch, as student and teachers see them."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Views:
    """The part of a batch that passes through the network at once."""

    images: Tensor
    """(B, 3, H, W) crops of the radiographs, normalised, blended where MIXUP says so."""
    epoch: int
    """Counted from 0."""
    rows: slice
    """Their places in the order of the epoch."""
    cut: Callable[[int], Tensor] | None = None
    """Makes the same crops and blends, (B, 3, S, S), at another size S."""
    maps: Tensor | None = None
    """(B, 14, h, w) class activation maps of the network that is trained, if its training has them."""

    def at(self, image_size: int) -> Tensor:
        """Return the views as (B, 3, S, S), the same parts of the same radiographs.

        Args:
            image_size: S, in pixels.
        """
        if self.cut is None or image_size == self.images.shape[-1]:
            return self.images
        return self.cut(image_size)
