"""Where a network looks: maps of networks with known evidence, of all five, and the script on phantoms."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from cxr14.data import augment
from cxr14.data.image_lists import ImageList, read_list
from cxr14.errors import InputError
from cxr14.explanation import command, heat_maps
from cxr14.explanation.localization import Box
from cxr14.explanation.overlays import MOST_ON_SHEET, SIDE, Look, contact_sheet, overlay
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from cxr14.settings import ROOT
from tests.conftest import run_python

SCRIPT = ROOT / "7-Using-EEEA-Net-C2" / "explain-model.py"


class BrightSquares(nn.Module):
    """Finding 0 is a bright cell of 8 x 8 pixels, finding 1 is its absence."""

    def __init__(self, channels_last=False):
        super().__init__()
        self.cells = nn.Conv2d(3, 1, 8, stride=8)
        nn.init.constant_(self.cells.weight, 1 / self.cells.weight.numel())
        nn.init.constant_(self.cells.bias, -1.0)  # the normalised background lies below 1
        self.maps = nn.Sequential(nn.ReLU())
        self.channels_last = channels_last

    def forward(self, images):
        cells = self.cells(images)  # (B, 1, 8, 8)
        if self.channels_last:
            evidence = self.maps(cells.permute(0, 2, 3, 1)).mean(dim=(1, 2))
        else:
            evidence = self.maps(cells).mean(dim=(2, 3))
        return torch.cat([evidence, -evidence], dim=1)


class Mixed(nn.Module):
    """A little network with evidence for and against everywhere."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(3, 6, 8, stride=8)
        self.head = nn.Linear(6, 4)

    def forward(self, images):
        return self.head(self.maps(images).sigmoid().square().mean(dim=(2, 3)))


@pytest.fixture
def squares():
    """Three dark radiographs of 64 px with one bright cell each."""
    images = torch.full((3, 64, 64), 90, dtype=torch.uint8)
    for image, (top, left) in zip(images, [(0, 56), (24, 16), (56, 0)], strict=True):
        image[top : top + 8, left : left + 8] = 255
    return images


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("method", ["layer-cam", "grad-cam"])
def test_a_network_that_sees_bright_squares_points_at_them(squares, method, channels_last):
    layer = heat_maps.Layer("maps", 8, channels_last)
    maps, logits = heat_maps.heat_maps(BrightSquares(channels_last).eval(), layer, squares, [0] * 3, method)
    for image, heat in zip(squares, maps, strict=True):
        assert image.flatten()[heat.argmax()] == 255
        assert heat.max() == pytest.approx(1, abs=1e-6)
        bright = (image == 255).numpy()
        assert heat[bright].mean() > 0.6  # a tent over the cell: 0.64
        assert (
            heat[functional.max_pool2d((image == 255)[None, None].float(), 25, 1, 12)[0, 0] == 0].max() == 0
        )
    assert (logits[:, 0] > 0).all()


def test_nothing_speaks_for_what_is_not_there(squares):
    maps, _ = heat_maps.heat_maps(BrightSquares().eval(), heat_maps.Layer("maps", 8), squares, [1] * 3)
    assert not maps.any()


@pytest.mark.parametrize("method", ["layer-cam", "grad-cam"])
def test_maps_equal_their_formulas(method):
    torch.manual_seed(3)
    model, findings = Mixed().eval(), [0, 3, 2, 2]
    images = torch.randint(0, 256, (4, 64, 64), dtype=torch.uint8)
    maps, logits = heat_maps.heat_maps(model, heat_maps.Layer("maps", 8), images, findings, method)
    for image, finding, heat, told in zip(images, findings, maps, logits, strict=True):
        cells = model.maps(augment.normalise(image[None])).detach().requires_grad_()
        answer = model.head(cells.sigmoid().square().mean(dim=(2, 3)))[0]
        slope = torch.autograd.grad(answer[finding], cells)[0]
        weight = slope.relu() if method == "layer-cam" else slope.mean(dim=(2, 3), keepdim=True)
        raw = (weight * cells.detach()).sum(dim=1, keepdim=True).relu()
        raw = (raw - raw.min()) / raw.max().sub(raw.min())
        raw = functional.interpolate(raw, (64, 64), mode="bilinear", align_corners=False)[0, 0]
        expected = (raw - raw.min()) / (raw.max() - raw.min())
        np.testing.assert_allclose(heat, expected, atol=1e-4)
        np.testing.assert_allclose(told, answer.detach(), atol=1e-5)


