"""Predictions that are missing, damaged or altered: one sentence, exit status 2, nothing written."""

import dataclasses

import pytest

from cxr14.errors import InputError
from cxr14.evaluation.predictions import Predictions
from cxr14.report.reading import read_sections
from tests.in_process import run_script
from tests.report.common import KD, measure
from tests.simulated_runs import save_run


def test_damaged_file_is_one_line_on_stderr(tmp_path):
    folder = tmp_path / "1-EEEA-Net-C2"
    folder.mkdir()
    (folder / "predictions-test.npz").write_bytes(b"PK\3\4 cut short")
    done = run_script("compare-results.py", "--results-dir", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "not a readable file" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["1-EEEA-Net-C2"]


def test_empty_folder_raises_input_error(tmp_path):
    with pytest.raises(InputError, match="there are no predictions below"):
        read_sections(tmp_path)


def test_same_list_with_other_labels_raises_input_error(tmp_path):
    save_run(tmp_path / "a", radiographs=50)
    save_run(tmp_path / "b", "3-CheXNet", radiographs=50)
    stored = Predictions.load(tmp_path / "b" / "predictions-test.npz")
    stored.labels[0] = 1 - stored.labels[0]
    stored.save(tmp_path / "b" / "predictions-test.npz")
    with pytest.raises(InputError, match="same image list"):
        read_sections(tmp_path)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"kind": "dreamt"}, "records the kind 'dreamt', which is not one of"),
        ({"kind": ["real"]}, "records kind as"),
        ({"macs": None}, "does not record macs"),
        ({"parameters": "many"}, "records parameters as 'many'"),
        ({"macs": float("nan")}, "records macs as nan"),
        ({"latency_seconds": "quick"}, "records latency_seconds"),
        ({"epoch": "last"}, "records epoch"),
        ({"image_size": [224]}, "records image_size"),
        ({"splits": "a"}, "records splits"),
        ({"versions": ["1"]}, "records versions"),
        ({"history": {"epoch": 1}}, "records history"),
        ({"history": [1, 2]}, "a training history without epochs"),
        ({"history": [{"val_auroc": 0.7}]}, "a training history without epochs"),
        ({"history": [{"epoch": 1, "val_auroc": "high"}]}, "a training history that is not all numbers"),
        ({"settings": {"num_epochs": "ten"}}, "records the setting num_epochs as 'ten'"),
        ({"settings": {"distill_loss": ["study"]}}, "records the setting distill_loss"),
        ({"settings": {"student_ckpt_path": 7}}, "records the setting student_ckpt_path"),
        ({"threshold_rule": "best"}, "a threshold rule that cannot be used"),
        ({"threshold_rule": "sensitivity"}, "a threshold rule that cannot be used"),
        ({"unknown_origin": "model.pth"}, "records unknown_origin"),
    ],
    ids=str,
)
def test_altered_record_raises_input_error(tmp_path, about, message):
    save_run(tmp_path, teacher="3-CheXNet", radiographs=20, **about)
    with pytest.raises(InputError, match=message) as raised:
        read_sections(tmp_path)
    assert str(tmp_path) in str(raised.value) and "test script again" in str(raised.value)


def _replace(folder, which, **fields):
    path = folder / f"predictions-{which}.npz"
    dataclasses.replace(Predictions.load(path), **fields).save(path)


@pytest.mark.parametrize(
    ("which", "fields", "message"),
    [
        ("test", {"split": "val"}, "holds predictions of the val list"),
        ("val", {"split": "test"}, "holds predictions of the test list"),
        ("test", {"network": 5}, r"not a readable file of predictions \(network: "),
        ("test", {"teacher": ["3-CheXNet"]}, r"not a readable file of predictions \(teacher: "),
        ("val", {"list_fingerprint": None}, r"not a readable file of predictions \(list_fingerprint: "),
        ("test", {"about": ["synthetic"]}, r"not a readable file of predictions \(about: "),
    ],
    ids=str,
)
def test_altered_field_raises_input_error(tmp_path, which, fields, message):
    save_run(tmp_path, radiographs=20)
    _replace(tmp_path, which, **fields)
    with pytest.raises(InputError, match=message):
        read_sections(tmp_path)


@pytest.mark.parametrize("split", ["test", "val"])
def test_probability_outside_0_to_1_raises_input_error(tmp_path, split):
    save_run(tmp_path, radiographs=20)
    stored = Predictions.load(tmp_path / f"predictions-{split}.npz")
    _replace(tmp_path, split, probabilities=stored.logits)
    with pytest.raises(InputError, match="a probability outside 0 to 1"):
        read_sections(tmp_path)


def test_validation_of_other_findings_is_left_out(tmp_path):
    save_run(tmp_path, radiographs=20)
    val = Predictions.load(tmp_path / "predictions-val.npz")
    fewer = {name: getattr(val, name)[:, :3] for name in ("labels", "probabilities", "logits")}
    _replace(tmp_path, "val", findings=val.findings[:3], **fewer)
    (measured,) = measure(tmp_path, 20)
    assert all(each.validated is None for each in measured.runs.values())


def test_start_from_its_own_checkpoint_does_not_hang(tmp_path):
    path = str(tmp_path / "1-EEEA-Net-C2" / "model.pth")
    save_run(tmp_path / "1-EEEA-Net-C2", radiographs=20, settings={"init_checkpoint": path})
    other = {"student_ckpt_path": path, "ckpt_path": path}
    save_run(tmp_path / KD, teacher="3-CheXNet", radiographs=20, settings=other)
    (section,) = read_sections(tmp_path)
    assert section.teachings[0].alone is not None
