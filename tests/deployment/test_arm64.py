"""The exported file on a 64-bit ARM processor, as those of a Raspberry Pi: the same logits."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr14.data.images import decode
from cxr14.deployment.card import read_card
from cxr14.deployment.export.network import DeployedNetwork
from cxr14.deployment.export.onnx_file import write_onnx
from cxr14.deployment.prediction.model import Network
from cxr14.deployment.prediction.radiographs import prepare_gray
from cxr14.deployment_settings import CARD_FILE
from cxr14.models import checkpoint

QEMU = shutil.which("qemu-aarch64-static")
LAYOUT = Path(__file__).parent / "arm64.sh"
READ = """
import platform, sys
import numpy, onnxruntime
gray, *models = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
for model in models:
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {"gray": numpy.load(gray)})
    numpy.savez(model + ".npz", machine=platform.machine(), **dict(zip(names, found)))
"""


@pytest.fixture(scope="session")
def arm64(tmp_path_factory):
    """Return the command of a Python for 64-bit ARM that has ONNX Runtime."""
    if QEMU is None:
        pytest.skip("qemu-aarch64-static is not installed: apt-get install qemu-user-static")
    if not shutil.which("dpkg-deb"):
        pytest.skip("this is no Debian, whose packages for ARM the test needs")
    folder = tmp_path_factory.mktemp("arm64")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    made = subprocess.run(
        ["bash", LAYOUT, folder], env=environment, capture_output=True, text=True, timeout=240
    )
    if made.returncode != 0:
        pytest.skip(f"Debian's packages for ARM cannot be had: {made.stderr.strip()[-200:]}")
    packages = f"PYTHONPATH={folder / 'packages'}"
    python = folder / "root" / "usr" / "bin" / "python3.11"
    yield [QEMU, "-cpu", "cortex-a72", "-L", str(folder / "root"), "-E", packages, str(python)]
    shutil.rmtree(folder)


@pytest.mark.slow
def test_answers_are_those_of_this_processor(arm64, exported, radiographs, tmp_path):
    network, loaded = checkpoint.load(exported / "model1.pth")
    deployed = DeployedNetwork(network, loaded.about.network, 224, torch.ones(14), torch.zeros(14))
    models = {precision: tmp_path / f"{precision}.onnx" for precision in ("float32", "w8")}
    for precision, model in models.items():
        write_onnx(deployed, 224, precision, model, {})
    preprocessing = read_card(exported / CARD_FILE).preprocessing
    files = sorted((radiographs / "images").iterdir())[:2]
    gray = np.stack([prepare_gray(decode(file), preprocessing) for file in files])
    np.save(tmp_path / "gray.npy", gray[:, None])
    words = ["-c", READ, tmp_path / "gray.npy", *models.values()]
    subprocess.run([*arm64, *words], check=True, capture_output=True, timeout=240)
    for model in models.values():
        ours, theirs = Network(model)(gray), np.load(f"{model}.npz")
        assert theirs["machine"] == "aarch64"
        assert np.abs(theirs["logits"] - ours.logits).max() <= 1e-4
        assert np.abs(theirs["probabilities"] - ours.probabilities).max() <= 1e-5
        hottest = ours.heat_maps.max(axis=(1, 2, 3), keepdims=True)
        assert np.abs((theirs["heat_maps"] - ours.heat_maps) / hottest).max() <= 1e-3
