"""Checkpoints of others: known formats are loaded, and a file that does not fit ends in a sentence."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from cxr14.errors import InputError
from cxr14.models import checkpoint, zoo
from tests import published_files
from tests.models.networks import SMALLEST, WRAPPINGS, about, fresh, same

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
