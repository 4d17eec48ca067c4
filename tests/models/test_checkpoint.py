"""Checkpoints of this project: what is saved is read again, with its hash and its patients."""

import importlib.metadata
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxr14.data.provenance import Provenance
from cxr14.errors import InputError
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint
from tests import published_files
from tests.models.networks import SMALLEST, WRAPPINGS, about, fresh, same


def test_save_and_read_round_trip(tmp_path):
    written = about(
        teacher="3-CheXNet",
        splits={"train": "ab" * 32},
        seed=3,
        settings={"learning_rate": 1e-3, "init_checkpoint": None},
        epoch=7,
        val_auroc=np.float64(0.8),
    )
    model = fresh()
    checkpoint.save(tmp_path / "new" / "model1.pth", model.state_dict(), written)
    read = checkpoint.read(tmp_path / "new" / "model1.pth")
    assert same(read.weights, model.state_dict())
    assert read.about == written
    assert type(read.about.val_auroc) is float
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model1.pth"]


def test_a_clone_that_is_not_installed_has_no_version(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert about().versions["cxr14"] == "unknown"


def test_load_builds_the_network_at_its_image_size(tmp_path):
    model = fresh().eval()
    checkpoint.save(tmp_path / "model1.pth", model.state_dict(), about())
    loaded, found = checkpoint.load(tmp_path / "model1.pth", SMALLEST)
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(image), model(image))
    assert found.about.findings == FINDINGS
    assert not loaded.training


def test_the_storage_of_a_view_is_not_written(tmp_path):
    checkpoint.save(tmp_path / "a.pth", {"weight": torch.zeros(1_000_000)[:1]}, about())
    assert (tmp_path / "a.pth").stat().st_size < 10_000


def test_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model1.pth"
    checkpoint.save(path, {"weight": torch.zeros(1)}, about())

    def interrupt(content: object, file: BinaryIO) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, {"weight": torch.ones(1)}, about())
    assert checkpoint.read(path).weights["weight"] == 0
    assert list(tmp_path.iterdir()) == [path]


def test_another_network_raises_input_error(tmp_path):
    checkpoint.save(tmp_path / "model1.pth", fresh().state_dict(), about())
    with pytest.raises(InputError, match=r"model1\.pth holds 1-EEEA-Net-C2, but this stage is 3-CheXNet"):
        checkpoint.load(tmp_path / "model1.pth", "3-CheXNet")


def test_other_findings_raise_input_error(tmp_path):
    checkpoint.save(tmp_path / "model1.pth", fresh().state_dict(), about(findings=FINDINGS[::-1]))
    with pytest.raises(InputError, match="other findings: Hernia"):
        checkpoint.load(tmp_path / "model1.pth")


def test_another_format_version_raises_input_error(tmp_path):
    checkpoint.save(tmp_path / "model1.pth", fresh().state_dict(), about())
    content = torch.load(tmp_path / "model1.pth", weights_only=True)
    torch.save(content | {"cxr14_format": 99}, tmp_path / "model1.pth")
    with pytest.raises(InputError, match="format 99, but this version of the program reads format 2"):
        checkpoint.read(tmp_path / "model1.pth")


def without(name: str) -> Callable[[dict], object]:
    return lambda content: content.pop(name)


def with_about(**values: object) -> Callable[[dict], object]:
    return lambda content: content["about"].update(values)


def with_provenance(**values: object) -> Callable[[dict], object]:
    return lambda content: content["provenance"].update(values)


@pytest.mark.parametrize(
    "change",
    [
        without("about"),
        without("provenance"),
        without("weights"),
        lambda content: content.update(about="text"),
        lambda content: content["about"].pop("network"),
        with_about(invented=1),
        with_about(network=3),
        with_about(image_size="64"),
        with_about(image_size=None),
        with_about(findings=5),
        with_about(findings=["Hernia", 2]),
        with_about(splits=["train"]),
        with_about(splits={"train": "ab", "val": 1}),
        with_about(val_auroc="high"),
        with_about(teacher=["3-CheXNet"]),
        lambda content: content.update(provenance=None),
        with_provenance(train=[1, 2]),
        with_provenance(train=torch.zeros(3)),
        with_provenance(val=torch.zeros(3, 1, dtype=torch.int64)),
        with_provenance(unknown="model.pth.tar"),
        with_provenance(unknown=["model.pth.tar", 1]),
    ],
)
def test_metadata_of_the_wrong_type_raises_input_error(tmp_path, change):
    path = tmp_path / "model1.pth"
    checkpoint.save(path, {"weight": torch.zeros(1)}, about())
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    with pytest.raises(InputError, match=r"model1\.pth is not a valid checkpoint of format 2 \("):
        checkpoint.load(path)


def test_reading_never_changes_a_file(tmp_path):
    ours, theirs = tmp_path / "model1.pth", tmp_path / "published.pth"
    checkpoint.save(ours, fresh().state_dict(), about())
    torch.save(fresh().state_dict(), theirs)
    for path in (ours, theirs):
        before = path.read_bytes(), path.stat().st_mtime_ns
        checkpoint.load(path, SMALLEST)
        checkpoint.load_weights(fresh(), path)
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert sorted(tmp_path.iterdir()) == [ours, theirs]


