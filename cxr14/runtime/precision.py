"""Number formats: mixed precision for training, float32 for scoring."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

_FIRST_WITH_TENSOR_CORES = (7, 0)  # CUDA compute capability of the V100; older GPUs gain nothing from float16


def training_dtype(device: torch.device) -> torch.dtype:
    """Return the type of a training's forward pass.

    That is bfloat16 on a GPU that computes in it, float16 on an older GPU with tensor cores (V100, T4), and
    float32 elsewhere.
    """
    if device.type != "cuda":
        return torch.float32
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    has_tensor_cores = torch.cuda.get_device_capability(device) >= _FIRST_WITH_TENSOR_CORES
    return torch.float16 if has_tensor_cores else torch.float32


def autocast(device: torch.device) -> AbstractContextManager:
    """Return the context of a training's forward pass, in `training_dtype`."""
    dtype = training_dtype(device)
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def grad_scaler(device: torch.device) -> torch.amp.GradScaler:
    """Return the loss scaler of a training: active with float16, whose smallest gradients would become 0."""
    return torch.amp.GradScaler(device.type, enabled=training_dtype(device) == torch.float16)


def configure_training(deterministic: bool) -> None:
    """Allow TF32 in matrix products, and choose between fast and repeatable algorithms.

    Args:
        deterministic: use only algorithms that give the same numbers each time.
    """
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by cuBLAS for repeatable sums
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = not deterministic
    torch.use_deterministic_algorithms(deterministic)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute in float32 within the block, without TF32, and restore the settings afterwards.

    TF32 has 11 significant bits: logits of other algorithms would differ in the fourth digit, and an AUROC
    could not be reproduced.
    """
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution
