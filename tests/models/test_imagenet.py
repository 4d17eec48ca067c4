"""The published ImageNet-1k weights: where they are looked for, and the errors when they are unavailable."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import safetensors.torch
import torch

from cxr14.errors import InputError
from cxr14.models import imagenet, zoo
from tests import published_files
from tests.conftest import run_python

HUB_FILE = "timm/densenet121.tv_in1k/resolve/main/model.safetensors"
BUILD_CHEXNET = """
import torch
from cxr14.models import zoo
from cxr14.errors import exit_on_input_error
with exit_on_input_error():
    model = zoo.build("3-CheXNet")
    print(model.features.conv0.weight.sum().item(), model.classifier.out_features)
"""


@contextmanager
def served(handler: type[BaseHTTPRequestHandler] | partial) -> Iterator[str]:
    """Answer on loopback while the block runs; yield the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def folder(path: Path) -> partial:
    return partial(SimpleHTTPRequestHandler, directory=path)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """An empty torch.hub, and its folder of checkpoints."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "torch" / "hub" / "checkpoints"


def publish_at(url: str, monkeypatch) -> None:
    """Let EEEA-Net-C2 be downloaded from `url`."""
    monkeypatch.setattr(zoo.model_file("1-EEEA-Net-C2"), "WEIGHTS_URL", url)


def test_the_darmo_release_is_downloaded_once(tmp_path, hub, monkeypatch, capsys):
    published = published_files.state_dict("1-EEEA-Net-C2")
    torch.save(published, tmp_path / "eeea-c2.pt")
    with served(folder(tmp_path)) as address:
        publish_at(f"{address}/eeea-c2.pt", monkeypatch)
        first = zoo.build("1-EEEA-Net-C2")
    second = zoo.build("1-EEEA-Net-C2")  # the server is gone
    assert torch.equal(first.conv_stem.weight, published["first_conv.conv.weight"])
    assert torch.equal(second.conv_head.weight, published["feature_mix_layer.conv.weight"])
    assert first.classifier.out_features == 14
    assert [path.name for path in hub.iterdir()] == ["eeea-c2.pt"]
    assert capsys.readouterr().out.count("Downloading") == 1


def test_hugging_face_hub_and_its_cache_are_used(tmp_path):
    weights = zoo.build("3-CheXNet", 1000, pretrained=False).state_dict()
    expected = pytest.approx(weights["features.conv0.weight"].sum().item(), abs=1e-4)
    environment = {"HF_HUB_OFFLINE": "0", "no_proxy": "127.0.0.1"}

    site = tmp_path / "site" / HUB_FILE
    site.parent.mkdir(parents=True)
    safetensors.torch.save_file(weights, site)
    with served(folder(tmp_path / "site")) as address:
        homes = {
            "TORCH_HOME": str(tmp_path / "torch"),
            "HF_HOME": str(tmp_path / "none"),
            "HF_ENDPOINT": address,
        }
        done = run_python("-c", BUILD_CHEXNET, **environment, **homes)
    assert done.returncode == 0, done.stderr
    total, outputs = done.stdout.splitlines()[-1].split()
    assert (float(total), int(outputs)) == (expected, 14)

    cache = tmp_path / "hf" / "hub" / "models--timm--densenet121.tv_in1k"
    (cache / "snapshots" / "abc").mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    site.rename(cache / "snapshots" / "abc" / "model.safetensors")
    homes = {"TORCH_HOME": str(tmp_path / "none"), "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    done = run_python("-c", BUILD_CHEXNET, **environment | homes)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1].split()[0]) == expected


@pytest.mark.parametrize("name", zoo.NAMES)
def test_without_a_network_connection_the_error_gives_url_and_path(name, hub, monkeypatch):
    def no_name_server(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_name_server)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    with pytest.raises(
        InputError, match=r"could not be downloaded from https://\S+ \(.*not known\)"
    ) as caught:
        zoo.build(name, image_size=64)
    assert f"put it at {hub}" in str(caught.value)
    assert "--no-pretrained" in str(caught.value)
    assert list(hub.iterdir()) == []


def test_a_file_put_at_the_given_path_is_used(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set") as caught:
        zoo.build("3-CheXNet")
    path = Path(str(caught.value).partition("put it at ")[2].partition(", or")[0])
    weights = zoo.build("3-CheXNet", 1000, pretrained=False).state_dict()
    path.parent.mkdir(parents=True)
    safetensors.torch.save_file(weights, path)
    assert torch.equal(zoo.build("3-CheXNet").features.conv0.weight, weights["features.conv0.weight"])


def test_a_server_that_does_not_answer_times_out(hub, monkeypatch):
    monkeypatch.setattr(imagenet, "_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        publish_at(f"http://127.0.0.1:{silent.getsockname()[1]}/eeea-c2.pt", monkeypatch)
        start = time.monotonic()
        with pytest.raises(InputError, match="timed out"):
            zoo.build("1-EEEA-Net-C2")
    assert time.monotonic() - start < 5
    assert socket.getdefaulttimeout() is None


class HalfAFile(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")


def test_an_incomplete_transfer_leaves_no_file(hub, monkeypatch):
    with served(HalfAFile) as address:
        publish_at(f"{address}/eeea-c2.pt", monkeypatch)
        with pytest.raises(InputError, match="the transfer was incomplete"):
            zoo.build("1-EEEA-Net-C2")
    assert list(hub.iterdir()) == []


def test_a_missing_page_raises_input_error(tmp_path, hub, monkeypatch):
    with served(folder(tmp_path)) as address:
        publish_at(f"{address}/eeea-c2.pt", monkeypatch)
        with pytest.raises(InputError, match=r"could not be downloaded from .*File not found"):
            zoo.build("1-EEEA-Net-C2")


def test_a_corrupt_file_raises_input_error_and_is_not_deleted(hub):
    hub.mkdir(parents=True)
    (hub / "eeea-c2.pt").write_bytes(b"half")
    with pytest.raises(InputError, match=r"eeea-c2\.pt is no checkpoint, or it is truncated"):
        zoo.build("1-EEEA-Net-C2")
    assert (hub / "eeea-c2.pt").is_file()


def test_pretrained_cfgs_name_the_published_weights():
    cfgs = {name: zoo.build(name, pretrained=False).pretrained_cfg for name in zoo.NAMES[:3]}
    release = "https://github.com/jitdee-ai/darmo/releases/download/0.0.1/"
    assert cfgs["1-EEEA-Net-C2"]["url"] == release + "eeea-c2.pt"
    assert cfgs["2-OFA-595"]["url"] == release + "ofa595_1k_b1a18d5.pt"
    assert cfgs["3-CheXNet"]["hf_hub_id"] == "timm/densenet121.tv_in1k"
