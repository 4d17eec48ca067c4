"""Files of weights: every published format in, one format out, and a sentence for each that does not fit."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

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


# Our own format


def test_what_is_saved_comes_back(tmp_path):
    told = about(
        teacher="3-CheXNet",
        splits={"train": "ab" * 32},
        seed=3,
        settings={"learning_rate": 1e-3, "init_checkpoint": None},
        epoch=7,
        val_auroc=np.float64(0.8),
        extra={"thresholds": np.array([0.25, 0.5])},
    )
    model = fresh()
    checkpoint.save(tmp_path / "new" / "model1.pth", model.state_dict(), told)
    back = checkpoint.read(tmp_path / "new" / "model1.pth")
    assert same(back.weights, model.state_dict())
    assert back.about == dataclasses.replace(told, extra={"thresholds": [0.25, 0.5]})
    assert type(back.about.val_auroc) is float
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model1.pth"]


def test_load_builds_what_the_file_says(tmp_path):
    model = fresh().eval()
    checkpoint.save(tmp_path / "model1.pth", model.state_dict(), about())
    loaded, found = checkpoint.load(tmp_path / "model1.pth", SMALLEST)
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(image), model(image))
    assert found.about.findings == FINDINGS
    assert not loaded.training


def test_a_view_does_not_drag_its_storage_into_the_file(tmp_path):
    checkpoint.save(tmp_path / "a.pth", {"weight": torch.zeros(1_000_000)[:1]}, about())
    assert (tmp_path / "a.pth").stat().st_size < 10_000


def test_a_save_that_breaks_off_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model1.pth"
    checkpoint.save(path, {"weight": torch.zeros(1)}, about())

    def break_off(content: object, file: Path) -> None:
        Path(file).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", break_off)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, {"weight": torch.ones(1)}, about())
    assert checkpoint.read(path).weights["weight"] == 0
    assert list(tmp_path.iterdir()) == [path]


def test_another_network_is_refused(tmp_path):
    checkpoint.save(tmp_path / "model1.pth", fresh().state_dict(), about())
    with pytest.raises(InputError, match=r"model1\.pth holds 1-EEEA-Net-C2, but this stage is 3-CheXNet"):
        checkpoint.load(tmp_path / "model1.pth", "3-CheXNet")


def test_other_findings_are_refused(tmp_path):
    checkpoint.save(tmp_path / "model1.pth", fresh().state_dict(), about(findings=FINDINGS[::-1]))
    with pytest.raises(InputError, match="other findings: Hernia"):
        checkpoint.load(tmp_path / "model1.pth")


def test_a_later_format_is_refused(tmp_path):
    checkpoint.save(tmp_path / "model1.pth", fresh().state_dict(), about())
    content = torch.load(tmp_path / "model1.pth", weights_only=True)
    torch.save(content | {"cxr14_format": 99}, tmp_path / "model1.pth")
    with pytest.raises(InputError, match="format 99, this program knows 2"):
        checkpoint.read(tmp_path / "model1.pth")


def test_a_half_told_file_is_refused(tmp_path):
    torch.save({"cxr14_format": 2, "weights": {"a": torch.zeros(1)}}, tmp_path / "model1.pth")
    with pytest.raises(InputError, match="does not hold what checkpoint format 2 should"):
        checkpoint.read(tmp_path / "model1.pth")


# Files that cannot be read


class Intruder:
    """Unpickled, it leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_pickled_code_is_never_run(tmp_path, write):
    path, mark = tmp_path / "model.pth", tmp_path / "ran"
    write({"state_dict": {"a": Intruder(mark)}}, path)
    for reader in (checkpoint.read, checkpoint.load, lambda path: checkpoint.load_weights(fresh(), path)):
        with pytest.raises(InputError, match=r"model\.pth"):
            reader(path)
    assert not mark.exists()
    with path.open("rb") as file:  # the trap itself works
        torch.load(file, weights_only=False) if write is torch.save else pickle.load(file)
    assert mark.exists()


