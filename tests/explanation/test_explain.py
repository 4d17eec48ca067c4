"""explain-model.py: choice of radiographs, overlays, contact sheet, and the script on phantoms."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cxr14 import script
from cxr14.data.boxes import Box
from cxr14.data.image_lists import ImageList, read_list
from cxr14.data.provenance import MAY_HAVE_SEEN_TEST_PATIENTS, Provenance
from cxr14.errors import InputError
from cxr14.explanation import command
from cxr14.explanation.overlays import MOST_ON_SHEET, SIDE, HeatMap, overlay, save_contact_sheet, save_overlay
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from cxr14.settings import ROOT, ExplainSettings
from tests.conftest import run_python
from tests.in_process import run_script

SCRIPT = ROOT / "7-Using-EEEA-Net-C2" / "explain-model.py"


def make_list(*findings):
    """An image list of radiographs with these findings."""
    labels = np.zeros((len(findings), len(FINDINGS)), np.uint8)
    for row, columns in enumerate(findings):
        labels[row, list(columns)] = 1
    return ImageList(Path("list.txt"), [f"{row:08d}_000.png" for row in range(len(findings))], labels)


def test_radiographs_are_chosen_by_finding_in_turn():
    image_list = make_list({2}, {2}, {}, {2}, {0}, {5, 2}, {0})
    assert command.choose_radiographs(image_list, "positive", {}, 3) == [4, 0, 5]
    assert command.choose_radiographs(image_list, "positive", {}, 99) == [4, 0, 5, 6, 1, 3]
    assert command.choose_radiographs(image_list, FINDINGS[2], {}, 2) == [0, 1]
    assert command.choose_radiographs(image_list, 3, {}, 4) == [0, 1, 2, 3]


def test_with_a_box_list_only_radiographs_with_boxes_are_chosen():
    image_list = make_list({2}, {2}, {0}, {})
    boxes = {(image_list.names[1], 2): [Box(0, 0, 9, 9)], (image_list.names[2], 3): [Box(0, 0, 9, 9)]}
    assert command.choose_radiographs(image_list, "positive", boxes, 9) == [1]
    assert command.choose_radiographs(image_list, 2, boxes, 9) == [1, 2]


def test_finding_that_no_radiograph_has_raises_input_error():
    with pytest.raises(InputError, match="Hernia finding; choose another FINDINGS_SHOWN"):
        command.choose_radiographs(make_list({2}, {0}), "Hernia", {}, 3)


@pytest.mark.parametrize("shown", ["0", "-1"])
def test_number_of_findings_below_one_raises_input_error(shown):
    constants = {
        "CKPT_PATH": "a",
        "DATA_DIR": "b",
        "IMAGE_LIST": "c",
        "OUT_DIR": "d",
        "__file__": str(SCRIPT),
    }
    flags = ["--findings-shown", shown]
    with pytest.raises(InputError, match=f"FINDINGS_SHOWN = {shown} is out of range; 1 or more"):
        script.read_settings(ExplainSettings, constants, flags)
    assert script.read_settings(ExplainSettings, constants, ["--findings-shown", "2"]).findings_shown == 2


def test_overlay_shows_map_frame_and_boxes_at_their_positions():
    gray = np.full((40, 40), 100, np.uint8)
    heat = np.zeros((224, 224))
    heat[100:140, 20:60] = 1  # at 256 px: rows 116 to 156, columns 36 to 76
    plain = np.asarray(overlay(gray)).astype(int)
    drawn = np.asarray(overlay(gray, heat, [Box(600, 700, 200, 100)])).astype(int)
    assert plain.shape == drawn.shape == (SIDE, SIDE, 3)
    assert (plain == 100).all()
    red = drawn[..., 0] - drawn[..., 2] > 60
    rows, columns = np.where(red)
    assert abs(rows.min() - 116 * 2) <= 3
    assert abs(rows.max() - 156 * 2) <= 3
    assert abs(columns.min() - 36 * 2) <= 3
    assert abs(columns.max() - 76 * 2) <= 3
    blue = drawn[..., 2] - drawn[..., 0] > 100
    rows, columns = np.where(blue)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (300, 350, 400, 400)


def test_caution_is_drawn_on_the_lower_edge_and_stored_in_the_file(tmp_path):
    heat_map = HeatMap("a.png", np.full((32, 32), 100, np.uint8), np.zeros((28, 28)), 3, 0.5, 1)
    save_overlay(tmp_path / "plain.png", heat_map)
    save_overlay(tmp_path / "marked.png", heat_map, MAY_HAVE_SEEN_TEST_PATIENTS)
    plain, marked = (Image.open(tmp_path / name) for name in ("plain.png", "marked.png"))
    assert "Caution" not in plain.text
    assert marked.text["Caution"] == MAY_HAVE_SEEN_TEST_PATIENTS
    differs = (np.asarray(plain) != np.asarray(marked)).any(axis=2)
    assert np.where(differs)[0].min() > 0.9 * SIDE
    assert differs.sum() > 1000


def test_contact_sheet_has_at_most_24_rows(tmp_path):
    gray, heat = np.full((32, 32), 100, np.uint8), np.zeros((28, 28))
    rows = [HeatMap(f"{row}.png", gray, heat, 3, 0.5, 1) for row in range(MOST_ON_SHEET + 9)]
    for count in (MOST_ON_SHEET, MOST_ON_SHEET + 9):
        save_contact_sheet(tmp_path / f"{count}.png", rows[:count], "TINY", "note")
    sizes = {Image.open(path).size for path in tmp_path.iterdir()}
    assert len(sizes) == 1


def save_untrained(path, unknown=()):
    """Write a checkpoint of EEEA-Net-C2 with random weights."""
    torch.manual_seed(0)
    model = zoo.build(zoo.NAMES[0], pretrained=False, image_size=64)
    about = checkpoint.About(network=zoo.NAMES[0], image_size=64, teacher=zoo.NAMES[2])
    checkpoint.save(path, model.state_dict(), about, Provenance(unknown=unknown))
    return path


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A checkpoint of EEEA-Net-C2 with random weights."""
    return save_untrained(tmp_path_factory.mktemp("untrained") / "model1.pth")


