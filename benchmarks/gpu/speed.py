"""Parts that measure speed and memory, and a profile that says where the time goes."""

import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import torch
from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiled

from benchmarks.common import synchronise
from benchmarks.gpu.place import Place
from benchmarks.training import matrix_rate, network_row, ratio, usual_row
from benchmarks.turns import timed
from cxr14.evaluation import inference
from cxr14.runtime import memory, precision
from cxr14.settings import STUDENT

LARGEST_BATCH = 4096
COMPILE_MODES = ("default", "reduce-overhead")
_OPERATIONS = 12


def loop(place: Place) -> dict[str, object]:
    """Time the student's loop against its bare step, at each batch size."""
    rows = []
    for batch_size in place.batch_sizes:
        row = network_row(place.bench(batch_size), STUDENT)
        rows.append({**row, "batch size": batch_size})
    return {"goal": "loop / bare >= 0.95", "number format": _format(place), "rows": rows}


def networks(place: Place) -> dict[str, object]:
    """Time every network, and compare with a matrix product in bfloat16."""
    bench = place.bench(place.batch_sizes[0])
    peak = matrix_rate(place.device) if place.is_gpu else None
    rows = [network_row(bench, name) for name in place.networks]
    for row in rows if peak else ():
        row["share of the matrix rate"] = row["achieved TFLOP/s"] / peak
    return {"matrix TFLOP/s": peak, "batch size": place.batch_sizes[0], "rows": rows}


def usual(place: Place) -> dict[str, object]:
    """Time the loop against the study's loop with 4 workers."""
    return {"goal": "loop / usual >= 20", **usual_row(place.bench(place.batch_sizes[0]))}


def compiled(place: Place) -> dict[str, object]:
    """Time the bare step as torch.compile makes it, and the compilation."""
    bench = place.bench(place.batch_sizes[0])
    rows = []
    for mode in COMPILE_MODES if place.is_gpu else ("eager",):
        plain, other = bench.train_step(STUDENT), bench.train_step(STUDENT)
        how = {"mode": mode} if place.is_gpu else {"backend": mode}
        other.wrapped_model = torch.compile(other.model, **how)
        steps = {"bare": partial(bench.bare_step, plain), "compiled": partial(bench.bare_step, other)}
        first = timed(steps["compiled"], 1, place.device)
        rates = defaultdict(list)
        for _ in range(bench.groups_in(place.seconds, *steps.values())):
            for name, step in steps.items():
                rates[name].append(bench.group / timed(step, bench.group, place.device))
        rows.append(
            {"mode": mode, "first step, s": first, "compiled / bare": ratio(rates["compiled"], rates["bare"])}
        )
        torch._dynamo.reset()
    return {"rows": rows}


def scoring(place: Place) -> dict[str, object]:
    """Time one and ten crops of resident radiographs, for each network."""
    count = place.batch_sizes[0]
    images = place.radiographs(count).to(place.device)
    rows = []
    for name in place.networks:
        model, row = place.placed(name), {"what": name}
        for crops in (1, 10):
            with torch.inference_mode(), precision.exact_float32():
                score = partial(inference._forward, model, images, place.image_size, crops)
                timed(score, 1, place.device)
                row[f"{crops} crops, radiographs/s"] = count * 3 / timed(score, 3, place.device)
        rows.append(row)
    return {"batch size": count, "rows": rows}


def largest_batch(fits: Callable[[int], bool], most: int = LARGEST_BATCH) -> int:
    """Return the largest multiple of 8 that fits, at most `most`; 0 if not even 8 does."""
    low, high = 0, 8
    while high <= most and fits(high):
        low, high = high, 2 * high
    high = min(high, most + 8)
    while high - low > 8:
        middle = (low + high) // 16 * 8
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def memory_use(place: Place) -> dict[str, object]:
    """Measure the memory of a training step, and the largest batch that fits."""
    if not place.is_gpu:
        return {"waits for": "a GPU"}
    rows = []
    for name in place.networks:
        peaks = {}

        def fits(batch_size: int, name: str = name, peaks: dict[int, int] = peaks) -> bool:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(place.device)
            try:
                bench = place.bench(batch_size)
                bench.bare_step(bench.train_step(name))
                synchronise(place.device)
            except RuntimeError as error:
                if memory.is_out_of_memory(error):
                    return False
                raise
            peaks[batch_size] = torch.cuda.max_memory_allocated(place.device)
            return True

        largest = largest_batch(fits)
        rows.append({"what": name, "largest batch": largest, "GB by batch": _gigabytes(peaks)})
    total = torch.cuda.get_device_properties(place.device).total_memory
    return {"GB of the card": total / 1e9, "rows": rows}


def profile(place: Place) -> dict[str, object]:
    """Profile steps of the student: the longest operations, and the share of time without any on the GPU."""
    bench = place.bench(place.batch_sizes[-1])
    step = partial(bench.bare_step, bench.train_step(STUDENT))
    timed(step, 3, place.device)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if place.is_gpu else [])
    with profiled(activities=activities) as found:
        began = time.perf_counter()
        timed(step, 5, place.device)
        elapsed = time.perf_counter() - began
    key = "self_device_time_total" if place.is_gpu else "self_cpu_time_total"
    averages = sorted(found.key_averages(), key=lambda entry: getattr(entry, key), reverse=True)
    busy = sum(getattr(entry, key) for entry in averages) / 1e6
    rows = [
        {
            "operation": entry.key[:80],
            "ms a step": getattr(entry, key) / 5e3,
            "calls a step": entry.count / 5,
        }
        for entry in averages[:_OPERATIONS]
    ]
    gap = max(1 - busy / elapsed, 0.0) if place.is_gpu else None
    return {"ms a step": elapsed / 5 * 1e3, "share without a kernel": gap, "rows": rows}


PARTS: dict[str, Callable[[Place], dict[str, object]]] = {
    "loop": loop,
    "profile": profile,
    "scoring": scoring,
    "networks": networks,
    "usual": usual,
    "compiled": compiled,
    "memory": memory_use,
}


def _format(place: Place) -> str:
    return str(precision.training_dtype(place.device)).removeprefix("torch.")


def _gigabytes(peaks: dict[int, int]) -> dict[str, float]:
    return {str(size): round(peak / 1e9, 2) for size, peak in sorted(peaks.items())}
