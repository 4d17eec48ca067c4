"""download.py, against a server on loopback that breaks off, lies, and refuses to resume."""

import hashlib
import http.server
import shutil
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from cxr14.data import download, fetch
from cxr14.data.fetch import RemoteFile
from cxr14.errors import InputError
from cxr14.settings import ROOT
from tests.conftest import run_python

CONTENT = np.random.default_rng(0).bytes(5_000_000)


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT under any name, with the faults that a test sets."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.break_after = []  # bytes of the body after which the connection breaks, a number an answer
        self.wrong = 0  # answers with a wrong byte
        self.ranges = True
        self.status = None
        self.requests = []  # the Range header of each request

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, requested = self.server, self.headers.get("Range")
        server.requests.append(requested)
        if server.status:
            return self.send_error(server.status)
        start = int(requested.removeprefix("bytes=").removesuffix("-")) if requested and server.ranges else 0
        if start >= len(CONTENT):
            return self.send_error(416)
        body = bytearray(CONTENT[start:])
        if server.wrong:
            server.wrong -= 1
            body[1000] ^= 1
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.break_after:
            body = body[: server.break_after.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture
def remote(server):
    return RemoteFile("a.tar.gz", f"{server.url}/a.gz", len(CONTENT), hashlib.md5(CONTENT).hexdigest())


def bring(remote, folder):
    path = fetch.fetch(remote, folder, pause=0)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in folder.iterdir()] == [remote.name]


def test_complete_file_is_downloaded_once(server, remote, tmp_path):
    bring(remote, tmp_path / "new")
    bring(remote, tmp_path / "new")
    assert server.requests == [None]


def test_broken_connection_is_resumed(server, remote, tmp_path):
    server.break_after = [1_000_000, 2_000_001]
    bring(remote, tmp_path)
    assert server.requests == [None, "bytes=1000000-", "bytes=3000001-"]


def test_a_later_run_resumes(server, remote, tmp_path):
    (tmp_path / "a.tar.gz.part").write_bytes(CONTENT[:4_000_000])
    assert fetch.missing_bytes(remote, tmp_path) == 1_000_000
    bring(remote, tmp_path)
    assert server.requests == ["bytes=4000000-"]
    assert fetch.missing_bytes(remote, tmp_path) == 0


def test_server_without_ranges_sends_the_whole_file_again(server, remote, tmp_path):
    server.ranges, server.break_after = False, [4_000_000]
    bring(remote, tmp_path)
    assert server.requests == [None, "bytes=4000000-"]


def test_wrong_bytes_are_fetched_again_and_then_refused(server, remote, tmp_path):
    server.wrong = 1
    bring(remote, tmp_path / "once")
    server.wrong = 2
    with pytest.raises(InputError, match="other bytes than were published"):
        fetch.fetch(remote, tmp_path / "twice", pause=0)
    assert not list((tmp_path / "twice").iterdir())


def test_wrong_partial_file_is_replaced(remote, tmp_path):
    for earlier in (bytes(1_000_000), CONTENT + b"more", bytes(len(CONTENT))):
        (tmp_path / "a.tar.gz.part").write_bytes(earlier)
        bring(remote, tmp_path)
        (tmp_path / "a.tar.gz").unlink()


def test_stalled_server_raises_input_error_and_keeps_the_partial_file(server, remote, tmp_path):
    server.break_after = [1_000_000, *[0] * 20]
    with pytest.raises(
        InputError,
        match=r"sent 1000000 of 5000000 bytes and then no more .*the same command",
    ):
        fetch.fetch(remote, tmp_path, pause=0)
    assert fetch.missing_bytes(remote, tmp_path) == 4_000_000
    assert len(server.requests) == 6
    server.break_after = []
    bring(remote, tmp_path)


def test_client_error_is_not_retried(server, remote, tmp_path):
    server.status = 404
    with pytest.raises(InputError, match="404"):
        fetch.fetch(remote, tmp_path, pause=0)
    assert len(server.requests) == 1
    server.status = 503
    with pytest.raises(InputError, match="503"):
        fetch.fetch(remote, tmp_path, pause=0)
    assert len(server.requests) == 6


def test_refused_connection_raises_input_error(tmp_path):
    with pytest.raises(InputError, match="refused"):
        fetch.fetch(RemoteFile("a", "http://127.0.0.1:9/a", 10, ""), tmp_path, pause=0)


# --- which archives, from where ---


def test_the_twelve_archives_are_nihs(tmp_path):
    table = ROOT.parent / "shared" / "nih-archives.csv"
    if not table.exists():
        pytest.skip(f"NIH's figures are not at {table}")
    lines = [line.split(",") for line in table.read_text().splitlines()[1:]]
    assert [tuple(map(str, archive)) for archive in download.NIH_ARCHIVES] == [tuple(line) for line in lines]


def test_archives_are_chosen_by_number():
    assert download.numbers_of("all") == list(range(1, 13))
    assert download.numbers_of("2, 1,2") == [1, 2]
    for wrong in ("0", "13", "1-3", "", "one"):
        with pytest.raises(InputError, match="from 1 to 12"):
            download.numbers_of(wrong)


def test_too_small_disk_raises_input_error_before_any_request(tmp_path, monkeypatch, server, remote):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000_000))
    with pytest.raises(InputError, match=r"the download needs 0\.0\d GB more in .*--archives 1,2"):
        download.from_nih([remote], tmp_path)
    assert server.requests == []


class Hub(http.server.ThreadingHTTPServer):
    """As much of the Hugging Face hub as its client asks for; breaks off once."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.requests = []


class HubHandler(Handler):
    def do_HEAD(self):
        self.send_file(0, body=b"")

    def do_GET(self):
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        body = CONTENT[start:]
        if self.path.startswith("/datasets/"):  # the client asks for things of its own as well
            self.server.requests.append(self.path.rsplit("/", 1)[-1])
            if len(self.server.requests) == 1:
                self.close_connection = True
                body = body[:2_000_000]
        self.send_file(start, body)

    def send_file(self, start, body):
        if not self.path.startswith(f"/datasets/{download.HUB_REPOSITORY}/resolve/main/data/"):
            return self.send_error(404)
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha1(CONTENT).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.slow
def test_second_download_from_the_hub_requests_nothing(tmp_path):
    hub = Hub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    words = ("ChestX-ray14/download.py", "--archives", "1", "--out", tmp_path / "downloaded")
    environment = {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path),
    }
    first = run_python(*words, **environment)
    assert first.returncode == 0, first.stderr
    downloaded = {path.name: path.read_bytes() for path in (tmp_path / "downloaded" / "data").rglob("*.*")}
    assert set(downloaded) == {
        "Data_Entry_2017_v2020.csv",
        "BBox_List_2017.csv",
        "train_val_list.txt",
        "test_list.txt",
        "images_001.zip",
    }
    assert set(downloaded.values()) == {CONTENT}
    assert hub.requests[:2] == ["Data_Entry_2017_v2020.csv"] * 2  # the first answer broke off
    count = len(hub.requests)
    second = run_python(*words, **environment)
    assert second.returncode == 0, second.stderr
    assert len(hub.requests) == count
    hub.shutdown()
    hub.server_close()
    (tmp_path / "downloaded" / "data" / "test_list.txt").unlink()
    offline = run_python(*words, **environment | {"HF_HUB_OFFLINE": "1"})
    assert offline.returncode == 2
    assert "nihcc.app.box.com" in offline.stdout and "test_list.txt could not be downloaded" in offline.stderr
