"""The tables of docs/distillation.md, from the JSON files of the runs alone."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from benchmarks.distillation.stages import STUDENT, map_of_regimes


def distillation_map(results: Path) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return each network alone by regime: AUROC, gain of twice the epochs, lead over the student.

    Args:
        results: folder of the JSON files.

    Returns:
        The head of the table, and its rows; the cells of a run that has not ended are empty.
    """
    runs = {}
    for path in sorted(results.glob("*_labels_s0.json")):
        run = json.loads(path.read_text())
        regime = run["regime"]
        runs[(regime["train_count"], regime["image_size"], run["network"], regime["epochs"])] = run
    planned = {
        (run.regime.train_count, run.regime.image_size, run.network, run.regime.epochs): None
        for run in map_of_regimes()
    }
    rows = []
    for count, size, network, epochs in {**planned, **runs}:
        run = runs.get((count, size, network, epochs))
        longer = runs.get((count, size, network, 2 * epochs))
        student = runs.get((count, size, STUDENT, epochs))
        cells = (f"{count:,}", str(size), network.partition("-")[2], str(epochs))
        if run is None:
            rows.append((*cells, "", "", "", "", ""))
            continue
        gain = _mean_auroc(longer, "validation, noisy labels") - _mean_auroc(run, "validation, noisy labels")
        lead = _mean_auroc(run, "test, true labels") - _mean_auroc(student, "test, true labels")
        rows.append(
            (
                *cells,
                *(
                    f"{_mean_auroc(run, name):.3f}"
                    for name in ("validation, noisy labels", "test, noisy labels", "test, true labels")
                ),
                "" if math.isnan(gain) else f"{gain:+.3f}",
                "" if math.isnan(lead) or network == STUDENT else f"{lead:+.3f}",
            )
        )
    head = ("radiographs", "px", "network", "epochs", "validation", "test", "test, true labels")
    return (*head, "gain of twice the epochs", "lead over the student, true labels"), rows


def _mean_auroc(run: Mapping | None, name: str) -> float:
    return math.nan if run is None else run[name]["mean AUROC"]
