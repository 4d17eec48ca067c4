"""The table of the GPU benchmark, from its result files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_WAITS = "waits for a GPU"
_NOT_RUN = "not run yet"
HEAD = ("what", "measured", "goal")


def gpu_table(results: Path) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows: a column of figures for each card, or the goals that wait for one.

    Args:
        results: folder of ``gpu-*.json``; results of a CPU are no measurements.
    """
    found = [json.loads(path.read_text()) for path in sorted(results.glob("gpu-*.json"))]
    cards = [one for one in found if one["measured"]]
    if not cards:
        return HEAD, [(what, _WAITS, goal) for what, goal in _GOALS]
    columns = [_figures(card["parts"]) for card in cards]
    goals = dict(_GOALS)
    names = dict.fromkeys([*goals, *(name for column in columns for name in column)])
    head = ("what", *(card["machine"]["device"] for card in cards), "goal")
    return head, [
        (name, *(column.get(name, _NOT_RUN) for column in columns), goals.get(name, "")) for name in names
    ]


_GOALS = (
    ("results that agree with the CPU's", "all"),
    ("loop over bare step, EEEA-Net-C2, batch 64", "≥ 0.95"),
    ("loop over bare step, EEEA-Net-C2, batch 256", "≥ 0.95"),
    ("loop over bare step, EEEA-Net-C2, batch 512", "≥ 0.95"),
    ("loop over the study's loop with 4 workers", "≥ 20"),
)


def _figures(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    rows = {}
    judged = {name: part["passed"] for name, part in parts.items() if "passed" in part}
    if judged:
        failed = [name for name, passed in judged.items() if not passed]
        rows["results that agree with the CPU's"] = (
            f"all but {', '.join(failed)}" if failed else f"{', '.join(judged)}: all"
        )
    for row in parts.get("loop", {}).get("rows", ()):
        name = f"loop over bare step, EEEA-Net-C2, batch {row['batch size']}"
        rows[name] = f"{row['loop / bare']:.2f} ({row['loop, images/s']:,.0f} images/s)"
    if "usual" in parts:
        rows["loop over the study's loop with 4 workers"] = f"{parts['usual']['loop / usual']:.1f}"
    for row in parts.get("networks", {}).get("rows", ()):
        share = row.get("share of the matrix rate")
        rows[f"{_short(row['what'])}, training, images/s"] = f"{row['loop, images/s']:,.0f}" + (
            f" ({share:.0%} of the matrix rate)" if share is not None else ""
        )
    for row in parts.get("scoring", {}).get("rows", ()):
        rows[f"{_short(row['what'])}, ten crops, radiographs/s"] = f"{row['10 crops, radiographs/s']:,.0f}"
    for row in parts.get("memory", {}).get("rows", ()):
        rows[f"{_short(row['what'])}, largest batch"] = f"{row['largest batch']}"
    for row in parts.get("compiled", {}).get("rows", ()):
        rows[f"torch.compile, {row['mode']}, over eager"] = (
            f"{row['compiled / bare']:.2f}, after {row['first step, s']:.0f} s"
        )
    return rows


def _short(network: str) -> str:
    return network.partition("-")[2]