def test_code_is_told_from_corruption(tmp_path):
    torch.save({"state_dict": {"a": Intruder(tmp_path / "ran")}}, tmp_path / "model.pth")
    with pytest.raises(InputError, match="objects besides weights"):
        checkpoint.read(tmp_path / "model.pth")


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
def test_bytes_that_are_no_checkpoint(tmp_path, name):
    checkpoint.save(tmp_path / "whole.pth", fresh().state_dict(), about())
    whole = (tmp_path / "whole.pth").read_bytes()
    for content in (b"", b"hello", whole[:10_000], whole[:-100]):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="truncated or corrupt"):
            checkpoint.load(tmp_path / name, SMALLEST)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"there is no checkpoint .*nowhere\.pth"):
        checkpoint.load(tmp_path / "nowhere.pth", SMALLEST)


@pytest.mark.parametrize("content", [[torch.zeros(1)], {}, {"state_dict": {"a": 1}}, {"epoch": 3}])
def test_a_file_without_a_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(InputError, match="holds no state dict"):
        checkpoint.load_weights(fresh(), tmp_path / "model.pth")


# Files of others

WRAPPINGS = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {}}},
    "model": lambda state: {"model": state, "config": None},
    "DataParallel": lambda state: {"state_dict": {f"module.{key}": state[key] for key in state}},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_wrappings(tmp_path, wrapping, zipped):
    model = fresh(seed=1)
    wrapped = WRAPPINGS[wrapping](model.state_dict())
    torch.save(wrapped, tmp_path / "model.pth.tar", _use_new_zipfile_serialization=zipped)
    other = fresh(seed=2)
    checkpoint.load_weights(other, tmp_path / "model.pth.tar")
    assert same(other.state_dict(), model.state_dict())


@pytest.mark.parametrize(
    ("name", "wrapping"), [("3-CheXNet", "state_dict"), *((SMALLEST, wrapping) for wrapping in WRAPPINGS)]
)
def test_wrappings_of_published_names(tmp_path, name, wrapping):
    published = published_files.state_dict(name)
    torch.save(WRAPPINGS[wrapping](published), tmp_path / "model.pth")
    model = fresh(name, published_files.outputs(name))
    checkpoint.load_weights(model, tmp_path / "model.pth")
    # One of the last tensors that a misplaced block would shift, and the classifier.
    weights = list(published.values())
    assert torch.equal(model.get_classifier().weight, weights[-2])
    assert sum(weight.double().sum() for weight in weights).item() == pytest.approx(
        sum(w.double().sum() for k, w in model.state_dict().items() if k in counted(name, model)).item()
    )


def counted(name: str, model: nn.Module) -> list[str]:
    """Keys that the published file has too: those from before PyTorch 0.4.1 hold no BatchNorm counter."""
    return [key for key in model.state_dict() if name == SMALLEST or not key.endswith("num_batches_tracked")]


def test_other_outputs_leave_the_classifier_fresh_and_say_so(tmp_path, capsys):
    big = fresh(outputs=1000, seed=1)
    torch.save(big.state_dict(), tmp_path / "imagenet.pth")
    model = fresh(seed=2)
    classifier = model.classifier.weight.clone()
    checkpoint.load_weights(model, tmp_path / "imagenet.pth")
    assert torch.equal(model.classifier.weight, classifier)
    assert torch.equal(model.conv_head.weight, big.conv_head.weight)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("has 1000 outputs, this network 14: everything but the classifier is loaded.")


def test_a_foreign_file_is_scored_only_where_it_is_whole(tmp_path):
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
    ("spoil", "told"),
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
def test_every_other_mismatch_is_told_by_its_first_keys(tmp_path, spoil, told):
    state = dict(fresh(seed=1).state_dict())
    spoil(state)
    torch.save(state, tmp_path / "model.pth")
    model = fresh(seed=2)
    with pytest.raises(InputError, match=told):
        checkpoint.load_weights(model, tmp_path / "model.pth")
    assert same(model.state_dict(), fresh(seed=2).state_dict())


@pytest.mark.parametrize("name", zoo.NAMES)
def test_a_published_file_of_another_network_is_refused(tmp_path, name):
    torch.save(published_files.empty_state_dict(name), tmp_path / "published.pt")
    other = "3-CheXNet" if name == SMALLEST else SMALLEST
    with pytest.raises(InputError, match=r"tensors missing \(.*, …\)"):
        checkpoint.load_weights(fresh(other), tmp_path / "published.pt")


# Images of another size


def test_position_tables_are_resampled_and_it_is_said(tmp_path, capsys):
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


def test_window_tables_keep_their_centre_and_symmetry(tmp_path):
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
