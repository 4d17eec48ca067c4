"""predict.py as people run it, and what they give it."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from PIL import Image

from cxr14.deployment.card import read_card
from cxr14.deployment.prediction.drawing import save_overlay
from cxr14.deployment.prediction.model import load_model
from cxr14.deployment.prediction.radiographs import find_radiographs, prepare_gray
from cxr14.deployment_settings import CARD_FILE
from cxr14.errors import InputError
from cxr14.files import fingerprint
from cxr14.findings import FINDINGS
from cxr14.settings import ROOT
from tests.conftest import run_python

SCRIPT = ROOT / "7-Using-EEEA-Net-C2" / "predict.py"


@pytest.fixture(scope="session")
def model(exported, tmp_path_factory):
    """The exported model with operating points: 0, 1.1, then 0.5, and none for the last finding."""
    folder = tmp_path_factory.mktemp("model")
    shutil.copy(exported / "eeea-net-c2.onnx", folder)
    card = json.loads((exported / CARD_FILE).read_text())
    for finding, point in zip(card["findings"], [0, 1.1, *[0.5] * 11, None], strict=True):
        finding["operating_point"] = point
    (folder / CARD_FILE).write_text(json.dumps(card))
    return folder / "eeea-net-c2.onnx"


def predict(model, *words, cwd=ROOT):
    return run_python(SCRIPT, *words, "--model-path", model, cwd=cwd)


def expected_probabilities(model, path):
    """What the model says of pixels that are decoded and resized by pillow here."""
    network, _ = load_model(model)
    with Image.open(path) as image:
        square = np.asarray(image.convert("L").resize((256, 256), Image.Resampling.BILINEAR))
    return network(square[None, 16:240, 16:240]).probabilities[0]


def test_one_file_gets_a_table_of_its_findings(model, radiographs):
    path = radiographs / "images" / "00000002_000.png"
    done = predict(model, path)
    assert done.returncode == 0
    assert "not a medical device" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == str(path)
    rows = [line.split() for line in lines[2:]]
    assert [row[0] for row in rows] == list(FINDINGS)
    expected = expected_probabilities(model, path)
    np.testing.assert_allclose([float(row[1]) for row in rows], expected, atol=6e-4)
    assert rows[0][3] == "yes" and rows[1][3] == "no" and rows[-1][2:] == ["-"]
    assert [row[3] == "yes" for row in rows[2:-1]] == (expected[2:-1] >= 0.5).tolist()


def test_folder_becomes_csv_and_json_and_names_what_is_left_out(model, radiographs, tmp_path):
    folder = tmp_path / "with space 胸片"
    shutil.copytree(radiographs / "images", folder)
    (folder / "cut.png").write_bytes((folder / "00000000_000.png").read_bytes()[:500])
    (folder / "notes.txt").write_text("no radiograph")
    done = predict(model, folder, "--csv", tmp_path / "t.csv", "--json", tmp_path / "t.json")
    assert done.returncode == 1
    assert "cut.png: cannot be decoded" in done.stderr and "1 file was left out" in done.stderr
    assert "6 radiographs" in done.stdout and "Traceback" not in done.stderr
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["radiograph"] for row in rows] == [str(path) for path in sorted(folder.glob("0*.png"))]
    content = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    assert [one["file"] for one in content["left_out"]] == [str(folder / "cut.png")]
    for row, entry in zip(rows, content["radiographs"], strict=True):
        expected = expected_probabilities(model, row["radiograph"])
        for number, name in enumerate(FINDINGS):
            assert float(row[name]) == pytest.approx(expected[number], abs=1e-6)
            assert entry["findings"][name]["probability"] == pytest.approx(expected[number], abs=1e-6)
        assert row[f"{FINDINGS[0]} positive"] == "yes" and row[f"{FINDINGS[-1]} positive"] == ""
        assert entry["findings"][FINDINGS[1]]["positive"] is False


def test_maps_are_drawn_for_each_yes(model, radiographs, tmp_path):
    path = radiographs / "images" / "00000002_000.png"  # 1024 x 900
    done = predict(model, path, "--maps", tmp_path / "maps")
    assert done.returncode == 0, done.stderr
    yes = [line.split()[0] for line in done.stdout.splitlines() if line.endswith("yes")]
    drawn = sorted((tmp_path / "maps").iterdir())
    assert [one.name for one in drawn] == sorted(f"00000002_000-{name}.png" for name in yes)
    with Image.open(drawn[0]) as picture:
        assert (picture.size, picture.mode) == ((512, 450), "RGB")


def test_overlay_colours_the_hot_cell_and_no_other(tmp_path, exported):
    heat_map = np.zeros((7, 7), np.float32)
    heat_map[1, 5] = 0.01
    card = read_card(exported / CARD_FILE)
    save_overlay(tmp_path / "o.png", np.full((256, 256), 90, np.uint8), heat_map, card.preprocessing)
    picture = np.asarray(Image.open(tmp_path / "o.png")).astype(int)
    colour = picture.max(axis=2) - picture.min(axis=2)
    row, column = np.unravel_index(colour.argmax(), colour.shape)
    # The crop begins at pixel 32 of 512; a cell has 64.
    assert abs(row - (32 + 1.5 * 64)) < 8 and abs(column - (32 + 5.5 * 64)) < 8
    assert colour[200:, :300].max() == 0


def test_each_file_is_found_once(tmp_path):
    (tmp_path / "a" / ".hidden").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("a/2.png", "a/1.JPG", "a/.hidden/3.png", "a/list.csv"):
        (tmp_path / name).touch()
    given = [tmp_path / name for name in ("a", "a/2.png", "empty", "no")]
    found = list(find_radiographs(given))
    assert found[:2] == [tmp_path / "a" / "1.JPG", tmp_path / "a" / "2.png"]
    assert [(one.reason, one.is_error) for one in found[2:]] == [
        ("it was given twice; it is read once", False),
        ("holds no PNG, JPEG or DICOM file", True),
        ("there is no such file", True),
    ]


def test_prepared_pixels_do_not_depend_on_the_model(exported):
    card = read_card(exported / CARD_FILE)
    gray = np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)
    np.testing.assert_array_equal(prepare_gray(gray, card.preprocessing), gray[16:240, 16:240])


def refused(model):
    """Return why a model is refused."""
    with pytest.raises(InputError) as error:
        load_model(model)
    return str(error.value)


def test_card_of_another_model_is_refused(exported, tmp_path):
    other = tmp_path / "eeea-net-c2.onnx"
    shutil.copy(exported / CARD_FILE, tmp_path)
    content = onnx.load(exported / "eeea-net-c2.onnx")
    content.producer_version = "another"
    onnx.save(content, other)
    assert "another model" in refused(other)


def test_unusable_models_and_cards_are_refused(exported, tmp_path):
    model, card = tmp_path / "eeea-net-c2.onnx", tmp_path / CARD_FILE
    assert "there is no model" in refused(model)
    shutil.copy(exported / "eeea-net-c2.onnx", model)
    assert "export-model.py writes it beside the model" in refused(model)
    text = (exported / CARD_FILE).read_text()
    for content, reason in {
        "": "not a readable model card",
        "[1]": "not a readable model card",
        text.replace('"format": 1', '"format": 2'): "update the program",
        text.replace("Hernia", "Fracture"): "other findings",
    }.items():
        card.write_text(content)
        assert reason in refused(model)
    card.write_text(text)
    load_model(model)


def test_no_radiographs_is_an_error(model):
    done = predict(model)
    assert done.returncode == 2 and "give radiographs" in done.stderr


def test_output_that_cannot_be_written_is_refused_before_any_work(model, radiographs, tmp_path):
    (tmp_path / "file").touch()
    done = predict(model, radiographs / "images", "--csv", tmp_path / "file" / "t.csv")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_maps_of_a_model_without_them_are_refused(model, radiographs, tmp_path):
    content = onnx.load(model)
    del content.graph.output[2]
    onnx.save(content, tmp_path / "small.onnx")
    card = json.loads(model.with_name(CARD_FILE).read_text())
    card["model_hash"] = fingerprint(tmp_path / "small.onnx")
    (tmp_path / CARD_FILE).write_text(json.dumps(card))
    done = predict(tmp_path / "small.onnx", radiographs / "images", "--maps", tmp_path / "maps")
    assert done.returncode == 2 and "has no heat maps" in done.stderr
    assert not (tmp_path / "maps").exists()


@pytest.mark.slow
def test_prediction_needs_little_time_and_memory_and_no_torch(model, radiographs):
    # Memory in kB, from Linux; getrusage would count that of the process that started this one.
    code = (
        "import runpy, sys, time; sys.argv = sys.argv[1:]\n"
        "peak = lambda: next(int(line.split()[1]) for line in open('/proc/self/status') if 'VmHWM' in line)\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "heavy = {'torch', 'scipy', 'pandas', 'matplotlib', 'pydicom', 'ray'} & set(sys.modules)\n"
        "print(peak(), time.process_time(), *heavy, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, SCRIPT, radiographs / "images" / "00000000_000.png"]
    command += ["--model-path", model]
    found = []
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
        memory, seconds, *heavy = done.stderr.splitlines()[-1].split()
        assert heavy == []
        assert int(memory) < 150_000  # kB
        found.append(float(seconds))
    # Of the processor, for the suite shares the machine; 0.5 s of the clock is a benchmark's to show.
    assert min(found) < 1.0
