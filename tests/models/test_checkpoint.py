"""Checkpoints: our format, published formats, and an error for each file that does not fit."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxr14.data.provenance import Provenance
from cxr14.errors import InputError
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from tests import published_files

SMALLEST = "1-EEEA-Net-C2"


def about(**changes: object) -> checkpoint.About:
    return checkpoint.About(**{"network": SMALLEST, "image_size": 64} | changes)


def fresh(name: str = SMALLEST, outputs: int = 14, image_size: int = 64, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return zoo.build(name, outputs, pretrained=False, image_size=image_size)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)


WRAPPINGS = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {}}},
    "model": lambda state: {"model": state, "config": None},
    "DataParallel": lambda state: {"state_dict": {f"module.{key}": state[key] for key in state}},
}


# Our own format


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


# Files that cannot be read


class TouchesFile:
    """Its pickle calls a function that creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


class RunsCommand:
    """Its pickle calls os.system, whose module torch blocks by name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


def save_legacy(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_pickle(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize("code", [TouchesFile, RunsCommand])
@pytest.mark.parametrize("write", [torch.save, save_legacy, save_pickle])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_with_code_is_called_dangerous_and_not_run(tmp_path, write, code):
    path, mark = tmp_path / "model.pth", tmp_path / "ran"
    write({"state_dict": {"a": code(mark)}}, path)
    for reader in (checkpoint.read, checkpoint.load, lambda path: checkpoint.load_weights(fresh(), path)):
        with pytest.raises(InputError, match=r"model\.pth is dangerous"):
            reader(path)
    assert not mark.exists()
    with path.open("rb") as file:  # the code itself works
        pickle.load(file) if write is save_pickle else torch.load(file, weights_only=False)
    assert mark.exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*TorchScript archive")
def test_a_whole_module_and_torchscript_are_called_dangerous(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "script.pt")
    for name in ("module.pth", "script.pt"):
        with pytest.raises(InputError, match=f"{name} is dangerous"):
            checkpoint.read(tmp_path / name)


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
def test_broken_bytes_raise_input_error_that_says_corrupt(tmp_path, name):
    checkpoint.save(tmp_path / "whole.pth", fresh().state_dict(), about())
    whole = (tmp_path / "whole.pth").read_bytes()
    for content in (b"", b"hello", whole[:10_000], whole[:-100]):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="truncated or corrupt"):
            checkpoint.load(tmp_path / name, SMALLEST)


def test_missing_file_raises_input_error(tmp_path):
    with pytest.raises(InputError, match=r"there is no checkpoint .*nowhere\.pth"):
        checkpoint.load(tmp_path / "nowhere.pth", SMALLEST)


@pytest.mark.parametrize(
    "content", [[torch.zeros(1)], {}, {"state_dict": {"a": 1}}, {"epoch": 3}, {1: torch.zeros(1)}]
)
def test_a_file_without_a_state_dict_raises_input_error(tmp_path, content):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(InputError, match="holds no state dict"):
        checkpoint.load_weights(fresh(), tmp_path / "model.pth")


# Files of others


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_known_wrappings_are_opened(tmp_path, wrapping, zipped):
    model = fresh(seed=1)
    wrapped = WRAPPINGS[wrapping](model.state_dict())
    torch.save(wrapped, tmp_path / "model.pth.tar", _use_new_zipfile_serialization=zipped)
    other = fresh(seed=2)
    checkpoint.load_weights(other, tmp_path / "model.pth.tar")
    assert same(other.state_dict(), model.state_dict())


@pytest.mark.parametrize(
    ("name", "wrapping"), [("3-CheXNet", "state_dict"), *((SMALLEST, wrapping) for wrapping in WRAPPINGS)]
)
def test_wrapped_published_names_are_translated(tmp_path, name, wrapping):
    published = published_files.state_dict(name)
    torch.save(WRAPPINGS[wrapping](published), tmp_path / "model.pth")
    model = fresh(name, published_files.outputs(name))
    checkpoint.load_weights(model, tmp_path / "model.pth")
    # The last tensor, which a misplaced block would shift, and the sum over all.
    weights = list(published.values())
    assert torch.equal(model.get_classifier().weight, weights[-2])
    assert sum(weight.double().sum() for weight in weights).item() == pytest.approx(
        sum(w.double().sum() for k, w in model.state_dict().items() if k in stored(name, model)).item()
    )


def stored(name: str, model: nn.Module) -> list[str]:
    """Keys that the published file has too: those from before PyTorch 0.4.1 hold no BatchNorm counter."""
    return [key for key in model.state_dict() if name == SMALLEST or not key.endswith("num_batches_tracked")]


def test_other_outputs_leave_the_classifier_unchanged(tmp_path, capsys):
    big = fresh(outputs=1000, seed=1)
    torch.save(big.state_dict(), tmp_path / "imagenet.pth")
    model = fresh(seed=2)
    classifier = model.classifier.weight.clone()
    checkpoint.load_weights(model, tmp_path / "imagenet.pth")
    assert torch.equal(model.classifier.weight, classifier)
    assert torch.equal(model.conv_head.weight, big.conv_head.weight)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("has 1000 outputs, this network 14: all but the classifier is loaded.")


def test_load_needs_a_published_file_with_14_outputs(tmp_path):
    torch.save(fresh(seed=1).state_dict(), tmp_path / "whole.pth")
    torch.save(fresh(outputs=1000).state_dict(), tmp_path / "imagenet.pth")
    model, found = checkpoint.load(tmp_path / "whole.pth", SMALLEST)
    assert same(model.state_dict(), fresh(seed=1).state_dict())
    assert (found.about.network, found.about.image_size) == (SMALLEST, 224)
    with pytest.raises(InputError, match="has 1000 outputs, but 14 are expected"):
        checkpoint.load(tmp_path / "imagenet.pth", SMALLEST)
    with pytest.raises(InputError, match="does not say which network"):
        checkpoint.load(tmp_path / "whole.pth")
    with pytest.raises(InputError, match="does not say which network"):
        checkpoint.read(tmp_path / "whole.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("conv_head.weight"), r"1 tensors missing \(conv_head\.weight\)"),
        (lambda state: state.update(more=torch.zeros(1)), r"1 tensors unknown \(more\)"),
        (
            lambda state: state.update({"bn1.weight": torch.zeros(3)}),
            r"1 tensors of another shape \(bn1\.weight \(3,\) for \(16,\)\)",
        ),
        (lambda state: state.pop("classifier.bias"), r"1 tensors missing \(classifier\.bias\)"),
        (
            lambda state: state.update({"classifier.weight": torch.zeros(14, 7)}),
            r"classifier\.weight \(14, 7\)",
        ),
        (
            lambda state: state.update({"classifier.bias": torch.zeros(13)}),
            r"another shape .*classifier\.bias",
        ),
    ],
)
def test_mismatched_tensors_are_listed_and_nothing_is_loaded(tmp_path, change, message):
    state = dict(fresh(seed=1).state_dict())
    change(state)
    torch.save(state, tmp_path / "model.pth")
    model = fresh(seed=2)
    with pytest.raises(InputError, match=message):
        checkpoint.load_weights(model, tmp_path / "model.pth")
    assert same(model.state_dict(), fresh(seed=2).state_dict())


@pytest.mark.parametrize("name", zoo.NAMES)
def test_published_file_of_another_network_raises_input_error(tmp_path, name):
    torch.save(published_files.empty_state_dict(name), tmp_path / "published.pt")
    other = "3-CheXNet" if name == SMALLEST else SMALLEST
    with pytest.raises(InputError, match=r"tensors missing \(.*, …\)"):
        checkpoint.load_weights(fresh(other), tmp_path / "published.pt")


# Images of another size


def test_position_tables_are_resampled(tmp_path, capsys):
    big = fresh("4-Visformer-small", image_size=224)
    columns = torch.linspace(-1, 1, 28)
    big.pos_embed1.data[:] = columns  # each row of the table rises from the left edge to the right
    torch.save(big.state_dict(), tmp_path / "model.pth")
    small = fresh("4-Visformer-small", image_size=128)
    checkpoint.load_weights(small, tmp_path / "model.pth")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("3 position tables are resampled to this image size.")
    table = small.pos_embed1[0]  # (192, 16, 16)
    assert torch.allclose(table, table[:1, :1].expand_as(table), atol=1e-5)
    middles = (torch.arange(16) + 0.5) / 16 * 2 - 1
    assert torch.allclose(table[0, 0, 2:-2], middles[2:-2] * 28 / 27, atol=0.02)


def test_resampled_window_tables_keep_their_centre_and_symmetry(tmp_path):
    big = fresh("5-AutoFormerV2-base", image_size=224)
    key = "layers.2.blocks.0.attn.relative_position_bias_table"
    steps = torch.arange(-13.0, 14.0)
    falling = -(
        steps[:, None].square() + steps.square()
    ).sqrt()  # (27, 27): a bias that falls with the distance
    state = big.state_dict()
    state[key] = falling.reshape(-1, 1).expand(-1, 12).contiguous()
    torch.save(state, tmp_path / "model.pth")
    small = fresh("5-AutoFormerV2-base", image_size=64)
    checkpoint.load_weights(small, tmp_path / "model.pth")
    table = small.state_dict()[key][:, 0].reshape(7, 7)  # windows of 4 x 4
    assert table[3, 3] == pytest.approx(0, abs=1e-4)
    assert torch.allclose(table, table.flip(0), atol=1e-3)
    assert torch.allclose(table, table.T, atol=1e-3)
    assert (table[3, 3:].diff() < 0).all()
