"""The meeting of a training's processes, with a time limit."""

import os
import signal
import socket
import sys
import time
from datetime import timedelta

import torch
from torch import distributed
from torch.distributed import PrefixStore, Store

from cxr14.errors import InputError
from cxr14.processes import Place

SECONDS = 600.0
"""How long processes wait for one another at the start of a training."""

_POLL_SECONDS = 0.05
_PR_SET_PDEATHSIG = 1  # from Linux's prctl.h

# How gloo and NCCL report that another process has ended or was cut off.
_SIGNS_OF_A_LOST_PROCESS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Connection refused",
    "Broken pipe",
    "Timed out waiting",
    "remote process exited",
    "Socket closed",
)


def is_restarted() -> bool:
    """Return whether torchrun has started this process again after a failure."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def is_under_torchrun() -> bool:
    """Return whether torchrun started this process, and would start it again if it failed."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def meet(place: Place, seconds: float = SECONDS) -> Store:
    """Wait until all processes of the training have been started, and return the store that they share.

    Args:
        place: of this process; torch reads the same environment variables again.
        seconds: time limit.

    Raises:
        InputError: the first process does not answer, or some process has not come in time.
    """
    end = time.monotonic() + seconds
    try:
        store, _, _ = next(distributed.rendezvous("env://", timeout=timedelta(seconds=seconds)))
        store = PrefixStore(_prefix(), store)
        arrived = store.add("arrived", 1)
        while arrived < place.world_size:
            if time.monotonic() > end:
                raise InputError(_incomplete_message(place, seconds, arrived))
            time.sleep(_POLL_SECONDS)
            arrived = store.add("arrived", 0)
    except RuntimeError:  # DistStoreError and DistNetworkError
        raise InputError(_incomplete_message(place, seconds)) from None
    return store


def is_lost_process(error: BaseException) -> bool:
    """Return whether an error says that another process of the training has ended or cannot be reached."""
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS_OF_A_LOST_PROCESS)


def end_with_torchrun() -> None:
    """Have this process killed when the torchrun that started it dies; on Linux.

    Otherwise it would train on beside its successor, and both would write the same files.
    """
    if is_under_torchrun() and sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def share_of_store_warning() -> str | None:
    """Return a warning where torchrun would not let a machine come back, or None."""
    several_machines = int(os.environ.get("GROUP_WORLD_SIZE", "1")) > 1
    if several_machines and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        return (
            "warning: with torchrun's shared store a machine that failed cannot join again; set "
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 on every machine before torchrun."
        )
    return None


def _prefix() -> str:
    # On one machine torchrun keeps its store from attempt to attempt, and the addresses of the processes of
    # the failed one would be taken for those of this one. Machines count their attempts differently.
    one_machine = os.environ.get("GROUP_WORLD_SIZE", "1") == "1"
    return f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}" if one_machine else "attempt"


def _incomplete_message(place: Place, seconds: float, arrived: int | None = None) -> str:
    found = f"only {arrived}" if arrived else "not all"
    return (
        f"process {place.rank} on {socket.gethostname()} has waited {seconds:.0f} s, and {found} of "
        f"{place.world_size} processes have met at {place.address}: start as many on every machine as "
        "WORLD_SIZE or --nnodes says, and let them reach that address and port."
    )


def use_store(store: Store, place: Place, device: torch.device) -> None:
    """Initialise torch's process group over a store: NCCL between CUDA devices, gloo elsewhere."""
    store.set_timeout(timedelta(seconds=SECONDS))
    backend = {"backend": "nccl", "device_id": device} if device.type == "cuda" else {"backend": "gloo"}
    distributed.init_process_group(**backend, store=store, rank=place.rank, world_size=place.world_size)
