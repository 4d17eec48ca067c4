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


PINNED = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]  # of torch's build for CUDA 13.0


@pytest.mark.parametrize(
    ("name", "capability"),
    [("T4", (7, 5)), ("A100", (8, 0)), ("RTX 4090", (8, 9)), ("H100", (9, 0)), ("RTX 5090", (12, 0))],
)
def test_supported_gpus_are_accepted(name, capability):
    assert devices.why_unsupported(name, capability, PINNED) is None


@pytest.mark.parametrize(("name", "capability"), [("Tesla P100", (6, 0)), ("Tesla V100", (7, 0))])
def test_pascal_and_volta_are_too_old_and_the_message_says_what_to_do(name, capability):
    reason = devices.why_unsupported(name, capability, PINNED)
    assert f"{name} has CUDA compute capability {capability[0]}.{capability[1]}" in reason
    assert "needs 7.5 or later" in reason
    assert "--device cpu" in reason
    assert "T4" in reason
    assert "\n" not in reason


def test_gpu_newer_than_the_build_is_refused_unless_its_code_can_be_translated():
    assert "no code yet" in devices.why_unsupported("GPU of the future", (15, 0), PINNED)
    assert devices.why_unsupported("GPU of the future", (15, 0), [*PINNED, "compute_120"]) is None


def test_build_for_the_gpus_of_another_maker_is_not_judged():
    assert devices.why_unsupported("MI300", (9, 4), ["gfx942"]) is None


def test_pinned_build_is_the_one_that_the_tests_judge_by():
    flags = torch._C._cuda_getArchFlags() if torch.version.cuda == "13.0" else None
    if flags is None:
        pytest.skip("torch's build is not that for CUDA 13.0")
    assert set(PINNED) <= set(flags.split())


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_is_used_again_once_the_cpu_is_chosen():
    def pages(word: str) -> int:
        command = [sys.executable, "-c", COUNT_PAGES, word]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert pages("chosen") < 100 < 10_000 < pages("default")
