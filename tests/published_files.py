"""Files in the published formats, filled by the parity formula instead of with the published weights."""

import functools
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from cxr14.settings import ROOT

PARITY = ROOT.parent / "shared" / "parity"

needs_parity = pytest.mark.skipif(
    not (PARITY / "published.json").is_file(), reason=f"the published keys and logits are not at {PARITY}"
)


def facts(network: str) -> dict:
    """The published keys, shapes and logits of ``3-CheXNet`` and so on."""
    return _all_facts()[network.partition("-")[2]]


def state_dict(network: str) -> dict[str, Tensor]:
    """A state dict with the keys and shapes of the published file."""
    known = facts(network)
    return {
        key: torch.from_numpy(np.asarray(_formula().tensor(key, shape, known["seed"], known["gain"])))
        for key, shape in known["keys"]
    }


def hollow_state_dict(network: str) -> dict[str, Tensor]:
    """The same keys and shapes with zeros, which take no room."""
    return {key: torch.zeros(()).expand(shape) for key, shape in facts(network)["keys"]}


def outputs(network: str) -> int:
    """How many outputs the published network has."""
    return facts(network)["keys"][-1][1][0]


def images(network: str) -> Tensor:
    """The (2, 3, 224, 224) images whose logits are known."""
    return torch.from_numpy(_formula().images(2, 224, facts(network)["seed"]))


def logits(network: str) -> Tensor:
    """The (2, 14) first logits of the published network for those images."""
    return torch.tensor(facts(network)["logits_first14"], dtype=torch.float32)


@functools.cache
def _all_facts() -> dict:
    return json.loads(Path(PARITY / "published.json").read_text())


@functools.cache
def _formula() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity_formula", PARITY / "formula.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
