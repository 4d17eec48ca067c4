"""Each benchmark runs to its end and keeps a result; what it measures is looked at where it runs for real."""

import json
import subprocess
import sys

import pytest

from cxr14.settings import ROOT

SMALLEST = {
    "cold": "--count 256 --batches 2 --rounds 1",
    "floor": "--image-size 64 --batch-size 2 --other-batch-sizes 1 --steps 1",
    "loading": "--rounds 2 --prepared 48",
    "scoring": "--networks 1-EEEA-Net-C2 --image-size 64 --batch-size 2 --rounds 1",
    "scale": "--counts 50",
    "training": "--networks 1-EEEA-Net-C2 --image-size 64 --batch-size 2 --files 16 --seconds 1"
    " --turns 1 --no-compiled",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_runs_and_keeps_its_result(name, tmp_path):
    subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *SMALLEST[name].split(), "--keep-in", tmp_path],
        cwd=ROOT,
        check=True,
    )
    kept = json.loads((tmp_path / f"{name}-cpu.json").read_text())
    assert kept["machine"]["device"]
    assert str(ROOT) not in json.dumps(kept)
