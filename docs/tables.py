"""Write the tables of the pages from the committed result files, and the README's tree from the docstrings.

    python -m docs.tables

A table stands between ``<!-- table NAME -->`` and ``<!-- end -->``; the text around it stays as it is. A test
fails where a table differs from its result file.
"""

import ast
import csv
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.distillation.page import distillation_map
from cxr14.files import atomic_write
from cxr14.report import published_results
from cxr14.settings import ROOT

RESULTS = ROOT / "benchmarks" / "results"
DEMO = ROOT / "docs" / "demo.csv"

# In the order of the floors: each imports only from those before it.
_WINGS = (
    "data",
    "models",
    "runtime",
    "phantom",
    "evaluation",
    "training",
    "explanation",
    "report",
    "deployment",
)
_BESIDE_THE_WINGS = (
    "findings",
    "settings",
    "data_settings",
    "deployment_settings",
    "script",
    "path_checks",
    "errors",
    "files",
)

_TABLE = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)

# The study counted the two transformers with their 1000 ImageNet outputs. Parameters and MACs with 14, as
# their para-test scripts print them:
_WITH_14_OUTPUTS = {
    "Visformer-small": (39_461_358, 4_756_494_848),
    "AutoFormerV2-base": (70_367_528, 12_748_499_904),
}

# What the tables say, by language.
_WORDS = {
    "en": {
        "demo": ("SYNTHETIC radiographs", "parameters", "MACs at 64 px", "AUROC alone"),
        "demo, taught": ("EEEA-Net-C2 taught by it", "difference"),
        "networks": ("stage", "parameters", "MACs at 224 px", "AUROC in the study, alone"),
        "networks, taught": ("EEEA-Net-C2 taught by it",),
        "to": " to ",
    },
    "zh": {
        "demo": ("合成胸片", "参数", "64 px 时的乘加次数", "单独的 AUROC"),
        "demo, taught": ("由它教出的 EEEA-Net-C2", "差值"),
        "networks": ("阶段", "参数", "224 px 时的乘加次数", "研究中单独的 AUROC"),
        "networks, taught": ("由它教出的 EEEA-Net-C2",),
        "to": " 至 ",
    },
}


def markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(_line(cells) for cells in lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def demo(language: str) -> str:
    """Return the demonstration's networks alone and taught, with their 95 % intervals."""
    words = _WORDS[language]
    with DEMO.open(encoding="utf-8", newline="") as file:
        means = [row for row in csv.DictReader(file) if row["finding"] == "macro"]
    taught = {row["teacher"]: row for row in means if row["teacher"]}
    rows = []
    for row in (row for row in means if not row["teacher"]):
        student = taught.get(row["network"])
        rows.append(
            (
                row["network"].partition("-")[2],
                f"{int(row['parameters']):,}",
                f"{int(row['MACs']):,}",
                _interval(row, "AUROC"),
                _interval(student, "AUROC") if student else "",
                _difference(student, words["to"]) if student and student["difference value"] else "",
            )
        )
    return markdown(words["demo"] + words["demo, taught"], rows)


def networks(language: str) -> str:
    """Return the study's own table, with the parameters of 14 outputs."""
    words = _WORDS[language]
    rows = []
    for number, (name, row) in enumerate(published_results.TABLE.items(), start=1):
        parameters, macs = _WITH_14_OUTPUTS.get(name, (row.parameters, row.macs))
        alone, taught = (
            words["to"].join(f"{100 * value:.1f}" for value in values) for values in (row.alone, row.taught)
        )
        rows.append((f"{number} {name}", f"{parameters:,}", f"{macs:,}", alone, taught))
    return markdown(words["networks"] + words["networks, taught"], rows)


def tree() -> str:
    """Return a line for each module of the package: its name and the first line of its docstring."""
    package = ROOT / "cxr14"
    lines = ["```", "cxr14/", *(_line_of(package / f"{name}.py", 1) for name in _BESIDE_THE_WINGS)]
    for wing in filter(lambda wing: (package / wing).is_dir(), _WINGS):
        lines += ["", *_lines_of(package / wing, 1)]
    return "\n".join([*lines, "```", ""])


def _lines_of(folder: Path, depth: int) -> list[str]:
    lines = [_line_of(folder / "__init__.py", depth)]
    lines += [_line_of(path, depth + 1) for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    for below in sorted(path.parent for path in folder.glob("*/__init__.py")):
        lines += _lines_of(below, depth + 1)
    return lines


def _line_of(path: Path, depth: int) -> str:
    name = f"{path.parent.name}/" if path.name == "__init__.py" else path.name
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return f"{'  ' * depth + name:<29}  {docstring.splitlines()[0].removesuffix('.')}"


def loading() -> str:
    """Return what a radiograph costs until it is a batch, by the ways to read it."""
    measured = _result("loading")["one core"]
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


def scale() -> str:
    """Return what preparing and loading cost at three sizes of the set."""
    rows = []
    for row in _result("scale")["rows"]:
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


def interval_speed() -> str:
    """Return the time of the resamples, against a loop over scikit-learn."""
    result = _result("intervals")
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
    found = _result("intervals")["findings"]
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
        for row in _result("intervals")["means"]
    ]
    return markdown(("patients", "mean AUROC", "percentiles instead", "paired difference"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "demo": lambda: demo("en"),
    "demo-zh": lambda: demo("zh"),
    "networks": lambda: networks("en"),
    "networks-zh": lambda: networks("zh"),
    "tree": tree,
    "loading": loading,
    "scale": scale,
    "training": training,
    "interval-speed": interval_speed,
    "interval-coverage": lambda: interval_coverage(normal=True),
    "interval-coverage-mixture": lambda: interval_coverage(normal=False),
    "mean-coverage": mean_coverage,
    "training-ratios": training_ratios,
    "distillation-map": lambda: markdown(*distillation_map(RESULTS / "distillation")),
}
PAGES = tuple(
    ROOT / name for name in ("README.md", "README.zh-CN.md", "benchmarks/README.md", "docs/distillation.md")
)


def with_tables(text: str) -> str:
    """Return a page with every table written anew."""
    return _TABLE.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], text)


def main() -> None:
    """Write the tables into the pages."""
    for page in PAGES:
        with atomic_write(page) as part:
            part.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


def _result(name: str) -> dict:
    return json.loads((RESULTS / f"{name}-cpu.json").read_text())


def _rows(name: str, key: str) -> dict[str, dict]:
    return {row["what"]: row for row in _result(name)["rows"] if key in row}


def _interval(row: Mapping[str, str], name: str) -> str:
    value, low, high = (float(row[column]) for column in (name, f"{name} low", f"{name} high"))
    return f"{value:.3f} ({low:.3f}–{high:.3f})"


def _difference(row: Mapping[str, str], to: str) -> str:
    value, low, high = (float(row[f"difference {end}"]) for end in ("value", "low", "high"))
    return f"{value:+.3f} ({low:+.3f}{to}{high:+.3f})"


def _range(values: list[float], digits: str) -> str:
    ends = [f"{end:{digits}}" for end in (min(values), max(values))]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


if __name__ == "__main__":
    main()
