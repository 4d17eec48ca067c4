"""The number of threads, and the warning beside busy processes."""

import multiprocessing
import os
import time

import pytest
import torch

from cxr14.runtime import threads
from cxr14.runtime.threads import CpuTimes, share_of_others


@pytest.fixture(autouse=True)
def own_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_use_threads_sets_the_number_and_zero_keeps_it():
    assert threads.use_threads(2) == torch.get_num_threads() == 2
    assert threads.use_threads(0) == 2


def test_share_of_others_leaves_out_idle_and_own_time():
    before = CpuTimes(all=100, idle=50, own=10)
    assert share_of_others(before, CpuTimes(all=120, idle=55, own=15)) == pytest.approx(0.5)
    assert share_of_others(before, CpuTimes(all=120, idle=55, own=25)) == 0
    assert share_of_others(before, before) == 0


@pytest.mark.skipif(threads.cpu_times() is None, reason="the system does not tell its processor times")
def test_own_work_is_not_counted_as_that_of_others():
    before, own_before = threads.cpu_times(), time.process_time()
    threads.spin(0.5)
    after, own = threads.cpu_times(), time.process_time() - own_before
    assert after.own - before.own == pytest.approx(own, abs=0.1)
    assert after.all - before.all > 0.3


@pytest.mark.skipif(threads.cpu_times() is None, reason="the system does not tell its processor times")
def test_warning_is_printed_once_beside_a_busy_process(monkeypatch, capfd):
    monkeypatch.setattr(threads, "_FIRST_INTERVAL", 0.5)
    monkeypatch.setattr(threads, "BUSY_SHARE", 0.4 / os.cpu_count())
    torch.set_num_threads(2)
    busy = multiprocessing.get_context("spawn").Process(target=threads.spin, args=(60,))
    busy.start()
    try:
        with threads.warn_when_busy():
            time.sleep(4)
    finally:
        busy.kill()
        busy.join()
    assert capfd.readouterr().err.count("warning: other processes take") == 1


def test_one_thread_needs_no_warning(monkeypatch, capfd):
    monkeypatch.setattr(threads, "BUSY_SHARE", -1)
    monkeypatch.setattr(threads, "_FIRST_INTERVAL", 0.01)
    torch.set_num_threads(1)
    with threads.warn_when_busy():
        time.sleep(0.1)
    assert capfd.readouterr().err == ""
