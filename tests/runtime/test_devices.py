"""The device that a name means, and what is done for the processor where that is it."""

import subprocess
import sys

import pytest
import torch

from cxr14.errors import InputError
from cxr14.runtime import devices

# Pages that the system had to fill for 20 tensors of 40 MB and a little less each time, one freed before the
# next is made: an aligned one may not fit where one of just its size has been.
COUNT_PAGES = """
import resource, sys, torch
from cxr14.runtime import devices
if sys.argv[1] == "chosen":
    devices.choose("cpu")
torch.ones(10_100_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for number in range(20):
    torch.ones(10_000_000 - 1_000 * number)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_auto_is_the_accelerator_or_the_cpu():
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    assert devices.choose("auto").type == (accelerator.type if accelerator else "cpu")


def test_unknown_device_raises_input_error():
    with pytest.raises(InputError, match="'abacus' is no device that torch knows"):
        devices.choose("abacus")


def test_missing_device_raises_input_error():
    of_another_maker = "mps" if sys.platform == "linux" else "cuda"
    with pytest.raises(InputError, match=r"this machine has .+; take auto or cpu"):
        devices.choose(of_another_maker)


def test_cpu_is_described_by_its_model_name():
    assert devices.describe(torch.device("cpu")) not in ("", "cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_is_used_again_once_the_cpu_is_chosen():
    def pages(word: str) -> int:
        command = [sys.executable, "-c", COUNT_PAGES, word]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert pages("chosen") < 100 < 10_000 < pages("default")
