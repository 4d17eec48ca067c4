"""A network as a folder for the hub: timm loads it, also after an upload, and its card tells what it is."""

import csv
import dataclasses

import numpy as np
import pytest
import timm
import torch
import yaml
from huggingface_hub import constants
from PIL import Image

from cxr14.data import augment
from cxr14.deployment.card import read_card, require_belongs
from cxr14.deployment.hub.command import share
from cxr14.deployment.hub.layout import FILES
from cxr14.deployment.hub.upload import upload
from cxr14.deployment_settings import CARD_FILE, ShareSettings
from cxr14.errors import InputError
from cxr14.evaluation import metrics
from cxr14.evaluation.predictions import TEST, VALIDATION, Predictions
from cxr14.evaluation.results import Results, choose_operating_points
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from cxr14.settings import ROOT
from tests.conftest import run_python
from tests.deployment.conftest import save_checkpoint
from tests.deployment.test_export import centre_crops
from tests.fake_hub import TOKEN, running_hub
from tests.simulated_runs import save_run

SCRIPT = ROOT / "7-Using-EEEA-Net-C2" / "share-model.py"
NAME = "someone/student"


def save_results(folder, weights_hash, **how):
    """Write simulated results of a checkpoint."""
    save_run(folder, radiographs=400, **how)
    val, test = (
        dataclasses.replace(Predictions.load(folder / f"predictions-{split}.npz"), weights_hash=weights_hash)
        for split in (VALIDATION, TEST)
    )
    Results(val, test, choose_operating_points(val, "youden", None, crops=10)).save(folder)
    return test


@pytest.fixture(scope="module")
def subject(exported, tmp_path_factory):
    """Settings to share the exported network, with simulated results and a table of patients."""
    folder = tmp_path_factory.mktemp("subject")
    weights_hash = checkpoint.read(exported / "model1.pth").weights_hash
    names = save_results(folder / "results", weights_hash, kind="real").names.tolist()
    with (folder / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["Image Index", "Finding Labels", "Patient Age", "Patient Gender", "View Position"])
        rows.writerows([name, "Mass", 50, "FM"[k % 2], ("PA", "AP")[k % 2]] for k, name in enumerate(names))
    return ShareSettings(
        ckpt_path=exported / "model1.pth",
        results_dir=folder / "results",
        model_path=exported / "eeea-net-c2.onnx",
        nih_table=folder / "table.csv",
        out_dir=folder / "hub",
    )


@pytest.fixture(scope="module")
def hub():
    """A server in place of the hub."""
    with running_hub() as server:
        yield server


@pytest.fixture(scope="module")
def shared(subject, hub):
    """The folder that the script wrote and uploaded, in a process of its own."""
    subject.out_dir.mkdir()
    (subject.out_dir / "private.txt").write_text("not for the hub")
    flags = [
        word
        for name in ("ckpt_path", "results_dir", "model_path", "nih_table", "out_dir")
        for word in (f"--{name.replace('_', '-')}", getattr(subject, name))
    ]
    home = subject.out_dir.parent / "home"
    done = run_python(SCRIPT, *flags, "--push", NAME, **environment(hub, home))
    assert done.returncode == 0, done.stderr
    assert f"{hub.address}/{NAME} has the files" in done.stdout
    return subject.out_dir


def environment(hub, home):
    """Return the variables that lead Hugging Face's client to the server."""
    return {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(home),
        "HF_TOKEN": TOKEN,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",  # a protocol of large files that the server does not know
    }


def test_the_folder_and_the_repository_hold_the_same_files_and_no_others(shared, hub):
    assert hub.repositories[NAME].keys() == set(FILES)
    assert hub.visibility[NAME] == "private"
    for name in FILES:
        assert (shared / name).read_bytes() == hub.repositories[NAME][name]
        assert (shared / name).stat().st_mode & 0o044, name


LOADING = """
import sys
import timm, torch
import cxr14.models
from cxr14.models import checkpoint

installed, path, *sources = sys.argv[1:]
assert cxr14.models.__file__.startswith(installed)
model, loaded = checkpoint.load(path)
image = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
with torch.inference_mode():
    for source in sources:
        ours = timm.create_model(source, pretrained=True).eval()
        assert torch.equal(ours(image), model(image)), source
        assert checkpoint.hash_weights(ours.state_dict()) == loaded.weights_hash, source
"""


@pytest.mark.slow
def test_timm_loads_it_from_the_hub_and_from_the_folder_without_a_clone(
    shared, hub, subject, installed, tmp_path
):
    words = (installed, subject.ckpt_path, f"local-dir:{shared}", f"hf-hub:{NAME}")
    variables = environment(hub, tmp_path) | {"PYTHONPATH": str(installed)}
    done = run_python("-c", LOADING, *words, cwd=tmp_path, **variables)
    assert done.returncode == 0, done.stderr


def test_timm_prepares_radiographs_as_training_does(shared, radiographs):
    model = timm.create_model(f"local-dir:{shared}", pretrained=True).eval()
    assert model.pretrained_cfg["label_names"] == list(FINDINGS)
    config = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**config, is_training=False)
    paths = sorted((radiographs / "images").iterdir())
    images = torch.stack([transform(Image.open(path).convert("L").convert("RGB")) for path in paths])
    ours = augment.normalise(torch.from_numpy(centre_crops(radiographs)))
    assert (images - ours).abs().max() <= 1e-6