def test_the_network_is_left_as_it_was(squares):
    model = BrightSquares().eval()
    model.cells.bias.requires_grad_(False)
    heat_maps.heat_maps(model, heat_maps.Layer("maps", 8), squares, [0] * 3)
    assert model.cells.weight.requires_grad
    assert not model.cells.bias.requires_grad
    assert model.cells.weight.grad is None
    assert not model.maps._forward_hooks


@pytest.mark.parametrize(("image_size", "stride"), [(224, 32), (256, 32), (112, 16), (64, 8), (32, 8)])
def test_the_layer_has_seven_cells_where_it_can(image_size, stride):
    assert {heat_maps.layer_for(name, image_size).stride for name in zoo.NAMES} == {stride}


@pytest.mark.parametrize("name", zoo.NAMES)
def test_every_network_shows_where_it_looks(name):
    torch.manual_seed(0)
    model = zoo.build(name, pretrained=False, image_size=64).eval()
    images = torch.randint(0, 256, (2, 64, 64), dtype=torch.uint8)
    for stride, module in heat_maps.LAYERS[name].items():
        layer = heat_maps.Layer(module, stride, name in heat_maps.CHANNELS_LAST)
        sizes = []
        hook = model.get_submodule(module).register_forward_hook(
            lambda module, given, output, sizes=sizes: sizes.append(output.shape)
        )
        maps, logits = heat_maps.heat_maps(model, layer, images, [0, 5])
        hook.remove()
        assert 64 // stride == (sizes[0][1] if layer.channels_last else sizes[0][3]) == sizes[0][2]
        assert maps.shape == (2, 64, 64)
        assert logits.shape == (2, len(FINDINGS))
        assert np.isfinite(maps).all()
        if layer == heat_maps.layer_for(name, 64):
            assert (maps.max(axis=(1, 2)) > 0.99).all()
            assert (maps.std(axis=(1, 2)) > 0.01).all()


def a_list(*labelled):
    """An image list with these findings, one radiograph each."""
    labels = np.zeros((len(labelled), len(FINDINGS)), np.uint8)
    for row, columns in enumerate(labelled):
        labels[row, list(columns)] = 1
    return ImageList(Path("list.txt"), [f"{row:08d}_000.png" for row in range(len(labelled))], labels)


def test_each_finding_has_its_turn():
    listed = a_list({2}, {2}, {}, {2}, {0}, {5, 2}, {0})
    assert command.choose(listed, "positive", {}, 3) == [4, 0, 5]
    assert command.choose(listed, "positive", {}, 99) == [4, 0, 5, 6, 1, 3]
    assert command.choose(listed, FINDINGS[2], {}, 2) == [0, 1]
    assert command.choose(listed, 3, {}, 4) == [0, 1, 2, 3]


def test_with_boxes_only_boxed_radiographs_are_shown():
    listed = a_list({2}, {2}, {0}, {})
    boxes = {(listed.names[1], 2): [Box(0, 0, 9, 9)], (listed.names[2], 3): [Box(0, 0, 9, 9)]}
    assert command.choose(listed, "positive", boxes, 9) == [1]
    assert command.choose(listed, 2, boxes, 9) == [1, 2]


@pytest.mark.parametrize("shown", ["Hernia", 0, -1])
def test_nothing_to_show_is_a_sentence(shown):
    with pytest.raises(InputError, match="FINDINGS_SHOWN"):
        command.choose(a_list({2}, {0}), shown, {}, 3)


def test_an_overlay_shows_map_frame_and_boxes_where_they_are():
    gray = np.full((40, 40), 100, np.uint8)
    heat = np.zeros((224, 224))
    heat[100:140, 20:60] = 1  # of a radiograph of 256: lines 116 to 156, columns 36 to 76
    plain, drawn = (
        np.asarray(overlay(gray, *more)).astype(int) for more in ((), (heat, [Box(600, 700, 200, 100)]))
    )
    assert plain.shape == drawn.shape == (SIDE, SIDE, 3)
    assert (plain == 100).all()
    red = drawn[..., 0] - drawn[..., 2] > 60
    lines, columns = np.where(red)
    assert abs(lines.min() - 116 * 2) <= 3
    assert abs(lines.max() - 156 * 2) <= 3
    assert abs(columns.min() - 36 * 2) <= 3
    assert abs(columns.max() - 76 * 2) <= 3
    blue = drawn[..., 2] - drawn[..., 0] > 100
    lines, columns = np.where(blue)
    assert (columns.min(), lines.min(), columns.max(), lines.max()) == (300, 350, 400, 400)


