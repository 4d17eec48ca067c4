"""predict.py on several machines: two nodes of Ray on this one, of which one is killed."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest

from cxr14.deployment.prediction.spread import answers_by_ray
from cxr14.errors import InputError
from cxr14.settings import ROOT

SCRIPT = ROOT / "7-Using-EEEA-Net-C2" / "predict.py"
COUNT = 320  # files, of which Ray gets 32 at a time
# Ray makes the nodes' processes for the test, and kills those of a node.
NODES = """
import os, sys
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
from ray.cluster_utils import Cluster
quiet = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 << 20}
cluster = Cluster(initialize_head=True, head_node_args=quiet)
other = cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.remove_node(other, allow_graceful=False)
print("killed", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


@pytest.fixture
def many(radiographs, tmp_path):
    """A folder of many files, links to the same few, and one that is no picture."""
    files = sorted((radiographs / "images").iterdir())
    folder = tmp_path / "胸片"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number:04d}.png").hardlink_to(files[number % len(files)])
    (folder / "text.png").write_text("no picture")
    return folder


@pytest.mark.slow
def test_every_radiograph_is_in_the_table_once_though_a_machine_is_lost(exported, many, tmp_path):
    pytest.importorskip("ray.data", reason="Ray is not installed: pip install -e .[ray]")
    nodes = subprocess.Popen(
        [sys.executable, "-c", NODES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        address = nodes.stdout.readline().strip()
        table, journal = tmp_path / "t.csv", tmp_path / "t.csv.unfinished"
        command = [sys.executable, SCRIPT, many, "--model-path", exported / "eeea-net-c2.onnx"]
        # Relative paths, which mean nothing to processes that stand elsewhere.
        command[2] = many.relative_to(tmp_path)
        run = subprocess.Popen(
            [*command, "--csv", "t.csv", "--address", address],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 120
        while len(lines_of(journal)) < 3:
            assert run.poll() is None and time.monotonic() < deadline, run.stderr.read()
            time.sleep(0.02)
        nodes.stdin.write("\n")
        nodes.stdin.flush()
        assert nodes.stdout.readline() == "killed\n"
        before = len(lines_of(journal)) - 1
        _, said = run.communicate(timeout=120)
        nodes.stdin.write("\n")
        nodes.stdin.flush()
        nodes.wait(timeout=60)
    finally:
        if nodes.poll() is None:
            os.killpg(nodes.pid, signal.SIGKILL)
    assert run.returncode == 1 and "text.png: cannot be decoded" in said, said
    assert 0 < before < COUNT  # it was lost in between
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["radiograph"] for row in rows] == [f"胸片/{number:04d}.png" for number in range(COUNT)]
    assert not journal.exists()
    # The same answers as those of one process.
    few = [many / f"{number:04d}.png" for number in range(4)]
    alone = [sys.executable, SCRIPT, *few, "--model-path", exported / "eeea-net-c2.onnx"]
    subprocess.run([*alone, "--csv", tmp_path / "alone.csv"], check=True, stdout=subprocess.DEVNULL)
    with (tmp_path / "alone.csv").open(encoding="utf-8", newline="") as file:
        for row, other in zip(csv.DictReader(file), rows, strict=False):
            assert list(row.values())[1:] == list(other.values())[1:]


def lines_of(path):
    """Return the lines of a file that may not exist yet."""
    return path.read_bytes().splitlines() if path.exists() else []


@pytest.mark.slow
def test_cores_of_one_machine_give_the_table_and_drawings_of_one_process(exported, radiographs, tmp_path):
    pytest.importorskip("ray.data", reason="Ray is not installed: pip install -e .[ray]")
    command = [sys.executable, SCRIPT, radiographs / "images", "--model-path", exported / "eeea-net-c2.onnx"]
    for name, words in (("alone", []), ("spread", ["--address", "local"])):
        outputs = ["--csv", f"{name}.csv", "--json", f"{name}.json", "--maps", f"{name}-maps"]
        done = subprocess.run([*command, *outputs, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for suffix in (".csv", ".json"):
        assert (tmp_path / f"spread{suffix}").read_bytes() == (tmp_path / f"alone{suffix}").read_bytes()
    drawn = [sorted((tmp_path / f"{name}-maps").iterdir()) for name in ("alone", "spread")]
    assert [path.name for path in drawn[0]] == [path.name for path in drawn[1]]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*drawn, strict=True))


def test_spreading_without_ray_is_refused(exported, many, tmp_path):
    code = (
        "import sys, runpy; sys.modules['ray'] = None; sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    words = [SCRIPT, many, "--model-path", exported / "eeea-net-c2.onnx", "--csv", tmp_path / "t.csv"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--address", "local"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "pip install -e .[ray]" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["胸片"]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:99999999"])
def test_address_without_a_cluster_is_refused(address):
    pytest.importorskip("ray.data", reason="Ray is not installed: pip install -e .[ray]")
    with pytest.raises(InputError, match=r"no cluster|HOST:PORT"):
        next(answers_by_ray([], b"", None, None, address))
