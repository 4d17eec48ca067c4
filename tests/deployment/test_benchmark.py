"""The benchmark of the deployment runs to its end and keeps what its tables need."""

import json
import subprocess
import sys

import pytest

from cxr14.settings import ROOT
from docs import benchmark_tables, deployment_tables

pytest.importorskip("pydicom")

# Tested in test_export.py and test_dicom.py, or in need of the network.
WHATEVER_TAKES_LONG = {"parity", "others", "sizes", "dicom"}


@pytest.mark.slow
def test_parts_of_the_benchmark_run_and_keep_their_result(exported, radiographs, tmp_path, monkeypatch):
    kept = tmp_path / "deployment-cpu.json"
    measured = json.loads((benchmark_tables.RESULTS / "deployment-cpu.json").read_text())
    before = {name: measured[name] for name in WHATEVER_TAKES_LONG}
    kept.write_text(json.dumps(before | {"machine": {}}))
    words = f"""
        --ckpt-path {exported / "model1.pth"} --data-dir {radiographs / "images"}
        --image-list {radiographs / "list.txt"} --files {radiographs / "images"} --folder-count 8
        --rounds 2 --runs 1 --keep-in {tmp_path} --precisions float32
        --parts speed program hostile
    """.split()
    command = [sys.executable, "-m", "benchmarks.deployment", *words]
    subprocess.run(command, cwd=ROOT, check=True)
    found = json.loads(kept.read_text())
    assert {name: found[name] for name in WHATEVER_TAKES_LONG} == before
    assert found["machine"]["device"] and str(ROOT) not in json.dumps(found)
    monkeypatch.setattr(benchmark_tables, "RESULTS", tmp_path)
    assert "PyTorch, eager" in deployment_tables.deployment_speed()
    assert "encodings of DICOM" in deployment_tables.deployment_program()
