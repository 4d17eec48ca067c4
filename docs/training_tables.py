"""The tables of benchmarks/README.md on training and scoring, from the result files of the benchmarks."""

from cxr14.report import published_results
from docs.benchmark_tables import read_result
from docs.markdown import markdown, value_range

# NIH's train_val_list.txt has 86,524 radiographs; an eighth of its patients validate.
TRAINING_LIST = 75_700


def training() -> str:
    """Return the training loop against the bare step, for each network."""
    found = _rows("training", "loop / bare") | _rows("student/training", "loop / bare")
    rows = [
        (
            name.partition("-")[2],
            f"{row['bare, images/s']:.1f}",
            f"{row['loop, images/s']:.1f}",
            f"{row['loop / bare']:.2f}",
            "≥ 0.97" if name.startswith("1-") else "",
        )
        for name, row in found.items()
    ]
    return markdown(("network", "bare step, images/s", "loop, images/s", "loop over bare", "goal"), rows)


def training_ratios() -> str:
    """Return the loop against the study's loop, distillation against its parts, and torch.compile."""
    (usual,) = _rows("student/training", "loop / usual").values()
    (distilled,) = _rows("student/training", "time of loop / parts").values()
    compiled = [row["compiled / bare"] for row in _rows("training", "compiled / bare").values()]
    first = [row["first step, s"] for row in _rows("training", "compiled / bare").values()]
    speeds = f"{usual['loop, images/s']:.1f} against {usual['usual, images/s']:.1f} images/s"
    rows = [
        (f"loop over the study's loop, EEEA-Net-C2 ({speeds})", f"{usual['loop / usual']:.1f}", "≥ 2"),
        (
            "EEEA-Net-C2 taught by CheXNet: time of a step over student's step and teacher's forward pass",
            f"{distilled['time of loop / parts']:.2f}",
            "≤ 1.05",
        ),
        (
            f"torch.compile over eager, after {value_range(first, '.0f')} s for the first step",
            value_range(compiled, ".2f"),
            "",
        ),
    ]
    return markdown(("what", "measured", "goal"), rows)


def threads() -> str:
    """Return the speed of a step with one thread and with one for each core, beside busy processes."""
    found = read_result("threads")
    speeds = {(row["busy processes"], row["threads"]): row for row in found["rows"]}
    cores = found["machine"]["cores"]
    rows = [
        (
            f"{busy}" if busy else "none",
            *(f"{speeds[busy, count]['images/s']:.1f}" for count in (cores, 1)),
            f"{max(max(speeds[busy, count]['share of other programs']) for count in (cores, 1)):.0%}",
        )
        for busy in dict.fromkeys(busy for busy, _ in speeds)
    ]
    head = ("busy processes beside it", f"{cores} threads, images/s", "1 thread, images/s")
    return markdown((*head, "of the machine taken by yet other programs, at most"), rows)


def scoring() -> str:
    """Return what scoring takes as it is, with BatchNorm folded, and in parts, and what MACs alone would."""
    floor = read_result("floor")
    macs_a_ms = floor["matrix GFLOP/s"] / floor["threads"] / 2 * 1e6  # of a core; a MAC is two operations
    rows = []
    for row in read_result("scoring")["rows"]:
        ms, times = row["ms of a core, a radiograph"], row["times as fast as before"]
        hours = row["minutes of a core for ten crops of NIH's test list, computed"]["folded"] / 60
        name = row["what"].partition("-")[2]
        both = times["folded, parts of 4"]
        arithmetic = published_results.TABLE[name].macs / macs_a_ms
        cells = (ms["before"], ms["folded"])
        rows.append(
            (
                name,
                *(f"{value:.1f}" for value in cells),
                f"{times['folded']:.2f}",
                f"{both:.2f}",
                f"{arithmetic:.1f}",
                f"{ms['before'] / arithmetic:.1f}",
                f"{hours:.1f} h",
            )
        )
    head = ("network", "ms of a core, a crop", "BatchNorm folded", "times as fast", "and in parts of 4")
    limits = ("ms of its MACs alone (computed)", "so times as fast at most")
    return markdown((*head, *limits, "ten crops of 25,596, one core (computed)"), rows)


def floor() -> str:
    """Return where the time of a training image goes, and what the machine's rates allow."""
    found = read_result("floor")
    limit = found["floor, ms of a training image"]
    rows = [
        (f"a training image, batches of {found['batch size']}", f"{found['ms of a training image']:.1f} ms")
    ]
    rows += [
        (f"of it, by the profiler: {kind}", f"{value:.1f} ms")
        for kind, value in found["ms of a training image by kind of work"].items()
    ]
    rows += [
        (f"batches of {size} instead", f"{1e3 / rate:.1f} ms")
        for size, rate in found["images/s by batch size"].items()
        if int(size) != found["batch size"]
    ]
    rows += [
        ("a matrix product", f"{found['matrix GFLOP/s']:.0f} GFLOP/s"),
        ("a copy in memory", f"{found['memory GB/s']:.1f} GB/s"),
        ("three times the network's MACs at that rate", f"{limit['arithmetic']:.1f} ms"),
        ("its feature maps at that rate", f"{limit['memory']:.1f} ms"),
        ("both after one another: the floor", f"{limit['both after one another']:.1f} ms"),
    ]
    return markdown((f"{found['network'].partition('-')[2]}, {found['threads']} threads", "measured"), rows)


def teacher_cache() -> str:
    """Return a step with five cached teachers against one on labels alone."""
    found = read_result("teacher-cache")
    (row,) = found["rows"]
    size = f"{found['settings']['image_size']} px, batches of {found['settings']['batch_size']}"
    cells = (
        f"EEEA-Net-C2, {size}",
        f"{row['labels alone, ms']:.0f}",
        f"{row['five cached teachers, ms']:.0f}",
    )
    head = ("a training step", "labels alone, ms", "five cached teachers, ms", "ratio", "goal")
    return markdown(head, [(*cells, f"{row['ratio']:.3f}", "≤ 1.05")])


def stage_hours() -> str:
    """Return the hours of each stage on two cores, computed from the measured images/s of the loop."""
    found = _rows("training", "loop / bare") | _rows("student/training", "loop / bare")
    rows = []
    for name, row in found.items():
        epoch = TRAINING_LIST / row["loop, images/s"] / 3600
        rows.append(
            (
                name.partition("-")[2],
                f"{row['loop, images/s']:.1f}",
                f"{epoch:.1f} h",
                f"{10 * epoch / 24:.1f} days",
            )
        )
    return markdown(("network", "images/s", "an epoch", "10 epochs"), rows)


def _rows(name: str, key: str) -> dict[str, dict]:
    return {row["what"]: row for row in read_result(name)["rows"] if key in row}