def explain(phantoms, ckpt_path, out, *words, run=run_script, cwd=SCRIPT.parent):
    """Run the script on the phantoms; return the process and the files that it wrote, by name."""
    flags = ("--ckpt-path", ckpt_path, "--data-dir", phantoms / "images", "--out-dir", out, "--device", "cpu")
    flags += ("--image-list", phantoms / "labels" / "train_list.txt")
    finished = run(SCRIPT.relative_to(cwd), *flags, *words, cwd=cwd)
    return finished, {path.name: path for path in out.iterdir()} if out.exists() else {}


def read_csv(path):
    """The rows of a CSV file as dicts."""
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_script_draws_and_scores(phantoms, untrained, tmp_path):
    boxes = phantoms / "source" / "BBox_List_2017_synthetic.csv"
    flags = ("--box-list", boxes, "--count", 3)
    finished, files = explain(phantoms, untrained, tmp_path, *flags, run=run_python)
    assert finished.returncode == 0, finished.stderr
    assert "1-EEEA-Net-C2 taught by 3-CheXNet on SYNTHETIC radiographs" in finished.stdout
    assert "Pointing game (SYNTHETIC, " in finished.stdout
    assert "Localization by boxes, Wang et al. 2017 (SYNTHETIC, " in finished.stdout
    assert MAY_HAVE_SEEN_TEST_PATIENTS not in finished.stdout
    rows = read_csv(files["explanations.csv"])
    image_list = read_list(phantoms / "labels" / "train_list.txt")
    assert len({row["radiograph"] for row in rows}) == 3
    others = {"contact-sheet.png", "explanations.csv", "pointing-game.csv", "localization.csv"}
    assert {row["picture"] for row in rows} == files.keys() - others
    for row in rows:
        labels = image_list.labels[image_list.names.index(row["radiograph"])]
        assert row["label"] == "1" == str(labels[FINDINGS.index(row["finding"])])
        assert 0 < float(row["probability"]) < 1
        with Image.open(files[row["picture"]]) as picture:
            picture.load()
            assert picture.size == (SIDE, SIDE)
            assert np.ptp(np.asarray(picture).astype(int), axis=2).max() > 30  # colour on gray
    with Image.open(files["contact-sheet.png"]) as sheet:
        sheet.load()
        assert sheet.width >= 750
    with boxes.open() as file:
        boxed = [(name, finding) for name, finding, *_ in list(csv.reader(file))[1:]]
    boxed = [pair for pair in boxed if pair[0] in image_list.names]
    pointing = {row["finding"]: row for row in read_csv(files["pointing-game.csv"])}
    assert int(pointing["mean"]["radiographs"]) == len(set(boxed))
    assert all(0 < float(row["chance"]) < 1 for row in pointing.values())
    located = read_csv(files["localization.csv"])
    assert {row["boxes"] for row in located if row["finding"] == "mean"} == {str(len(boxed))}
    assert len(located) == 12 * len(pointing)
    assert all(0 <= float(row["accuracy"]) <= 1 for row in located)


