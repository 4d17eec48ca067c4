"""Processes that do not come, that differ, or that are lost: a time limit and a sentence."""

import os
import socket

import pytest
import torch

from cxr14 import processes
from cxr14.errors import InputError
from cxr14.runtime import agreement, rendezvous
from cxr14.runtime.distributed import ProcessGroup


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def environment(monkeypatch):
    """One of two processes, the other of which is never started."""

    def of_rank(rank):
        values = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))
        return values

    return of_rank


@pytest.mark.parametrize("rank", [0, 1])
def test_process_that_waits_in_vain_raises_input_error(rank, environment):
    values = environment(rank)
    with pytest.raises(InputError) as raised:
        rendezvous.meet(processes.place(), seconds=1)
    message = str(raised.value)
    assert f"process {rank} on {socket.gethostname()} has waited 1 s" in message
    assert f"127.0.0.1:{values['MASTER_PORT']}" in message
    assert "\n" not in message


def test_store_is_that_of_the_attempt(environment, monkeypatch):
    """torchrun keeps its store on one machine, with the keys of the attempt that failed."""
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "3")
    assert rendezvous._prefix() == "attempt 3"
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")  # the machines count their attempts differently
    assert rendezvous._prefix() == "attempt"


def test_shared_store_of_several_machines_is_warned_of(monkeypatch):
    assert rendezvous.share_of_store_warning() is None
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    assert "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in rendezvous.share_of_store_warning()
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "False")
    assert rendezvous.share_of_store_warning() is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("[../pair.cc:538] Read error [127.0.0.1]:7394: Connection reset by peer"), True),
        (RuntimeError("[../pair.cc:1] Connection closed by peer [127.0.0.1]:1"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError("Connection reset by peer"), False),
    ],
)
def test_errors_of_a_lost_process_are_recognised(error, expected):
    assert rendezvous.is_lost_process(error) == expected


class Two(ProcessGroup):
    """A group of two processes, the other of which holds other facts."""

    def __init__(self, other):
        super().__init__(torch.device("cpu"), rank=0, world_size=2)
        object.__setattr__(self, "other", other)

    def gather(self, value):
        """Return this process's facts and those of the other."""
        return [value, ("beta", self.other)]


def test_equal_facts_are_accepted():
    agreement.require_agreement(Two({"batch_size": 64}), {"batch_size": 64})


def test_difference_between_processes_raises_input_error_that_names_it():
    ours = {"batch_size": 64, "the training list": "a" * 64, "seed": 0}
    theirs = {"batch_size": 32, "the training list": "b" * 64, "seed": 0}
    with pytest.raises(InputError) as raised:
        agreement.require_agreement(Two(theirs), ours)
    message = str(raised.value)
    assert "batch_size: 64 and 32; the training list: aaaaaaaaaaaa… and bbbbbbbbbbbb…" in message
    assert "1 on beta" in message
    assert "seed" not in message


def test_setting_that_only_one_process_has_raises_input_error():
    with pytest.raises(InputError, match="mixup: None and 1"):
        agreement.require_agreement(Two({"mixup": 1}), {})


def test_hash_of_the_code_changes_with_the_code(tmp_path):
    script = tmp_path / "train-model.py"
    script.write_text("BATCH_SIZE = 64\n")
    before = agreement.hash_code(tmp_path)
    assert agreement.hash_code(tmp_path) == before != agreement.hash_code()
    (tmp_path / "notes.txt").write_text("no code")
    os.utime(script)
    assert agreement.hash_code(tmp_path) == before
    script.write_text("BATCH_SIZE = 32\n")
    assert agreement.hash_code(tmp_path) != before
