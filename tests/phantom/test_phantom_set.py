"""A folder of phantoms: NIH's layout, independent of the number of processes, resumed after interruption."""

import filecmp
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from threadpoolctl import threadpool_info

from cxr14 import files
from cxr14.data_settings import PhantomSettings
from cxr14.findings import FINDINGS, NO_FINDING
from cxr14.phantom import dataset
from cxr14.phantom.radiograph import render
from cxr14.settings import ROOT
from tests.conftest import run_python

SCRIPT = ROOT / "ChestX-ray14" / "make-phantoms.py"
NIH_COLUMNS = [
    *("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender"),
    *("View Position", "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]"),
]


def make(out, *words, cwd=ROOT):
    return run_python(SCRIPT, "--out", out, "--size", 32, *words, cwd=cwd)


def same_folders(one, other):
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    # README.txt contains the command with the name of the folder.
    names = [name for name in names if name.name != "README.txt"]
    assert filecmp.cmpfiles(one, other, names, shallow=False)[0] == names


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """41 phantoms of 32 px, drawn by the main process."""
    out = tmp_path_factory.mktemp("phantoms") / "set"
    run = make(out, "--count", 41, "--num-workers", 0)
    assert run.returncode == 0, run.stderr
    return out


def test_tables_have_nihs_columns_and_the_drawn_values(made):
    entries = pd.read_csv(made / "Data_Entry_2017_synthetic.csv")
    assert list(entries.columns) == NIH_COLUMNS
    assert len(entries) == 41
    assert (entries["Height]"] == 32).all()
    assert set(entries["View Position"]) <= {"PA", "AP"}
    for number, entry in entries.iterrows():
        phantom = render(number, size=32)
        labels = [finding for finding, there in zip(FINDINGS, phantom.labels, strict=True) if there]
        assert entry["Finding Labels"] == ("|".join(labels) or NO_FINDING)
        assert (entry["Patient Gender"], entry["View Position"]) == (phantom.patient.sex, phantom.view)
        with Image.open(made / "images" / entry["Image Index"]) as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.asarray(image), phantom.image)


def test_true_labels_and_boxes_are_of_drawn_findings(made):
    findings = pd.read_csv(made / "true_labels.csv").set_index("Image Index")["Finding Labels"]
    boxes = pd.read_csv(made / "BBox_List_2017_synthetic.csv")
    assert list(boxes.columns[:6]) == ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"]
    assert len(boxes.columns) == 9  # with the three empty ones at the end, as NIH ships it
    for number, (name, truth) in enumerate(findings.items()):
        drawn = [
            finding
            for finding, there in zip(FINDINGS, render(number, size=32).findings, strict=True)
            if there
        ]
        assert truth == ("|".join(drawn) or NO_FINDING)
        boxed = set(
            boxes[boxes["Image Index"] == name]["Finding Label"].replace("Infiltrate", "Infiltration")
        )
        assert boxed <= set(drawn)


def test_lists_share_no_patient(made):
    lists = [(made / name).read_text().split() for name in ("train_val_list.txt", "test_list.txt")]
    assert sorted(lists[0] + lists[1]) == sorted(path.name for path in (made / "images").iterdir())
    patient = pd.read_csv(made / "Data_Entry_2017_synthetic.csv").set_index("Image Index")["Patient ID"]
    train, test = ({patient[name] for name in names} for names in lists)
    assert not train & test
    assert len(test) == round(0.25 * 21)


def test_files_say_that_they_are_synthetic(made):
    assert all(path.name.startswith("synthetic_") for path in (made / "images").iterdir())
    assert "SYNTHETIC" in (made / "README.txt").read_text()
    with Image.open(next((made / "images").iterdir())) as image:
        assert "Synthetic" in image.text["Description"]


def test_number_of_processes_does_not_change_the_files(made, tmp_path):
    run = make(tmp_path / "set", "--count", 41, "--num-workers", 2, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    same_folders(made, tmp_path / "set")


def test_killed_run_is_resumed(tmp_path):
    out = tmp_path / "set"
    words = [
        sys.executable,
        str(SCRIPT),
        "--out",
        str(out),
        "--size",
        "32",
        "--count",
        "300",
        "--num-workers",
        "0",
    ]
    run = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(out.glob("images/synthetic_*"))) < 40 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    before = {path: path.stat().st_mtime_ns for path in out.glob("images/synthetic_*")}
    assert 40 <= len(before) < 300
    assert not (out / "test_list.txt").exists()
    (out / "images" / ".synthetic_00000140_001.png.1.part").write_bytes(b"half")
    again = subprocess.run(words, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    fresh = make(tmp_path / "fresh", "--count", 300)
    assert fresh.returncode == 0, fresh.stderr
    same_folders(out, tmp_path / "fresh")


def test_a_run_that_was_killed_while_it_wrote_its_settings_is_resumed(made, tmp_path):
    out = tmp_path / "set"
    out.mkdir()
    for name in (".settings.json.1.part", dataset.LOCK_FILE):
        (out / name).write_bytes(b"half")
    run = make(out, "--count", 41)
    assert run.returncode == 0, run.stderr
    same_folders(made, out)


def test_work_for_a_phantom_does_not_grow_with_the_folder(tmp_path, monkeypatch):
    """A search of the folder for each file would make the whole quadratic."""
    searches = []
    search = files.remove_unfinished

    def counted(folder, *rest):
        searches.append(folder)
        search(folder, *rest)

    monkeypatch.setattr(files, "remove_unfinished", counted)
    monkeypatch.setattr(dataset, "remove_unfinished", counted)
    made = []
    for count in (4, 12):
        searches.clear()
        dataset.write_set(PhantomSettings(out=tmp_path / str(count), count=count, size=32, num_workers=0))
        made.append(sum(folder.name == dataset.IMAGES for folder in searches))
    assert made == [1, 1]


def threads_of_numpy(_):
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_a_process_that_draws_has_one_thread(monkeypatch):
    """More would wait for one another on every core, and could add in another order."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with dataset._results(threads_of_numpy, range(2), workers=1) as found:
        assert list(found) == [[1], [1]]


def test_folder_of_other_settings_is_not_changed(made):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    run = make(made, "--count", 41, "--noise", 0.3, "--seed", 9)
    assert run.returncode == 2
    assert "seed 0 -> 9" in run.stderr and "noise 1.0 -> 0.3" in run.stderr
    assert "Traceback" not in run.stderr and run.stderr.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


def test_folder_of_other_files_is_not_changed(tmp_path):
    (tmp_path / "00000001_000.png").write_bytes(b"a real radiograph")
    run = make(tmp_path, "--count", 8)
    assert run.returncode == 2
    assert "no phantoms" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["00000001_000.png"]


def test_error_names_a_damaged_image(tmp_path):
    assert make(tmp_path / "set", "--count", 8, "--num-workers", 1).returncode == 0
    image = sorted((tmp_path / "set" / "images").iterdir())[3]
    image.write_bytes(image.read_bytes()[:60])
    run = make(tmp_path / "set", "--count", 8, "--num-workers", 1)
    assert run.returncode == 2
    assert image.name in run.stderr and "Traceback" not in run.stderr
    image.unlink()
    assert make(tmp_path / "set", "--count", 8, "--num-workers", 1).returncode == 0


def test_sheet_of_examples_has_all_findings(tmp_path):
    run = run_python(SCRIPT, "--sheet", tmp_path / "sheet.png", "--size", 48)
    assert run.returncode == 0, run.stderr
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 9 * 48 and sheet.height > 5 * 48
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
