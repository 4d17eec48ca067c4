"""The tables of benchmarks/README.md, from the result files of the benchmarks."""

import json

from cxr14.settings import ROOT
from docs.markdown import markdown

RESULTS = ROOT / "benchmarks" / "results"

# NIH's train_val_list.txt has 86,524 radiographs; an eighth of its patients validate.
TRAINING_LIST = 75_700


def loading() -> str:
    """Return what a radiograph costs until it is a batch, by the ways to read it."""
    measured = read_result("loading")["one core"]
    ms = measured["ms an image"]
    rows = [
        ("usual: PIL and torchvision from 1024 px PNG", ms["usual 1024"], "ours over usual 1024", "≥ 50"),
        ("usual, from 256 px PNG", ms["usual 256"], "ours over usual 256", "≥ 5"),
        ("ours: from the packed store to a normalised float batch, contiguous", ms["ours"], None, ""),
        ("ours, channels last, as the training loop fills it", ms["ours, channels last"], None, ""),
        (
            "ours where a GPU crops and normalises: reading and drawing the crops, without the copy",
            ms["host"],
            "host work under a GPU, against usual 1024",
            "≥ 500",
        ),
    ]
    lines = [
        (what, f"{value:.3g}", f"{measured[key]:,.1f} times" if key else "", goal)
        for what, value, key, goal in rows
    ]
    return markdown(("one core", "ms a radiograph", "ratio of usual to ours", "goal"), lines)


def cold() -> str:
    """Return the speed of a random pass over a store, after it has left the cache and with PRELOAD."""
    found = read_result("cold")
    time, speed = found["us a radiograph"], found["GB/s"]
    preloads = {"after PRELOAD = memory": "reading through", "after PRELOAD = folder": "copying"}
    rows = [
        (name, f"{time[name]:.0f}", f"{speed[preloads[name]]:.2f} GB/s" if name in preloads else "")
        for name in ("cold", *preloads, "warm")
    ]
    size = f"{found['store GB']:.1f} GB, {found['radiographs']:,} radiographs"
    return markdown((f"a store of {size}", "µs a radiograph", "PRELOAD itself"), rows)


def scale() -> str:
    """Return what preparing and loading cost at three sizes of the set."""
    rows = []
    for row in read_result("scale")["rows"]:
        loader = sorted(row["loader ms an image, of the processor"])
        rows.append(
            (
                f"{row['radiographs']:,}",
                f"{row['prepare ms an image']:.2f}",
                f"{row['prepare peak MB']:.0f} MB",
                f"{loader[len(loader) // 2]:.2f} ({loader[0]:.2f} to {loader[-1]:.2f})",
                f"{row['loader peak MB']:.0f} MB",
            )
        )
    head = ("radiographs of 256 px", "prepare.py, ms each, 2 cores", "peak memory")
    return markdown((*head, "loader, ms each, 1 core: median (range)", "peak memory"), rows)


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
            f"torch.compile over eager, after {_range(first, '.0f')} s for the first step",
            _range(compiled, ".2f"),
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


def tolerance() -> str:
    """Return how far logits move with what may differ between two tests, and with TF32, by network."""
    columns = ("batches of 1", "batches of 7", "one thread", "contiguous", "TF32")
    rows = [
        (row["network"].partition("-")[2], *(f"{row[name]:.1e}" for name in columns))
        for row in read_result("tolerance")["rows"]
    ]
    return markdown(("network", *columns), rows)


def interval_speed() -> str:
    """Return the time of the resamples, against a loop over scikit-learn."""
    result = read_result("intervals")
    speed, machine = result["speed"], result["machine"]
    loop = next(value for name, value in speed.items() if "loop" in name)
    rows = [
        ("1,000 resamples of patients, 25,596 × 14 predictions", f"{speed['seconds']:.1f} s", "≤ 10 s"),
        (
            f"a loop over scikit-learn's roc_auc_score, scaled up from 20 resamples: {loop:.0f} s",
            f"{speed['times faster']:.0f} times as long",
            "≥ 20 times",
        ),
        ("largest difference between the two", f"{speed['largest gap between the two']:.1g}", "≤ 1e-12"),
    ]
    return markdown((f"{machine['cores']} cores, {machine['device']}", "measured", "goal"), rows)


