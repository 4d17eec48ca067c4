"""torchrun across machines, as two agents on loopback that communicate through gloo."""

import os
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from cxr14.models import checkpoint
from cxr14.settings import ROOT
from tests.own_training import write_script
from tests.runtime.test_rendezvous import free_port
from tests.test_scripts import data_flags, run_here

EPOCHS = 4
COMPARED = ["epoch", "train_loss", "val_loss", "val_auroc", "learning_rate"]
FLAGS = f"--image-size 64 --num-epochs {EPOCHS} --batch-size 16 --no-pretrained --device cpu --save-minutes 0"
# The time after which a machine that does not answer counts as lost: 2 s instead of 15.
RDZV_CONF = "keep_alive_interval=1,keep_alive_max_attempt=2,join_timeout=120"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    return write_script(tmp_path_factory.mktemp("own") / "8-Own")


@pytest.fixture(scope="module")
def alone(script, phantoms, tmp_path_factory):
    """The log of one process."""
    place = tmp_path_factory.mktemp("alone") / "own.pth"
    with pytest.MonkeyPatch.context() as patch:
        flags = (*data_flags(phantoms), *FLAGS.split(), "--ckpt-path", place, "--threads", 1)
        assert run_here(script, *flags, monkeypatch=patch) == 0
    return pd.read_csv(checkpoint.log_path(place))


def start_agent(port, is_host, log, script, *flags):
    """Start torchrun as on one of two machines, with its output in a file."""
    words = ("--nnodes", 2, "--nproc-per-node", 1, "--max-restarts", 2, "--rdzv-backend", "c10d")
    words += ("--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "study")
    words += ("--rdzv-conf", f"{RDZV_CONF},is_host={is_host}")
    environment = {"STEP_SECONDS": "0.2", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    with log.open("a") as file:
        return subprocess.Popen(
            [str(word) for word in (sys.executable, "-m", "torch.distributed.run", *words, script, *flags)],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_for(condition, *processes, seconds=120):
    """Wait until a condition holds, while the processes run."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        assert all(process.poll() is None for process in processes), "a process ended too early"
        time.sleep(0.05)


def test_lost_machine_comes_back_and_the_training_equals_that_of_one_process(
    script, alone, phantoms, tmp_path
):
    place, port = tmp_path / "own.pth", free_port()
    flags = (*data_flags(phantoms), *FLAGS.split(), "--ckpt-path", place)
    logs = [tmp_path / f"agent{number}.txt" for number in range(3)]
    first = start_agent(port, True, logs[0], script, *flags)  # the host of the rendezvous is not lost
    second = start_agent(port, False, logs[1], script, *flags)
    log = checkpoint.log_path(place)
    wait_for(lambda: log.exists() and len(log.read_text().splitlines()) >= 1 + 1, first, second)
    second.send_signal(signal.SIGKILL)
    second.wait()
    epochs_before = len(log.read_text().splitlines()) - 1
    assert 1 <= epochs_before < EPOCHS
    third = start_agent(port, False, logs[2], script, *flags)
    outputs = [process.wait(timeout=240) for process in (first, third)]
    text = "\n".join(path.read_text() for path in logs)
    assert outputs == [0, 0], text
    assert re.search(f"Best epoch . of {EPOCHS}", text)
    assert "will be replaced" not in text  # it was resumed, though nobody said --resume
    together = pd.read_csv(log)
    assert list(together["epoch"]) == list(range(1, EPOCHS + 1))
    pd.testing.assert_frame_equal(together[COMPARED], alone[COMPARED], rtol=1e-4)


def test_processes_with_other_settings_are_refused_at_the_start(phantoms, tmp_path):
    """As srun starts them: without torchrun, each with its rank."""
    own = write_script(tmp_path / "8-Own", more='import os\nSEED = int(os.environ["RANK"])\n\n')
    flags = (*data_flags(phantoms), *FLAGS.split(), "--ckpt-path", tmp_path / "own.pth")
    port = free_port()
    processes = [
        subprocess.Popen(
            [str(word) for word in (sys.executable, own, *flags)],
            env=os.environ
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [2, 2], errors
    for text in errors:
        assert "differ in seed: 0 and 1" in text
        assert "Traceback" not in text
    assert not (tmp_path / "own.pth").exists()
