"""The parts of the GPU benchmark, small and on the CPU: their logic, not their figures."""

import json

import pytest
import torch

from benchmarks.gpu import page, speed
from benchmarks.gpu.__main__ import PARTS, GpuSettings, run_parts
from benchmarks.gpu.place import Place
from cxr14.errors import InputError

CPU = torch.device("cpu")
# "usual" starts processes for minutes; benchmarks.training, which it is part of, has a test of its own.
QUICK = [name for name in PARTS if name != "usual"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The result of two runs, the first of which does one part alone."""
    folder = tmp_path_factory.mktemp("gpu")
    settings, place = GpuSettings(keep_in=folder, parts=("crops",)), Place(CPU, folder)
    assert run_parts(settings, place) == [name for name in PARTS if name != "crops"]
    first = json.loads((folder / "gpu-cpu.json").read_text())
    assert list(first["parts"]) == ["crops"]
    settings.parts = tuple(name for name in QUICK if name != "crops")
    assert run_parts(settings, place) == ["usual"]
    second = json.loads((folder / "gpu-cpu.json").read_text())
    assert second["parts"]["crops"] == first["parts"]["crops"]
    return folder, second


@pytest.mark.slow
def test_every_part_leaves_a_result_and_the_cpu_agrees_with_itself(kept):
    _, result = kept
    assert list(result["parts"]) == QUICK
    judged = {name: part["passed"] for name, part in result["parts"].items() if "passed" in part}
    assert judged == dict.fromkeys(
        ("logits", "crops", "resume", "distillation", "teacher cache", "ten crops"), True
    )
    assert not result["measured"]
    for name in ("memory", "several GPUs"):
        assert "waits for" in result["parts"][name]
    assert result["parts"]["profile"]["rows"][0]["ms a step"] > 0
    assert result["parts"]["compiled"]["rows"][0]["compiled / bare"] > 0


@pytest.mark.slow
def test_parts_with_a_result_are_not_repeated_and_time_is_kept(kept):
    folder, _ = kept
    before = (folder / "gpu-cpu.json").read_text()
    assert run_parts(GpuSettings(keep_in=folder, minutes=0), Place(CPU, folder)) == ["usual"]
    assert (folder / "gpu-cpu.json").read_text() == before


def test_other_weights_on_the_device_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(Place, "placed", lambda place, name: place.network(name, seed=1))
    settings = GpuSettings(keep_in=tmp_path, parts=("logits", "ten crops"))
    run_parts(settings, Place(CPU, tmp_path))
    parts = json.loads((tmp_path / "gpu-cpu.json").read_text())["parts"]
    assert not parts["logits"]["passed"]
    assert not parts["ten crops"]["passed"]


def test_training_whose_state_is_lost_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.gpu.correctness.TrainStep.load_state_dict", lambda *_: None)
    run_parts(GpuSettings(keep_in=tmp_path, parts=("resume",)), Place(CPU, tmp_path))
    assert not json.loads((tmp_path / "gpu-cpu.json").read_text())["parts"]["resume"]["passed"]


def test_part_without_enough_memory_is_recorded(tmp_path, monkeypatch):
    def too_large(place):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setitem(PARTS, "loop", too_large)
    run_parts(GpuSettings(keep_in=tmp_path, parts=("loop",)), Place(CPU, tmp_path))
    assert json.loads((tmp_path / "gpu-cpu.json").read_text())["parts"]["loop"]["error"] == "out of memory"


def test_a_part_that_fails_stops_no_other_and_has_no_result(tmp_path, monkeypatch, capsys):
    def broken(place):
        raise ValueError("a fault")

    monkeypatch.setitem(PARTS, "loop", broken)
    left = run_parts(GpuSettings(keep_in=tmp_path, parts=("loop", "crops")), Place(CPU, tmp_path))
    assert "loop" in left and "crops" not in left
    assert "ValueError: a fault" in capsys.readouterr().err


def test_unknown_part_raises_input_error(tmp_path):
    with pytest.raises(InputError, match="no part 'speed'; known are logits"):
        run_parts(GpuSettings(keep_in=tmp_path, parts=("speed",)), Place(CPU, tmp_path))


@pytest.mark.parametrize("limit", [0, 7, 8, 9, 15, 16, 24, 100, 511, 512, 4096, 5000])
def test_largest_batch_is_the_largest_multiple_of_eight_that_fits(limit):
    tried = []

    def fits(size):
        tried.append(size)
        return size <= limit

    assert speed.largest_batch(fits) == min(limit // 8 * 8, speed.LARGEST_BATCH)
    assert len(tried) <= 20


def test_table_shows_measured_cards_and_says_what_waits(tmp_path):
    head, rows = page.gpu_table(tmp_path)
    assert head == page.HEAD
    assert all(row[1] == "waits for a GPU" for row in rows)
    parts = {
        "logits": {"passed": True},
        "crops": {"passed": False},
        "loop": {"rows": [{"batch size": 512, "loop / bare": 0.971, "loop, images/s": 2345.6}]},
        "usual": {"loop / usual": 21.26},
    }
    content = {"machine": {"device": "NVIDIA T4"}, "measured": True, "parts": parts}
    (tmp_path / "gpu-nvidia-t4.json").write_text(json.dumps(content))
    (tmp_path / "gpu-cpu.json").write_text(json.dumps(content | {"measured": False}))
    head, rows = page.gpu_table(tmp_path)
    assert head == ("what", "NVIDIA T4", "goal")
    assert rows == [
        ("results that agree with the CPU's", "all but crops", "all"),
        ("loop over bare step, EEEA-Net-C2, batch 64", "not run yet", "≥ 0.95"),
        ("loop over bare step, EEEA-Net-C2, batch 256", "not run yet", "≥ 0.95"),
        ("loop over bare step, EEEA-Net-C2, batch 512", "0.97 (2,346 images/s)", "≥ 0.95"),
        ("loop over the study's loop with 4 workers", "21.3", "≥ 20"),
    ]
