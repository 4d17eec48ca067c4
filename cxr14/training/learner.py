"""A network and what moves it, one step at a time."""

import os
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from timm.layers import convert_sync_batchnorm
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cxr14.data import augment
from cxr14.errors import InputError
from cxr14.runtime import devices
from cxr14.runtime.distributed import ProcessGroup
from cxr14.settings import LoopSettings
from cxr14.training.losses import Loss


class Learner:
    """A network with its loss, its optimiser and its learning-rate schedule.

    Args:
        model: maps normalised images to logits; on the CPU, with its initial weights.
        loss: (images, logits, labels) -> scalar.
        settings: everything a person can set.
        group: this process among those that train together.
        steps_per_epoch: batches in an epoch.

    Raises:
        InputError: BatchNorm is to be synchronised between processes that have no GPU.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, settings: LoopSettings, group: ProcessGroup, steps_per_epoch: int
    ) -> None:
        _set_backends(settings)
        self.loss, self.settings, self.group = loss, settings, group
        self._pictures: Tensor | None = None
        self.model = devices.place(model, group.device)
        if settings.sync_batchnorm and group.world_size > 1:
            self.model = _synchronised(self.model, group.device)
        self.ema = ModelEmaV3(self.model, settings.ema_decay, use_warmup=True) if settings.ema_decay else None
        self.net = torch.compile(self.model) if settings.compile else self.model
        if group.world_size > 1:
            self.net = DistributedDataParallel(self.net)
        self.optimiser = create_optimizer_v2(
            self.model,
            opt="adamw",
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=group.device.type in ("cpu", "cuda"),
        )
        steps = settings.num_epochs * steps_per_epoch
        warmup = round(min(settings.warmup_epochs * steps_per_epoch, steps / 2))
        self.schedule = CosineLRScheduler(
            self.optimiser, steps - warmup, warmup_t=warmup, warmup_prefix=True, t_in_epochs=False
        )

    @property
    def tested(self) -> nn.Module:
        """The network whose weights are validated and kept: the moving average where there is one."""
        return self.ema.module if self.ema else self.model

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return self.optimiser.param_groups[0]["lr"]

    def step(self, images: Tensor, labels: Tensor, whole: int, epoch: int, batch: int, number: int) -> Tensor:
        """Learn from one batch.

        Args:
            images: (B, R, R) uint8, this process's share of the batch, on its device.
            labels: (B, 14) float32, likewise.
            whole: radiographs in the batch over all processes.
            epoch, batch: counted from 0; with the seed they fix the crops.
            number: steps taken before this one, over all epochs.

        Returns:
            The mean loss of the share, still on the device.
        """
        settings, device = self.settings, self.group.device
        self.net.train()
        # Drawn for the whole batch: a radiograph's crop does not depend on how many processes share it.
        crops = augment.draw_crops(
            whole, images.shape[-1], settings.smallest_crop, _generator(settings.seed, epoch, batch)
        ).of(self.group.rank, self.group.world_size)
        views = augment.cut(images, crops, settings.image_size)
        parts = list(zip(views.chunk(settings.accumulate), labels.chunk(settings.accumulate), strict=True))
        total = torch.zeros((), device=device)
        for part_number, (part, part_labels) in enumerate(parts, start=1):
            waits = self.group.world_size > 1 and part_number < len(parts)
            with self.net.no_sync() if waits else nullcontext():
                pictures = augment.normalise(part, out=self._pictures_like(part))
                with devices.autocast(device):
                    logits = self.net(pictures)
                loss = self.loss(pictures, logits.float(), part_labels) * len(part)
                # The processes' gradients are averaged; the weight makes that the mean over the whole batch.
                (loss * (self.group.world_size / whole)).backward()
            total += loss.detach()
        nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip_norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.schedule.step_update(number + 1)
        if self.ema:
            self.ema.update(self.model, step=number + 1)
        return total / len(images)

    def _pictures_like(self, part: Tensor) -> Tensor:
        """Return room for (B, S, S) radiographs as (B, 3, S, S); allocated once and filled in each step."""
        if self._pictures is None or len(self._pictures) < len(part):
            self._pictures = augment.room_for(part)
        return self._pictures[: len(part)]

    def state(self) -> dict[str, Any]:
        """Return all that a step changes, in plain containers and tensors."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
            "optimiser": self.optimiser.state_dict(),
            "random": self.group.gather(_random_state()),
        }

    def restore(self, state: dict[str, Any], number: int) -> None:
        """Take up what `state` gave, `number` steps into the training.

        Raises:
            InputError: another number of processes wrote it.
        """
        if len(state["random"]) != self.group.world_size:
            raise InputError(
                f"the snapshot was written by {len(state['random'])} processes; resume it with as many."
            )
        self.model.load_state_dict(state["model"])
        if self.ema:
            self.ema.module.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.step_update(number)
        _set_random_state(state["random"][self.group.rank])


def _synchronised(model: nn.Module, device: torch.device) -> nn.Module:
    if device.type != "cuda":
        raise InputError("SYNC_BATCHNORM joins the batches of GPUs; on this device leave it False.")
    # Not torch's own conversion: it would drop the activations that timm's BatchNorm layers carry.
    return convert_sync_batchnorm(model)


def _generator(*numbers: int) -> torch.Generator:
    """Return a stream of its own for each step, so that none depends on those before it."""
    seed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed) % 2**63)


def _random_state() -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _set_random_state(state: dict[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _set_backends(settings: LoopSettings) -> None:
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for to repeat its sums
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = not settings.deterministic
    torch.use_deterministic_algorithms(settings.deterministic)