@pytest.mark.slow
def test_weights_of_unknown_origin_mark_every_table_and_picture(phantoms, tmp_path):
    weights = save_untrained(tmp_path / "model1.pth", unknown=("model.pth.tar",))
    boxes = phantoms / "source" / "BBox_List_2017_synthetic.csv"
    finished, files = explain(phantoms, weights, tmp_path / "out", "--box-list", boxes, "--count", 1)
    assert finished.returncode == 0, finished.stderr
    assert f"weights of unknown origin (model.pth.tar): {MAY_HAVE_SEEN_TEST_PATIENTS}" in finished.stdout
    assert finished.stdout.count(MAY_HAVE_SEEN_TEST_PATIENTS) == 3  # and above both tables
    for name in ("explanations.csv", "pointing-game.csv", "localization.csv"):
        assert {row["caution"] for row in read_csv(files[name])} == {MAY_HAVE_SEEN_TEST_PATIENTS}
    for row in read_csv(files["explanations.csv"]):
        with Image.open(files[row["picture"]]) as picture:
            assert picture.text["Caution"] == MAY_HAVE_SEEN_TEST_PATIENTS
    _, unmarked = explain(phantoms, save_untrained(weights), tmp_path / "other", "--count", 1)
    with Image.open(files["contact-sheet.png"]) as marked, Image.open(unmarked["contact-sheet.png"]) as plain:
        assert marked.text["Title"].endswith(f"({MAY_HAVE_SEEN_TEST_PATIENTS})")
        assert MAY_HAVE_SEEN_TEST_PATIENTS not in plain.text["Title"]


@pytest.mark.slow
def test_script_shows_the_most_probable_findings(phantoms, untrained, tmp_path):
    out = tmp_path / "two"
    finished, files = explain(phantoms, untrained, out, "--findings-shown", 2, "--count", 2, cwd=ROOT)
    assert finished.returncode == 0, finished.stderr
    rows = read_csv(files["explanations.csv"])
    assert len(rows) == 4
    assert float(rows[0]["probability"]) >= float(rows[1]["probability"])
    assert "localization.csv" not in files
    finished, files = explain(phantoms, untrained, tmp_path / "none", "--findings-shown", "Cough")
    assert finished.returncode == 2
    assert not files


@pytest.mark.slow
def test_missing_file_is_one_line_and_nothing_is_written(phantoms, untrained, tmp_path):
    for words in (("--box-list", tmp_path / "no.csv"), ("--ckpt-path", tmp_path / "no.pth")):
        finished, files = explain(phantoms, untrained, tmp_path / "out", *words)
        assert finished.returncode == 2
        assert finished.stderr.startswith("error: ")
        assert finished.stderr.count("\n") == 1
        assert not files


def test_pictures_of_two_formats_of_one_name_do_not_share_a_file():
    found = command.picture_names(["a.png", "a.jpg", "b.png"])
    assert found == {"a.png": "a.png", "a.jpg": "a.jpg", "b.png": "b"}