# The hash of the weights


def small_weights() -> dict[str, Tensor]:
    return {"a.weight": torch.arange(12.0).reshape(3, 4), "b": torch.tensor(2), "c": torch.ones(3).bfloat16()}


def test_hash_is_independent_of_order_and_memory_layout():
    weights = small_weights()
    expected = checkpoint.hash_weights(weights)
    transposed = weights["a.weight"].t().contiguous().t()
    assert not transposed.is_contiguous()
    assert checkpoint.hash_weights(weights | {"a.weight": transposed}) == expected
    assert checkpoint.hash_weights(dict(reversed(weights.items()))) == expected
    assert checkpoint.hash_weights(weights | {"a.weight": nn.Parameter(weights["a.weight"])}) == expected


def test_hash_depends_on_bit_type_shape_and_name():
    weights = small_weights()
    one_bit = weights["a.weight"].clone()
    one_bit.view(torch.int32)[1, 2] ^= 1
    variants = [
        weights,
        weights | {"a.weight": one_bit},
        weights | {"a.weight": weights["a.weight"].view(torch.int32)},
        weights | {"a.weight": weights["a.weight"].reshape(4, 3)},
        weights | {"b": torch.tensor([2])},
        weights | {"b": weights["c"], "c": weights["b"]},
        weights | {"d": torch.empty(0)},
        {"a.weights": weights["a.weight"], "b": weights["b"], "c": weights["c"]},
    ]
    assert len({checkpoint.hash_weights(variant) for variant in variants}) == len(variants)


def test_hash_survives_save_and_load(tmp_path):
    model = fresh()
    checkpoint.save(tmp_path / "model1.pth", model.state_dict(), about())
    loaded, found = checkpoint.load(tmp_path / "model1.pth")
    expected = checkpoint.hash_weights(model.state_dict())
    assert found.weights_hash == expected
    assert checkpoint.hash_weights(loaded.state_dict()) == expected
    channels_last = loaded.to(memory_format=torch.channels_last)
    assert checkpoint.hash_weights(channels_last.state_dict()) == expected


# Provenance


def test_provenance_survives_save_and_load(tmp_path):
    largest = np.iinfo(np.uint64).max
    train = np.array([0, 7, 2**63, largest], dtype=np.uint64)
    provenance = Provenance(train, np.array([5], dtype=np.uint64), ("model.pth.tar",))
    checkpoint.save(tmp_path / "model1.pth", fresh().state_dict(), about(), provenance)
    for read in (
        checkpoint.read(tmp_path / "model1.pth").provenance,
        checkpoint.load(tmp_path / "model1.pth")[1].provenance,
        checkpoint.load_weights(fresh(), tmp_path / "model1.pth"),
    ):
        assert read.train.dtype == read.val.dtype == np.uint64
        assert read.train.tolist() == [0, 7, 2**63, largest]
        assert read.val.tolist() == [5]
        assert read.unknown == ("model.pth.tar",)


@pytest.mark.parametrize("wrapping", ["bare", "DataParallel"])
def test_published_file_with_14_outputs_has_unknown_patients(tmp_path, wrapping):
    torch.save(WRAPPINGS[wrapping](fresh().state_dict()), tmp_path / "model.pth.tar")
    _, found = checkpoint.load(tmp_path / "model.pth.tar", SMALLEST)
    assert found.provenance.unknown == ("model.pth.tar",)
    assert not found.ours
    assert checkpoint.load_weights(fresh(), tmp_path / "model.pth.tar").unknown == ("model.pth.tar",)


def test_published_chexnet_has_unknown_patients(tmp_path):
    torch.save({"state_dict": published_files.state_dict("3-CheXNet")}, tmp_path / "model.pth.tar")
    assert checkpoint.load_weights(fresh("3-CheXNet"), tmp_path / "model.pth.tar").unknown


@pytest.mark.parametrize(("outputs", "is_known"), [(1000, True), (21843, True), (15, False), (2, False)])
def test_only_a_file_with_imagenet_outputs_has_known_provenance(tmp_path, outputs, is_known):
    torch.save(fresh(outputs=outputs).state_dict(), tmp_path / "published.pth")
    provenance = checkpoint.load_weights(fresh(), tmp_path / "published.pth")
    assert provenance.unknown == (() if is_known else ("published.pth",))
    assert provenance.train.size == provenance.val.size == 0


def test_network_outside_timm_loads_with_its_own_names(tmp_path):
    def network(outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, outputs))

    for outputs, unknown in ((1000, ()), (14, ("own.pth",))):
        published = network(outputs).state_dict()
        torch.save(published, tmp_path / "own.pth")
        model = network(14)
        assert checkpoint.load_weights(model, tmp_path / "own.pth").unknown == unknown
        assert torch.equal(model[0].weight, published["0.weight"])
        assert torch.equal(model[3].weight, published["3.weight"]) == (outputs == 14)
