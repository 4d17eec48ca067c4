"""A user's own network: copied scripts with a ``build_model`` of their own train and test that network."""

import shutil

import pytest

from cxr14.models import checkpoint
from cxr14.settings import ROOT
from tests.test_scripts import TINY, data_flags, flags_of_test, run_here

STOCK = "1-EEEA-Net-C2"
IMPORT = "        from model import build_model\n\n"
OWN_BUILD_MODEL = '''
def build_model(num_classes=14, pretrained=True, image_size=224):
    """Two layers that no other network here has."""
    from torch import nn

    layers = [nn.Conv2d(3, 5, 8, stride=8), nn.BatchNorm2d(5), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, num_classes))


'''
OWN_SHAPES = {"0.weight": (5, 3, 8, 8), "5.weight": (14, 5), "5.bias": (14,)}


@pytest.fixture(params=["8-My-Network", STOCK])
def own_folder(request, tmp_path):
    """A folder outside the repository whose two scripts define ``build_model``, beside the stock model.py."""
    folder = tmp_path / request.param
    shutil.copytree(ROOT / STOCK, folder, ignore=shutil.ignore_patterns("__pycache__", "*.pth", "*.csv"))
    for name in ("train-model.py", "test-model.py"):
        script = (folder / name).read_text()
        assert script.count(IMPORT) == 1
        head, main, body = script.replace(IMPORT, "").partition('if __name__ == "__main__":')
        (folder / name).write_text(head + OWN_BUILD_MODEL + main + body)
    return folder


def test_scripts_train_and_test_the_network_that_they_define(own_folder, phantoms, monkeypatch, capsys):
    path, results = own_folder / "own.pth", own_folder / "results"
    flags = (*data_flags(phantoms), *TINY, "--batch-size", 16, "--ckpt-path", path)
    assert run_here(own_folder / "train-model.py", *flags, monkeypatch=monkeypatch) == 0
    assert f"{own_folder.name}: " in capsys.readouterr().out

    written = checkpoint.read(path)
    assert written.about.network == own_folder.name
    assert OWN_SHAPES.items() <= {name: tuple(value.shape) for name, value in written.weights.items()}.items()

    flags = (*flags_of_test(phantoms), "--crops", 1, "--ckpt-path", path, "--results-dir", results)
    assert run_here(own_folder / "test-model.py", *flags, monkeypatch=monkeypatch) == 0
    assert f"{own_folder.name} on " in capsys.readouterr().out
    assert (results / "metrics.csv").is_file()


def test_stock_test_script_refuses_the_weights_of_another_network(phantoms, tmp_path, monkeypatch, capsys):
    """The name of the folder alone does not make a checkpoint fit."""
    scope = {}
    exec(OWN_BUILD_MODEL, scope)
    about = checkpoint.About(network=STOCK, image_size=64)
    checkpoint.save(tmp_path / "own.pth", scope["build_model"]().state_dict(), about)
    flags = (*flags_of_test(phantoms), "--ckpt-path", tmp_path / "own.pth", "--results-dir", tmp_path / "out")
    assert run_here(ROOT / STOCK / "test-model.py", *flags, monkeypatch=monkeypatch) == 2
    assert "own.pth does not fit this MobileNetV3" in capsys.readouterr().err
