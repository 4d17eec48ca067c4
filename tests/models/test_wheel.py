"""The package installed by pip, without a clone of the repository."""

import json

import pytest
import torch

from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from tests.conftest import run_python

PROGRAM = """
import json, sys
from pathlib import Path

import timm, torch

import cxr14.models
from cxr14.models import checkpoint, zoo

hashes = {}
for name in zoo.available():
    torch.manual_seed(0)
    model = zoo.build(name, pretrained=False, image_size=64)
    path = Path(name + ".pth")
    checkpoint.save(path, model.state_dict(), checkpoint.About(network=name, image_size=64))
    loaded, read = checkpoint.load(path)
    path.unlink()
    assert loaded(torch.zeros(1, 3, 64, 64)).shape == (1, 14)
    hashes[name] = checkpoint.hash_weights(loaded.state_dict())
files = [module.__file__ for module in sys.modules.values() if module.__name__.startswith("cxr14")]
print(json.dumps({"hashes": hashes, "files": files, "versions": read.about.versions}))
timm.create_model("eeea_net_c2")
# What the extra "networks" does not name.
assert not {"pandas", "scipy", "sklearn", "thop", "matplotlib"} & sys.modules.keys()
"""


@pytest.mark.slow
def test_an_installed_package_builds_and_loads_all_five_networks(installed, tmp_path):
    done = run_python("-c", PROGRAM, cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert all(path.startswith(f"{installed}/") for path in answer["files"])
    assert answer["versions"]["revision"] == "unknown"
    assert tuple(answer["hashes"]) == zoo.NAMES
    for name in zoo.NAMES:
        torch.manual_seed(0)
        model = zoo.build(name, num_classes=len(FINDINGS), pretrained=False, image_size=64)
        assert checkpoint.hash_weights(model.state_dict()) == answer["hashes"][name]
