"""Milliseconds of one radiograph in one thread: PyTorch, ONNX Runtime and OpenVINO by turns."""

import importlib.util
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.deployment.parity import Exported, ExportSettings, read_gray
from cxr14.data import augment
from cxr14.deployment.prediction.model import Network
from cxr14.models import checkpoint

MACS = 311_335_744  # of EEEA-Net-C2 at 224 px, as its para-test script counts them
_DIFFERENT = 32  # radiographs that the contestants read in turn, and that OpenVINO's change is measured on
_WARM_UP = 10

Contestant = Callable[[np.ndarray], object]


class SpeedSettings(ExportSettings, Protocol):
    """The settings of the benchmark that this module reads."""

    rounds: int


def measure(settings: SpeedSettings, models: Mapping[str, Exported]) -> dict[str, object]:
    """Return the median and 90 % quantile of each contestant, and how many times as fast as eager it is.

    How many times is a ratio of the processor's time, which a busy machine changes less than the clock's.
    """
    gray = read_gray(settings, _DIFFERENT)
    eager = _eager(settings.ckpt_path)
    contestants: dict[str, Contestant] = {"PyTorch, eager, float32, without maps": eager}
    for precision, exported in models.items():
        network = Network(exported.path)
        contestants[f"ONNX Runtime, {precision}, with maps"] = network
        contestants[f"ONNX Runtime, {precision}, without maps"] = _without_maps(network)
    openvino = _openvino(*list(models.items())[-1])
    contestants |= openvino
    times = _take_turns(contestants, gray, settings.rounds)
    processor = {name: np.median(taken[:, 1]) for name, taken in times.items()}
    rows = {
        name: {
            "p50 ms": float(np.median(taken[:, 0])),
            "p90 ms": float(np.quantile(taken[:, 0], 0.9)),
            "processor p50 ms": float(processor[name]),
            "times eager": float(processor["PyTorch, eager, float32, without maps"] / processor[name]),
        }
        for name, taken in times.items()
    }
    for name, contestant in openvino.items():
        rows[name]["probabilities, largest difference"] = _change(contestant, eager, gray)
    gflops = _peak_gflops()
    return {
        "radiographs": len(gray),
        "rounds": settings.rounds,
        "rows": rows,
        "OpenVINO": "measured" if openvino else "not installed",
        "core, float32 matrix product, GFLOP/s": gflops,
        "EEEA-Net-C2 at that speed, ms": 2 * MACS / gflops / 1e6,
    }


def _eager(ckpt_path: Path) -> Contestant:
    model, _ = checkpoint.load(ckpt_path)

    def answer(gray: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return torch.sigmoid(model(augment.normalise(torch.from_numpy(gray)))).numpy()

    return answer


def _without_maps(network: Network) -> Contestant:
    return lambda gray: network(gray, heat_maps=False)


def _openvino(precision: str, exported: Exported) -> dict[str, Contestant]:
    """Return the same file in OpenVINO, in float32 and in bfloat16; none where it is not installed."""
    if importlib.util.find_spec("openvino") is None:
        return {}
    import openvino

    found: dict[str, Contestant] = {}
    for label, hint in (("float32", "f32"), ("bfloat16", "bf16")):
        hints = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        request = openvino.Core().compile_model(exported.path, "CPU", hints).create_infer_request()

        def answer(gray: np.ndarray, request: "openvino.InferRequest" = request) -> np.ndarray:
            return request.infer([np.ascontiguousarray(gray[:, None])])["probabilities"]

        found[f"OpenVINO, {precision} file in {label}, with maps"] = answer
    return found


def _take_turns(
    contestants: Mapping[str, Contestant], gray: np.ndarray, rounds: int
) -> dict[str, np.ndarray]:
    """Return (rounds, 2) milliseconds of each contestant: of the clock and of the processor."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for turn in tqdm(range(-_WARM_UP, rounds), desc="by turns", leave=False):
        one = gray[turn % len(gray)][None]
        for name, contestant in contestants.items():
            taken = _milliseconds(contestant, one)
            if turn >= 0:
                times[name].append(taken)
    return {name: np.array(taken) for name, taken in times.items()}


def _milliseconds(contestant: Contestant, gray: np.ndarray) -> tuple[float, float]:
    clock, processor = time.perf_counter(), time.process_time()
    contestant(gray)
    return (time.perf_counter() - clock) * 1e3, (time.process_time() - processor) * 1e3


def _change(contestant: Contestant, eager: Contestant, gray: np.ndarray) -> float:
    return float(max(np.abs(contestant(one[None]) - eager(one[None])).max() for one in gray))


def _peak_gflops() -> float:
    """Return the speed of a large matrix product: no float32 convolution of this core is much faster."""
    side = 1024
    first, second = torch.rand(side, side), torch.rand(side, side)
    best = min(_milliseconds(lambda other: first @ other, second)[1] for _ in range(50))
    return 2 * side**3 / best / 1e6
