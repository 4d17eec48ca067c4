"""Predictions count as reproduced within a tolerance, for each finding."""

import json

import numpy as np
import pytest

from cxr14.evaluation import verify as verification
from cxr14.evaluation.predictions import Predictions
from cxr14.findings import FINDINGS
from cxr14.models import zoo
from cxr14.settings import ROOT

DOUBTFUL = np.full(len(FINDINGS), 0.5)


def predictions(labels, logits):
    """Return predictions for radiographs that do not exist."""
    names = np.array([f"{row:08d}_000.png" for row in range(len(labels))])
    return Predictions(
        names=names,
        patients=names,
        labels=labels,
        probabilities=1 / (1 + np.exp(-logits)),
        logits=logits,
        split="test",
        network=zoo.NAMES[0],
        teacher=None,
        weights_hash="",
        list_fingerprint="",
    )


@pytest.fixture
def simulated():
    """60 radiographs with 14 findings, Hernia on none of them."""
    draw = np.random.default_rng(4)
    labels = (draw.random((60, len(FINDINGS))) < 0.4).astype(np.uint8)
    labels[:, -1] = 0
    return predictions(labels, draw.uniform(-5, 5, labels.shape))


def shifted(simulated, finding, shift):
    logits = simulated.logits.copy()
    logits[7, finding] += shift
    return predictions(simulated.labels, logits)


def test_equal_predictions_are_reproduced(simulated):
    table = verification.compare(simulated, simulated, DOUBTFUL, 0)
    assert list(table.index) == list(FINDINGS)
    assert table[verification.REPRODUCED].all()
    assert np.isnan(table.loc["Hernia", verification.AGAIN])


@pytest.mark.parametrize("finding", [0, 4, len(FINDINGS) - 1])
def test_one_changed_logit_is_not_reproduced(finding, simulated):
    """Also of a finding whose AUROC is undefined, and in the direction that keeps every rank."""
    simulated.logits[7, finding] = -20
    table = verification.compare(simulated, shifted(simulated, finding, -0.021), DOUBTFUL, 1e-3)
    assert list(table.index[~table[verification.REPRODUCED]]) == [FINDINGS[finding]]
    assert table.loc[FINDINGS[finding], verification.LOGIT] == pytest.approx(0.021 / 20.021)
    table = verification.compare(simulated, shifted(simulated, finding, -0.019), DOUBTFUL, 1e-3)
    assert table[verification.REPRODUCED].all()


def test_gpu_on_either_side_takes_the_gpu_tolerance():
    assert verification.tolerance_of("cpu", "cpu") == verification.CPU_TOLERANCE
    for first, again in (("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda"), (None, "cpu")):
        assert verification.tolerance_of(first, again) == verification.GPU_TOLERANCE
    assert verification.CPU_TOLERANCE < verification.GPU_TOLERANCE


def test_tolerances_are_between_the_measured_differences():
    """What may change between two tests moves logits less than the tolerances, TF32 moves them more."""
    rows = json.loads((ROOT / "benchmarks" / "results" / "tolerance-cpu.json").read_text())["rows"]
    accepted = [
        row[name] for row in rows for name in ("batches of 1", "batches of 7", "one thread", "contiguous")
    ]
    tolerances = verification.CPU_TOLERANCE, verification.GPU_TOLERANCE
    assert 10 * max(accepted) < min(tolerances)
    assert max(tolerances) < min(row["TF32"] for row in rows) / 5
