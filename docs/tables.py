"""Write the tables of the pages from the committed result files, and the README's tree from the docstrings.

    python -m docs.tables

A table stands between ``<!-- table NAME -->`` and ``<!-- end -->``; the text around it stays as it is. A test
fails where a table differs from its result file.
"""

import csv
import re
from collections.abc import Callable, Mapping

from benchmarks.distillation.page import (
    distillation_arms,
    distillation_finalists,
    distillation_map,
    distillation_rule,
    distillation_seeds,
    distillation_several,
)
from benchmarks.distillation.stages import map_of_regimes
from benchmarks.gpu.page import gpu_table
from cxr14.files import atomic_write
from cxr14.report import published_results
from cxr14.settings import ROOT
from docs import benchmark_tables, deployment_tables, training_tables
from docs.benchmark_tables import RESULTS
from docs.markdown import difference, markdown
from docs.tree import tree

DEMO = ROOT / "docs" / "demo.csv"
EXPERIMENT, EXPERIMENT_ON_H100 = RESULTS / "distillation", RESULTS / "distillation-h100"

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
        "finalists": (
            "SYNTHETIC radiographs",
            "rate / that of the student alone",
            "epochs",
            "seeds",
            "minus the student alone",
            "minus its teacher",
        ),
        "to": " to ",
    },
    "zh": {
        "demo": ("合成胸片", "参数", "64 px 时的乘加次数", "单独的 AUROC"),
        "demo, taught": ("由它教出的 EEEA-Net-C2", "差值"),
        "networks": ("阶段", "参数", "224 px 时的乘加次数", "研究中单独的 AUROC"),
        "networks, taught": ("由它教出的 EEEA-Net-C2",),
        "finalists": (
            "合成胸片",
            "学习率 / 单独训练的学生的学习率",
            "训练轮数",
            "随机种子数",
            "减去单独训练的学生",
            "减去教师",
        ),
        "to": " 至 ",
    },
}


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


def finalists(language: str) -> str:
    """Return what the best ways of teaching add to the student alone, in the mean AUROC on true labels."""
    words = _WORDS[language]
    return markdown(words["finalists"], distillation_finalists(EXPERIMENT, words["to"]))


TABLES: Mapping[str, Callable[[], str]] = {
    "demo": lambda: demo("en"),
    "demo-zh": lambda: demo("zh"),
    "networks": lambda: networks("en"),
    "networks-zh": lambda: networks("zh"),
    "finalists": lambda: finalists("en"),
    "finalists-zh": lambda: finalists("zh"),
    "tree": tree,
    "loading": benchmark_tables.loading,
    "scale": benchmark_tables.scale,
    "training": training_tables.training,
    "training-ratios": training_tables.training_ratios,
    "cold": benchmark_tables.cold,
    "scoring": training_tables.scoring,
    "floor": training_tables.floor,
    "teacher-cache": training_tables.teacher_cache,
    "stage-hours": training_tables.stage_hours,
    "gpu": lambda: markdown(*gpu_table(RESULTS)),
    "threads": training_tables.threads,
    "tolerance": benchmark_tables.tolerance,
    "interval-speed": benchmark_tables.interval_speed,
    "interval-coverage": lambda: benchmark_tables.interval_coverage(normal=True),
    "interval-coverage-mixture": lambda: benchmark_tables.interval_coverage(normal=False),
    "page": benchmark_tables.page,
    "mean-coverage": benchmark_tables.mean_coverage,
    "deployment-parity": deployment_tables.deployment_parity,
    "deployment-speed": deployment_tables.deployment_speed,
    "deployment-limit": deployment_tables.deployment_limit,
    "deployment-program": deployment_tables.deployment_program,
    "distillation-map": lambda: markdown(*distillation_map(EXPERIMENT, map_of_regimes("cores"))),
    "distillation-arms": lambda: markdown(*distillation_arms(EXPERIMENT)),
    "distillation-seeds": lambda: markdown(*distillation_seeds(EXPERIMENT)),
    "distillation-several": lambda: markdown(*distillation_several(EXPERIMENT)),
    "distillation-rule": lambda: markdown(*distillation_rule(EXPERIMENT)),
    "distillation-h100-map": lambda: markdown(*distillation_map(EXPERIMENT_ON_H100)),
    "distillation-h100-arms": lambda: markdown(*distillation_arms(EXPERIMENT_ON_H100)),
}
PAGES = tuple(
    ROOT / name
    for name in (
        "README.md",
        "README.zh-CN.md",
        "benchmarks/README.md",
        "docs/distillation.md",
        "docs/elsewhere.md",
    )
)


def with_tables(text: str) -> str:
    """Return a page with every table written anew."""
    return _TABLE.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], text)


def main() -> None:
    """Write the tables into the pages."""
    for page in PAGES:
        with atomic_write(page) as part:
            part.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


def _interval(row: Mapping[str, str], name: str) -> str:
    value, low, high = (float(row[column]) for column in (name, f"{name} low", f"{name} high"))
    return f"{value:.3f} ({low:.3f}–{high:.3f})"


def _difference(row: Mapping[str, str], to: str) -> str:
    return difference(*(float(row[f"difference {end}"]) for end in ("value", "low", "high")), to)


if __name__ == "__main__":
    main()
