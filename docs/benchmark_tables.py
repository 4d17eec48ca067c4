"""The tables of benchmarks/README.md on data, intervals and the page, from the benchmarks' result files."""

import json

from cxr14.settings import ROOT
from docs.markdown import markdown, value_range

RESULTS = ROOT / "benchmarks" / "results"


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
        shares = [
            value_range([row[f"{name}: contains the truth"] for row in chosen], ".3f") for name in names
        ]
        widths = [row["AUROC: mean width"] for row in chosen]
        rows.append((f"{count}", *shares, value_range(widths, ".2f")))
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


def read_result(name: str) -> dict:
    """Return the content of a benchmark's result file."""
    return json.loads((RESULTS / f"{name}-cpu.json").read_text())