def test_a_long_contact_sheet_stops(tmp_path):
    gray = np.full((32, 32), 100, np.uint8)
    looks = [Look(f"{row}.png", gray, np.zeros((28, 28)), 3, 0.5, True) for row in range(MOST_ON_SHEET + 9)]
    for count in (MOST_ON_SHEET, MOST_ON_SHEET + 9):
        contact_sheet(tmp_path / f"{count}.png", looks[:count], "TINY", "note")
    sizes = {Image.open(path).size for path in tmp_path.iterdir()}
    assert len(sizes) == 1


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A checkpoint of EEEA-Net-C2 as it begins."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("untrained") / "model1.pth"
    model = zoo.build(zoo.NAMES[0], pretrained=False, image_size=64)
    about = checkpoint.About(network=zoo.NAMES[0], image_size=64, teacher=zoo.NAMES[2])
    checkpoint.save(path, model.state_dict(), about)
    return path


def explain(phantoms, untrained, out, *words, cwd=SCRIPT.parent):
    """Run the script on the phantoms; return the process and what it left, by file name."""
    flags = ("--ckpt-path", untrained, "--data-dir", phantoms / "images", "--out-dir", out, "--device", "cpu")
    flags += ("--image-list", phantoms / "labels" / "train_list.txt")
    ended = run_python(SCRIPT if cwd == ROOT else SCRIPT.name, *flags, *words, cwd=cwd, OMP_NUM_THREADS="1")
    return ended, {path.name: path for path in out.iterdir()} if out.exists() else {}


@pytest.mark.slow
def test_the_script_draws_and_scores(phantoms, untrained, tmp_path):
    boxes = phantoms / "source" / "BBox_List_2017_synthetic.csv"
    ended, left = explain(phantoms, untrained, tmp_path, "--box-list", boxes, "--count", 3)
    assert ended.returncode == 0, ended.stderr
    assert "1-EEEA-Net-C2 taught by 3-CheXNet on SYNTHETIC radiographs" in ended.stdout
    assert "Pointing game and IoU (SYNTHETIC, " in ended.stdout
    rows = list(csv.DictReader(left["explanations.csv"].open()))
    listed = read_list(phantoms / "labels" / "train_list.txt")
    assert len({row["radiograph"] for row in rows}) == 3
    assert {row["picture"] for row in rows} == left.keys() - {
        "contact-sheet.png",
        "explanations.csv",
        "localisation.csv",
    }
    for row in rows:
        labels = listed.labels[listed.names.index(row["radiograph"])]
        assert row["label"] == "1" == str(labels[FINDINGS.index(row["finding"])])
        assert 0 < float(row["probability"]) < 1
        with Image.open(left[row["picture"]]) as picture:
            picture.load()
            assert picture.size == (SIDE, SIDE)
            assert np.ptp(np.asarray(picture).astype(int), axis=2).max() > 30  # colour on gray
    with Image.open(left["contact-sheet.png"]) as sheet:
        sheet.load()
        assert sheet.width >= 750
    table = {row["finding"]: row for row in csv.DictReader(left["localisation.csv"].open())}
    boxed = {(name, finding) for name, finding, *_ in list(csv.reader(boxes.open()))[1:]}
    count = sum(name in set(listed.names) for name, _ in boxed)
    assert int(table["mean"]["radiographs"]) == count
    assert all(0 < float(row["chance"]) < 1 for row in table.values())


@pytest.mark.slow
def test_the_most_probable_findings_and_a_finding_by_name(phantoms, untrained, tmp_path):
    ended, left = explain(
        phantoms, untrained, tmp_path / "two", "--findings-shown", 2, "--count", 2, cwd=ROOT
    )
    assert ended.returncode == 0, ended.stderr
    rows = list(csv.DictReader(left["explanations.csv"].open()))
    assert len(rows) == 4
    assert float(rows[0]["probability"]) >= float(rows[1]["probability"])
    assert "localisation.csv" not in left
    ended, left = explain(phantoms, untrained, tmp_path / "none", "--findings-shown", "Cough")
    assert ended.returncode == 2
    assert not left


@pytest.mark.slow
def test_what_is_missing_is_a_sentence_and_nothing_is_left(phantoms, untrained, tmp_path):
    for words in (("--box-list", tmp_path / "no.csv"), ("--ckpt-path", tmp_path / "no.pth")):
        ended, left = explain(phantoms, untrained, tmp_path / "out", *words)
        assert ended.returncode == 2
        assert ended.stderr.startswith("error: ")
        assert ended.stderr.count("\n") == 1
        assert not left