def test_predict_takes_the_exported_model_from_the_folder(shared):
    card = read_card(shared / "onnx" / CARD_FILE)
    require_belongs(card, shared / "onnx" / CARD_FILE, shared / "onnx" / "model.onnx")


def test_card_has_metadata_warnings_and_the_sections_of_the_template(shared):
    _, metadata, text = (shared / "README.md").read_text().split("---\n", 2)
    facts = yaml.safe_load(metadata)
    assert (facts["library_name"], facts["pipeline_tag"]) == ("timm", "image-classification")
    assert facts["license"] == "mit" and "knowledge-distillation" not in facts["tags"]
    for warning in read_card(shared / "onnx" / CARD_FILE).warnings:
        assert f"> **Warning:** {warning}." in text
    assert "this repository.\n\nThe README of the code" in text
    sections = [line for line in text.splitlines() if line.startswith("## ")]
    assert [section.removeprefix("## ") for section in sections] == [
        "Model details",
        "Uses",
        "How to use it",
        "Training",
        "Evaluation",
        "Bias, risks and limitations",
        "Licences and citation",
    ]
    for words in ("not a medical device", "adults", "no external validation", "read from the radiologists'"):
        assert words in text, words
    assert "{%" not in text and "None" not in text.replace("[None]", "")


def table_after(text, heading):
    """Return the first table behind a heading, as rows of cells."""
    lines = text.partition(heading)[2].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| "))
    rows = []
    for line in lines[start:]:
        if not line.startswith("| "):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[:1] + rows[2:]


def test_figures_of_the_card_are_those_of_the_results(shared, subject):
    text = (shared / "README.md").read_text()
    results = Results.load(subject.results_dir)
    values = metrics.auroc(results.test.labels, results.test.probabilities)
    positive, decided = results.test.labels == 1, results.test.probabilities >= results.points.thresholds
    head, *rows, mean = table_after(text, "## Evaluation")
    assert len(rows) == len(FINDINGS)
    for column, (row, value) in enumerate(zip(rows, values, strict=True)):
        assert row[0] == FINDINGS[column].replace("_", " ")
        if np.isnan(value):  # the list has no radiograph with it
            assert row[1] == "0" and row[head.index("AUROC")] == "–"
            continue
        found = float(row[head.index("AUROC")].partition(" ")[0])
        assert found == pytest.approx(value, abs=5.1e-4)
        low, high = map(float, row[head.index("AUROC")].partition("(")[2].strip(")").split("–"))
        assert low < found < high
        expected = decided[positive[:, column], column].mean()
        assert float(row[head.index("sensitivity")].partition(" ")[0]) == pytest.approx(expected, abs=5.1e-4)
    assert float(mean[2].partition(" ")[0]) == pytest.approx(np.nanmean(values), abs=5.1e-4)
    groups = {row[0]: row for row in table_after(text, "### Subgroups")[1:]}
    assert groups.keys() == {"sex: female", "sex: male", "age: 40 to 59", "view: PA", "view: AP"}
    assert groups["sex: female"][1] == "200" and groups["sex: female"][4] == groups["view: PA"][4]


def test_card_holds_no_path_and_no_name_of_a_patient(shared, subject):
    text = (shared / "README.md").read_text() + (shared / "config.json").read_text()
    assert str(subject.out_dir.parent) not in text and "model.pth" not in text
    assert not any(name in text for name in Results.load(subject.results_dir).test.names)


def test_synthetic_radiographs_are_called_so_and_a_teacher_is_named(subject, tmp_path):
    loaded = checkpoint.read(subject.ckpt_path)
    about = dataclasses.replace(loaded.about, teacher=zoo.NAMES[2])
    checkpoint.save(tmp_path / "taught.pth", loaded.weights, about, loaded.provenance)
    save_results(tmp_path / "results", loaded.weights_hash, teacher=zoo.NAMES[2])
    changes = {"ckpt_path": tmp_path / "taught.pth", "results_dir": tmp_path / "results", "nih_table": None}
    share(dataclasses.replace(subject, out_dir=tmp_path / "hub", **changes))
    text = (tmp_path / "hub" / "README.md").read_text()
    assert "> **Warning about the figures below:** These radiographs are synthetic" in text
    assert "distillation from CheXNet" in text and "- knowledge-distillation" in text
    assert "NIH ChestX-ray14" not in text
    assert "Not examined: no table of patients was given." in text


def test_results_and_models_of_other_weights_are_refused(subject, radiographs, tmp_path):
    save_results(tmp_path / "results", "another")
    for changes in ({"results_dir": tmp_path / "results"}, {"ckpt_path": other_checkpoint(tmp_path)}):
        with pytest.raises(InputError, match="are not those of"):
            share(dataclasses.replace(subject, out_dir=tmp_path / "hub", **changes))
    assert not (tmp_path / "hub").exists()


def other_checkpoint(folder):
    """Write a checkpoint with other weights than the exported one."""
    return save_checkpoint(folder / "other.pth", zoo.NAMES[0], image_size=64)


def test_uploads_that_fail_raise_input_error(shared, hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setenv("HF_TOKEN", "wrong")
    with pytest.raises(InputError, match=r"refused the upload to someone/student .*hf auth login"):
        upload(shared, NAME, private=True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(InputError, match="is no name of a repository"):
        upload(shared, "a name/with blanks", private=True)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(InputError, match=r"the upload to someone/student at .* failed"):
        upload(shared, NAME, private=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        upload(shared, NAME, private=True)