def interval_coverage(normal: bool) -> str:
    """Return how often the intervals contain the truth, by the number of patients with the finding.

    Args:
        normal: whether the scores of positives are normal, or a mixture of two normals.
    """
    found = read_result("intervals")["findings"]
    names = ("AUROC", "AUROC, percentiles", "difference of AUROC", "difference of AUROC, unequal networks")
    names += ("average precision",)
    rows = []
    for count in dict.fromkeys(row["positive patients"] for row in found):
        chosen = [row for row in found if row["positive patients"] == count and row["normal"] == normal]
        shares = [_range([row[f"{name}: contains the truth"] for row in chosen], ".3f") for name in names]
        widths = [row["AUROC: mean width"] for row in chosen]
        rows.append((f"{count}", *shares, _range(widths, ".2f")))
    head = ("patients with the finding", "AUROC", "AUROC, percentiles instead", "difference, equal networks")
    return markdown((*head, "unequal networks", "average precision", "mean width for AUROC"), rows)


def mean_coverage() -> str:
    """Return how often the intervals of the mean AUROC contain the truth, by the number of patients."""
    names = ("mean AUROC", "mean AUROC, percentiles", "difference of the mean AUROC")
    rows = [
        (f"{row['patients']:,}", *(f"{row[f'{name}: contains the truth']:.3f}" for name in names))
        for row in read_result("intervals")["means"]
    ]
    return markdown(("patients", "mean AUROC", "percentiles instead", "paired difference"), rows)


def page() -> str:
    """Return size, speed and exactness of the page of an exported model."""
    measured = read_result("page")
    times, gaps = measured["ms"], measured["difference from predict.py"]

    def spread(values: dict[str, float], digits: str) -> str:
        return " / ".join(f"{values[name]:{digits}}" for name in ("least", "median", "p90"))

    rows = [
        ("size of the file", f"{measured['page, MB']:.1f} MB", "≤ 12 MB"),
        ("opening until ready, s of the clock", spread(measured["ready, s"], ".1f"), "≤ 3"),
        ("opening until ready, s of the processor", spread(measured["ready, s of the processor"], ".1f"), ""),
        ("a radiograph, ms of the clock", spread(times["a radiograph"], ".0f"), "≤ 60"),
        (
            "a radiograph, ms of the processor",
            spread(measured["a radiograph, ms of the processor"], ".0f"),
            "",
        ),
        ("its decoding alone, ms of the clock", spread(times["decoding"], ".0f"), ""),
        ("requests", f"{measured['requests besides the page']}", "0"),
        ("pixels that differ from predict.py's", f"{gaps['pixels that differ']}", "0"),
        ("largest difference of a probability", f"{gaps['probabilities']:.1e}", "≤ 1e-6"),
        ("largest difference in a heat map", f"{gaps['heat maps']:.1e}", ""),
    ]
    side = measured["their pixels along a side, at most"]
    head = f"{measured['radiographs']} radiographs of {side} px, {measured['precision']}"
    return markdown((f"{head}, {measured['browser']}", "least / median / p90", "goal"), rows)


def scoring() -> str:
    """Return what scoring takes as it is, with BatchNorm folded, and in parts."""
    rows = []
    for row in read_result("scoring")["rows"]:
        ms, times = row["ms of a core, a radiograph"], row["times as fast as before"]
        hours = row["minutes of a core for ten crops of NIH's test list, computed"]["folded"] / 60
        name = row["what"].partition("-")[2]
        both = times["folded, parts of 4"]
        cells = (ms["before"], ms["folded"])
        rows.append(
            (
                name,
                *(f"{value:.1f}" for value in cells),
                f"{times['folded']:.2f}",
                f"{both:.2f}",
                f"{hours:.1f} h",
            )
        )
    head = ("network", "ms of a core, a crop", "BatchNorm folded", "times as fast", "and in parts of 4")
    return markdown((*head, "ten crops of 25,596, one core (computed)"), rows)


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


def read_result(name: str) -> dict:
    """Return the content of a benchmark's result file."""
    return json.loads((RESULTS / f"{name}-cpu.json").read_text())


def _rows(name: str, key: str) -> dict[str, dict]:
    return {row["what"]: row for row in read_result(name)["rows"] if key in row}


def _range(values: list[float], digits: str) -> str:
    ends = [f"{end:{digits}}" for end in (min(values), max(values))]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)
