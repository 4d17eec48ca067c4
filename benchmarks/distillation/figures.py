"""The figure of docs/distillation.md: validation AUROC by epoch, from the JSON files of the runs alone."""

import json
from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.distillation.page import VALIDATION
from cxr14.files import atomic_write
from cxr14.settings import STUDENT


def write(results: Path, path: Path) -> Path:
    """Draw a panel for each regime: each arm's mean over seeds, and its teachers' best epoch as a line.

    Args:
        results: folder of the JSON files.
        path: the PNG file.

    Returns:
        `path`.
    """
    runs = [json.loads(each.read_text()) for each in sorted(results.glob("*_s[0-9].json"))]
    regimes = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run["network"] == STUDENT:
            regimes[json.dumps(run["regime"])][run["arm"]].append(run)
    figure, panels = plt.subplots(1, len(regimes), figsize=(5 * len(regimes), 4), squeeze=False)
    for axes, (regime, arms) in zip(panels[0], sorted(regimes.items()), strict=True):
        teachers = {name for arm in arms.values() for run in arm for name in run["teachers"]}
        for run in (run for run in runs if run["run"] in teachers):
            name = run["network"].partition("-")[2]
            axes.axhline(run[VALIDATION]["mean AUROC"], color="0.6", linewidth=1)
            axes.annotate(f"{name} itself", (1, run[VALIDATION]["mean AUROC"]), color="0.4", fontsize=8)
        for arm, members in arms.items():
            curves = np.array([run["validation AUROC by epoch"] for run in members])
            style = "--" if arm.startswith(("labels", "control")) else "-"
            axes.plot(
                1 + np.arange(curves.shape[1]), curves.mean(axis=0), style, label=f"{arm} ({len(curves)})"
            )
        facts = json.loads(regime)
        signs, count = facts.get("difficulty", "standard"), facts["train_count"]
        axes.set_title(f"{signs} signs, {count:,} radiographs of {facts['image_size']} px", fontsize=9)
        axes.set_xlabel("epoch")
        axes.legend(fontsize=7, loc="lower right")
    panels[0][0].set_ylabel("validation AUROC, SYNTHETIC (seeds)")
    figure.tight_layout()
    with atomic_write(path) as part:
        figure.savefig(part, format="png", dpi=110)
    plt.close(figure)
    return path
