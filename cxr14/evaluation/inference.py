"""A trained network and radiographs -> logits, from the centre or from ten crops."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from cxr14.data import augment
from cxr14.data.loader import Batches
from cxr14.runtime import precision
from cxr14.runtime.distributed import ProcessGroup


@torch.inference_mode()
def predict(
    model: nn.Module,
    batches: Batches,
    group: ProcessGroup,
    *,
    image_size: int,
    crops: int = 1,
    note: str = "",
) -> np.ndarray:
    """Return the (N, 14) float64 logits of every radiograph, in the order of its image list, on each process.

    Of ten crops the probabilities are averaged, as the study does; returned is the logit of that mean.

    Args:
        model: maps (B, 3, H, W) normalised images to (B, 14) logits.
        batches: the radiographs in order; each process of several holds its own share.
        group: where to compute, and who else does.
        image_size: side of a crop, in pixels.
        crops: 1 for the centre, 10 for four corners and centre, each also mirrored.
        note: what the bar says.
    """
    model.eval()
    parts = []
    with tqdm(total=len(batches), unit="batch", desc=note, leave=False, disable=not group.is_main) as bar:
        for batch in batches.epoch(0):
            images, _, index = batch.to(group.device)
            with precision.exact_float32():
                logits = _forward(model, images, image_size, crops)
            parts.append((index, logits.cpu().double()))
            bar.update()
    gathered = [part for share in group.gather(parts) for part in share]
    order = torch.cat([index for index, _ in gathered])
    logits = torch.empty(len(order), gathered[0][1].shape[1], dtype=torch.float64)
    logits[order] = torch.cat([values for _, values in gathered])
    return logits.numpy()


def _forward(model: nn.Module, images: Tensor, image_size: int, crops: int) -> Tensor:
    if crops == 1:
        views = augment.centre_crop(images, image_size)[:, None]  # (B, 1, S, S)
    else:
        views = augment.ten_crops(images, image_size)  # (B, 10, S, S)
    # One crop of each radiograph at a time: all ten at once would take ten times the memory. In float32 on a
    # GPU too: bfloat16 has 8 significant bits, and radiographs that it cannot tell apart would tie in AUROC.
    logits = [model(augment.normalise(view)) for view in views.unbind(dim=1)]
    return mean_logit(torch.stack(logits, dim=1))


def mean_logit(logits: Tensor) -> Tensor:
    """Return the logit of the mean probability over dimension 1, exact where probabilities saturate.

    Args:
        logits: (B, crops, 14).
    """
    yes = functional.logsigmoid(logits).logsumexp(dim=1)
    no = functional.logsigmoid(-logits).logsumexp(dim=1)
    return yes - no
