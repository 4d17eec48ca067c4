"""Logits of a network for an image list, from one or ten crops."""

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from cxr14.data import augment
from cxr14.data.geometry import read_side
from cxr14.data.image_lists import ImageList
from cxr14.data.images import ImageSource
from cxr14.data.loader import Batches
from cxr14.evaluation.predictions import Predictions
from cxr14.models.checkpoint import Checkpoint
from cxr14.models.folding import fold
from cxr14.runtime import precision
from cxr14.runtime.distributed import ProcessGroup


def predict_list(
    model: nn.Module,
    checkpoint: Checkpoint,
    image_list: ImageList,
    images: ImageSource,
    group: ProcessGroup,
    *,
    split: str,
    crops: int,
    batch_size: int,
    num_workers: int = 0,
) -> Predictions:
    """Return the predictions of a checkpoint for an image list, on each process.

    Args:
        model: the network of the checkpoint, on the device of the group.
        checkpoint: what `checkpoint.load` returned with it.
        image_list: N radiographs.
        images: where they are read from.
        group: this process and the device.
        split: "val" or "test": the role of the list.
        crops: 1 or 10, as in `predict`.
        batch_size: radiographs in one batch, over all processes.
        num_workers: processes that read radiographs.

    Raises:
        InputError: a radiograph is missing or cannot be read, or a logit is not a finite number.
    """
    about = checkpoint.about
    batches = Batches(
        image_list,
        images,
        side=read_side(about.image_size),
        batch_size=batch_size,
        num_workers=num_workers,
        rank=group.rank,
        world=group.world_size,
    )
    logits = predict(
        model,
        batches,
        group,
        image_size=about.image_size,
        crops=crops,
        note=f"{split} list, {crops} crops",
    )
    return Predictions(
        names=np.array(image_list.names),
        patients=np.array(image_list.patients),
        labels=image_list.labels,
        probabilities=expit(logits),
        logits=logits,
        split=split,
        network=about.network,
        teacher=about.teacher,
        weights_hash=checkpoint.weights_hash,
        list_fingerprint=image_list.fingerprint,
    )


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

    The probabilities of ten crops are averaged, as in the study, and the logit of the mean is returned.

    Args:
        model: maps (B, 3, H, W) normalised images to (B, 14) logits.
        batches: this process's share of the radiographs, in order.
        group: this process and the device.
        image_size: side of a crop, in pixels.
        crops: 1 for the centre, 10 for four corners and centre, each also mirrored.
        note: text of the progress bar.
    """
    model.eval()
    if group.device.type == "cpu":
        with precision.exact_float32():
            model = fold(model, image_size)
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
    # One crop of each radiograph at a time: all ten at once would take ten times the memory. Float32, because
    # bfloat16 has 8 significant bits, and different logits would become ties in AUROC.
    logits = [model(augment.normalise(view)) for view in views.unbind(dim=1)]
    return mean_logit(torch.stack(logits, dim=1))


def mean_logit(logits: Tensor) -> Tensor:
    """Return the logit of the mean probability over dimension 1, accurate where probabilities saturate.

    Args:
        logits: (B, crops, 14).
    """
    positive = functional.logsigmoid(logits).logsumexp(dim=1)
    negative = functional.logsigmoid(-logits).logsumexp(dim=1)
    return positive - negative
