"""The tables of the deployment in benchmarks/README.md, from the result file of its benchmark."""

from collections.abc import Mapping

from docs.benchmark_tables import read_result
from docs.markdown import markdown

_EAGER = "PyTorch, eager, float32, without maps"
_PROBABILITY, _MEAN = "probabilities, largest difference", "probabilities, mean difference"
_AUROC = "AUROC, largest difference"
_MAPS, _PEAK = "heat maps, difference in 99 %", "heat maps, same hottest cell"
_NETWORK = "1-EEEA-Net-C2"


def deployment_parity() -> str:
    """Return how far each exported network's answers lie from PyTorch's."""
    result = read_result("deployment")
    exported = [
        (f"{_NETWORK}, w8", result["parity"]["w8"]),
        (f"{_NETWORK}, float32", result["parity"]["float32"]),
        *((f"{name}, float32, random weights", figures) for name, figures in result["others"].items()),
    ]
    rows = [
        (
            name,
            f"{figures['radiographs']}",
            f"{figures['MB']:.2f}",
            _number(figures[_PROBABILITY]),
            _number(figures[_MEAN]),
            _number(figures[_AUROC]),
            _number(figures.get(_MAPS)),
            f"{figures[_PEAK]:.2%}" if figures.get(_PEAK) is not None else "",
        )
        for name, figures in exported
    ]
    goals = ("goal, w8", "480", "≤ 5.5", "≤ 0.025", "≤ 0.001", "≤ 0.002", "", "≥ 97 %")
    goals_float = ("goal, float32", "", "", "≤ 1e-5", "", "", "≤ 1e-5", "")
    head = (
        "network",
        "radiographs",
        "MB",
        "probabilities, largest",
        "mean",
        "AUROC",
        "heat maps",
        "same peak",
    )
    return markdown(head, [*rows, goals, goals_float])


def deployment_speed() -> str:
    """Return what one radiograph costs on one core, by the program that computes it."""
    rows = []
    for name, row in read_result("deployment")["speed"]["rows"].items():
        change = row.get(_PROBABILITY)
        rows.append(
            (
                name,
                f"{row['p50 ms']:.1f}",
                f"{row['p90 ms']:.1f}",
                f"{row['times eager']:.2f}" if name != _EAGER else "",
                _number(change),
                _speed_goal(name),
            )
        )
    head = (
        "one radiograph, one thread",
        "p50, ms",
        "p90, ms",
        "times eager",
        "probabilities, largest",
        "goal",
    )
    return markdown(head, rows)


def deployment_limit() -> str:
    """Return how fast float32 could be on this core at most."""
    speed = read_result("deployment")["speed"]
    eager = speed["rows"][_EAGER]["processor p50 ms"]
    least = speed["EEEA-Net-C2 at that speed, ms"]
    rows = [
        (
            "a matrix product of 1024 x 1024 float32",
            f"{speed['core, float32 matrix product, GFLOP/s']:.0f} GFLOP/s",
        ),
        ("EEEA-Net-C2's 311 million multiply-accumulates at that speed", f"{least:.1f} ms"),
        ("eager PyTorch", f"{eager:.1f} ms"),
        ("so float32 is at most so many times as fast as eager", f"{eager / least:.1f}"),
    ]
    return markdown(("the limit of one core, by the processor's time", "measured"), rows)


def deployment_program() -> str:
    """Return time, memory and sizes of predict.py, and how exact and how safe its reading of DICOM is."""
    result = read_result("deployment")
    program, sizes, hostile = result["program"], result["sizes"], result["hostile"]
    encodings = result["dicom"]["rows"]
    measured = [row for row in encodings.values() if isinstance(row, Mapping)]
    exact = sum(row["grays from the source"] == 0 for row in measured)
    most = max(row["grays from the source"] for row in measured)
    against = [row["grays from dcmtk"] for row in measured if isinstance(row["grays from dcmtk"], int)]
    with_dicom = sizes["the same with [dicom]"]
    rows = [
        ("one file, started anew, median", f"{program['one file, seconds, median']:.2f} s", "≤ 0.5 s"),
        ("the same, most memory", f"{program['one file, MB']:.0f} MB", "≤ 150 MB"),
        (
            f"a folder of {program['folder, radiographs']:,} PNG of 256 px, one thread, start included",
            f"{program['folder, radiographs a second']:.0f} radiographs/s",
            "≥ 80",
        ),
        (
            "the same by the processor's time",
            f"{program['folder, radiographs a second of the processor']:.0f} radiographs/s",
            "",
        ),
        ("installed, without torch", _megabytes(sizes["requirements-predict.txt"]), "≤ 210 MB"),
        ("installed, with DICOM", _megabytes(with_dicom), "≤ 260 MB"),
        (
            f"one picture in {len(encodings)} encodings of DICOM, {len(measured)} measured",
            f"{exact} exact, the others within {most} gray",
            "exact; lossy JPEG 1",
        ),
        (f"{len(against)} of them read by dcmtk", f"within {max(against, default=0)} gray", "≤ 1"),
        (
            f"{hostile['files']} hostile files, slowest refusal",
            f"{hostile['most seconds']:.3f} s",
            "< 0.2 s",
        ),
        ("the same, memory", f"{hostile['MB by which the peak grew']:.0f} MB", "< 100 MB"),
    ]
    return markdown(("predict.py", "measured", "goal"), rows)


def _speed_goal(name: str) -> str:
    if name.startswith("ONNX Runtime") and "with maps" in name:
        return "≥ 2.5"
    return "≥ 4" if "bfloat16" in name else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def _megabytes(size: float | str) -> str:
    return size if isinstance(size, str) else f"{size:.0f} MB"
