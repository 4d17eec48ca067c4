"""Model, optimizer and learning-rate schedule: one training step."""

from contextlib import nullcontext
from functools import partial
from itertools import chain
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
from cxr14.data.augment import Crops
from cxr14.errors import InputError
from cxr14.models.class_maps import WithClassMaps
from cxr14.runtime import devices, precision
from cxr14.runtime.distributed import ProcessGroup
from cxr14.settings import LoopSettings
from cxr14.training import mixup
from cxr14.training.losses import Loss
from cxr14.training.mixup import Blend
from cxr14.training.views import Views


class TrainStep:
    """A model with its loss, optimizer, learning-rate schedule and moving average.

    Args:
        model: maps normalised images to logits; on the CPU, with its initial weights.
        loss: (views, logits, labels) -> scalar.
        settings: settings of the training.
        group: this process and its device.
        steps_per_epoch: batches in an epoch.
        class_maps: hand the network's class activation maps to the loss, in its views.

    Raises:
        InputError: BatchNorm is to be synchronised between processes without GPUs, or the network has no
            class activation maps.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        settings: LoopSettings,
        group: ProcessGroup,
        steps_per_epoch: int,
        class_maps: bool = False,
    ) -> None:
        self.loss, self.settings, self.group = loss, settings, group
        self._input: Tensor | None = None
        self.model = devices.place(model, group.device)
        if settings.sync_batchnorm and group.world_size > 1:
            self.model = _convert_sync_batchnorm(self.model, group.device)
        self.ema = ModelEmaV3(self.model, settings.ema_decay, use_warmup=True) if settings.ema_decay else None
        self.wrapped_model = WithClassMaps(self.model) if class_maps else self.model
        if settings.compile:
            self.wrapped_model = torch.compile(self.wrapped_model)
        if group.world_size > 1:
            self.wrapped_model = DistributedDataParallel(self.wrapped_model)
        self.optimizer = create_optimizer_v2(
            self.model,
            opt="adamw",
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=group.device.type in ("cpu", "cuda"),
        )
        self.scaler = precision.grad_scaler(group.device)
        steps = settings.num_epochs * steps_per_epoch
        warmup = round(min(settings.warmup_epochs * steps_per_epoch, steps / 2))
        self.schedule = CosineLRScheduler(
            self.optimizer, steps - warmup, warmup_t=warmup, warmup_prefix=True, t_in_epochs=False
        )

    @property
    def evaluated_model(self) -> nn.Module:
        """The model that is validated and saved: the moving average if there is one."""
        return self.ema.module if self.ema else self.model

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    def __call__(
        self, images: Tensor, labels: Tensor, *, batch_size: int, epoch: int, batch: int, step: int
    ) -> Tensor:
        """Train on one batch.

        Args:
            images: (B, R, R) uint8, this process's share of the batch, on its device.
            labels: (B, 14) float32, likewise.
            batch_size: radiographs in the batch over all processes.
            epoch, batch: counted from 0; together with the seed they determine the crops.
            step: steps before this one, over all epochs.

        Returns:
            The mean loss of the share, still on the device.
        """
        settings, device = self.settings, self.group.device
        self.wrapped_model.train()
        # Drawn for the whole batch, so that the crops do not depend on the number of processes.
        crops = augment.draw_crops(
            batch_size, images.shape[-1], settings.smallest_crop, _generator(settings.seed, epoch, batch)
        ).of(self.group.rank, self.group.world_size)
        parts = [each.chunk(settings.accumulate) for each in (images, labels, crops)]
        first_row = batch * settings.batch_size + self.group.rank
        total = torch.zeros((), device=device)
        for number, (part, part_labels, part_crops) in enumerate(zip(*parts, strict=True), start=1):
            skip_sync = self.group.world_size > 1 and number < len(parts[0])
            with self.wrapped_model.no_sync() if skip_sync else nullcontext():
                blend = None
                if settings.mixup:
                    # Within the part: other processes and parts hold the rest of the batch.
                    blending = _generator(settings.seed, epoch, batch, self.group.rank, number)
                    blend = mixup.draw_blend(len(part), settings.mixup, blending)
                    part_labels = mixup.blend(part_labels, blend)
                cut = partial(_cut, part, part_crops, blend)
                inputs = cut(settings.image_size, out=self._input_for(part))
                with precision.autocast(device):
                    outputs = self.wrapped_model(inputs)
                logits, maps = outputs if isinstance(outputs, tuple) else (outputs, None)
                end_row = first_row + len(part) * self.group.world_size
                rows = slice(first_row, end_row, self.group.world_size)
                first_row = end_row
                loss = self.loss(Views(inputs, epoch, rows, cut, maps), logits.float(), part_labels) * len(
                    part
                )
                # Gradients are averaged over the processes; the factor makes that the mean over the batch.
                self.scaler.scale(loss * (self.group.world_size / batch_size)).backward()
            total += loss.detach()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.step_update(step + 1)
        if self.ema:
            self.ema.update(self.model, step=step + 1)
        return total / len(images)

    def broadcast_buffers(self) -> None:
        """Copy the buffers of the main process to all others.

        BatchNorm updates its running statistics in each process from that process's share alone. Validation
        and the saved checkpoint must use the same ones.
        """
        self.group.broadcast(chain(self.model.buffers(), self.ema.module.buffers() if self.ema else ()))

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a step changes, in plain containers and tensors."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": self.group.gather(_random_state(self.group.device)),
        }

    def load_state_dict(self, state: dict[str, Any], step: int) -> None:
        """Restore what `state_dict` returned after `step` steps of the training.

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
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler.is_enabled() and state["scaler"]:  # empty if written on a device without float16
            self.scaler.load_state_dict(state["scaler"])
        self.schedule.step_update(step)
        _set_random_state(state["random"][self.group.rank], self.group.device)

    def _input_for(self, part: Tensor) -> Tensor:
        """Return a tensor for B radiographs as (B, 3, S, S), allocated once and reused."""
        if self._input is None or len(self._input) < len(part):
            size = self.settings.image_size
            self._input = augment.room_for(part.new_empty(len(part), size, size))
        return self._input[: len(part)]


def seed_process(seed: int, rank: int) -> None:
    """Seed torch for one process, so that dropout differs between the processes of a training."""
    torch.manual_seed(_derive_seed(seed, rank))


def _cut(
    radiographs: Tensor, crops: Crops, blend: Blend | None, image_size: int, out: Tensor | None = None
) -> Tensor:
    """Return the crops of (B, R, R) radiographs, normalised and blended, as (B, 3, S, S)."""
    views = augment.normalise(augment.cut(radiographs, crops, image_size), out=out)
    return mixup.blend(views, blend) if blend else views


def _convert_sync_batchnorm(model: nn.Module, device: torch.device) -> nn.Module:
    if device.type != "cuda":
        raise InputError(
            "SYNC_BATCHNORM synchronises BatchNorm between GPUs; on this device leave it at False."
        )
    # torch's own conversion would drop the activations inside timm's BatchNorm layers.
    return convert_sync_batchnorm(model)


def _derive_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) % 2**63


def _generator(*numbers: int) -> torch.Generator:
    """Return a generator for one step, independent of the steps before it."""
    return torch.Generator().manual_seed(_derive_seed(*numbers))


def _random_state(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
