"""The page of an exported model in a real browser: the answers of predict.py, without a request."""

import csv
import http.server
import json
import shutil
import threading
import time

import numpy as np
import onnx
import pytest

from benchmarks.page import DONE, READY, differences, read_again
from cxr14.data.provenance import MAY_HAVE_SEEN_TEST_PATIENTS
from cxr14.data.radiograph_files import read_radiograph
from cxr14.deployment.card import read_card
from cxr14.deployment.export.command import SYNTHETIC
from cxr14.deployment.export.int8_weights import quantise_weights
from cxr14.deployment.page.npm_packages import PACKAGES
from cxr14.deployment.prediction.model import load_model
from cxr14.deployment_settings import CARD_FILE
from cxr14.errors import InputError
from cxr14.files import fingerprint
from cxr14.findings import FINDINGS
from cxr14.settings import ROOT
from tests.browser import CHROMIUM, NO_CHROMIUM, Chromium
from tests.conftest import run_python
from tests.deployment.test_predict import predict

pytest.importorskip("pydicom")
from tests.deployment import page_files

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)]

FOLDER = ROOT / "7-Using-EEEA-Net-C2"
PACKAGES_DIR = FOLDER / "npm-packages"
MOST_MEGABYTES = 12
LARGEST_DIFFERENCE = 1e-6


@pytest.fixture(scope="module")
def model(exported, tmp_path_factory):
    """A folder with an exported model of int8 weights, its card with operating points, and its page."""
    if shutil.which("npm") is None and not all((PACKAGES_DIR / each.archive).exists() for each in PACKAGES):
        pytest.skip("npm is not installed, and fetches what the page needs")
    folder = tmp_path_factory.mktemp("with space 页")
    content = onnx.load(exported / "eeea-net-c2.onnx")
    quantise_weights(content)
    onnx.save(content, folder / "model.onnx")
    card = json.loads((exported / CARD_FILE).read_text())
    card |= {"model_hash": fingerprint(folder / "model.onnx"), "precision": "w8"}
    card["warnings"] = ["for research only: this is not a medical device", SYNTHETIC]
    for finding, point in zip(card["findings"], [0, 1.1, *[0.5] * 11, None], strict=True):
        finding["operating_point"] = point
    (folder / CARD_FILE).write_text(json.dumps(card))
    made = run_python(
        *(FOLDER / "make-page.py", "--model-path", folder / "model.onnx", "--page", folder / "page.html")
    )
    if "could not fetch" in made.stderr:
        pytest.skip("npm reaches no registry, and the packages of the page are not here yet")
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="module")
def opened(browser, model):
    """The page, opened once: loading the model is what takes long."""
    page = browser.open((model / "page.html").as_uri())
    page.wait_for(READY)
    return page


@pytest.fixture
def page(opened):
    """The opened page in its first state."""
    opened.emulate()
    opened.evaluate("byId('clear').click(), language = 'en', work.then(render)")
    return opened


def give(page, *paths):
    """Choose files and wait until they are read."""
    page.evaluate("setStatus('reading', {number: 0, total: 0})")
    page.choose("#choose", paths)
    page.wait_for(DONE)


def compare(page, model, paths):
    """Give radiographs to the page and compare its answers with those of predict.py's parts."""
    network, card = load_model(model / "model.onnx")
    page.evaluate("setStatus('reading', {number: 0, total: 0})")
    return differences(read_again(page, paths), paths, network, card)


def test_page_gives_the_answers_of_predict(page, model, radiographs):
    paths = sorted((radiographs / "images").iterdir())
    found = compare(page, model, paths)
    assert found["pixels that differ"] == 0
    assert 0 < found["probabilities"] <= LARGEST_DIFFERENCE and 0 < found["heat maps"] <= 1e-6


def test_page_gets_the_pixels_of_predict_from_every_kind_of_file(page, model, tmp_path):
    page_files.write_pictures(tmp_path)
    page_files.write_dicom(tmp_path)
    paths = sorted(tmp_path.iterdir())
    found = compare(page, model, paths)
    assert page.evaluate("leftOut.map(({path, reason}) => `${path}: ${say(reason)}`)") == []
    assert page.evaluate("answers.map((answer) => answer.path)") == [path.name for path in paths]
    assert found["pixels that differ"] == 0
    # Weights that were never trained make more of a rounding in pictures unlike those they are scaled for.
    assert found["probabilities"] <= 1e-5
    warnings = page.evaluate("answers.map((answer) => answer.warnings.map((warning) => say(warning)))")
    assert warnings == [list(read_radiograph(path).warnings) for path in paths]
    assert sum(map(len, warnings)) >= 5


def test_page_gets_the_pixels_of_predict_from_originals(page, model, nih_mini):
    paths = sorted((nih_mini / "originals").glob("*.png"))[:2]
    assert compare(page, model, paths)["pixels that differ"] == 0


def test_page_decodes_lossless_jpeg(page, tmp_path):
    for name, gray in page_files.write_lossless_jpeg(tmp_path).items():
        give(page, tmp_path / name)
        found = page.evaluate("(async () => [...(await readRadiograph(answers.at(-1).file)).gray])()")
        np.testing.assert_array_equal(found, gray.ravel(), err_msg=name)


def test_page_refuses_files_in_the_words_of_predict(page, tmp_path):
    page_files.write_broken(tmp_path)
    paths = sorted(tmp_path.iterdir())
    give(page, *paths)
    expected = []
    for path in paths:
        with pytest.raises(InputError) as error:
            read_radiograph(path)
        expected.append(f"{path.name}: {error.value}")
    found = page.evaluate("[...byId('left-out-list').children].map((item) => item.textContent)")
    assert found == expected
    assert page.evaluate("answers.length") == 0 and page.evaluate("byId('several').hidden")
    page.evaluate("byId('language').click()")
    assert "文件为空" in page.evaluate("byId('left-out-list').textContent")


def test_page_refuses_large_claims_without_decoding(page, tmp_path):
    page_files.write_broken(tmp_path)
    for name in ("bomb.png", "wide.png", "large.dcm", "deflated.dcm"):
        start = time.monotonic()
        give(page, tmp_path / name)
        assert time.monotonic() - start < 1, name


def test_page_points_to_predict_where_it_cannot_decompress(page, tmp_path):
    paths = page_files.write_not_read_here(tmp_path)
    give(page, *paths)
    sentences = page.evaluate("leftOut.map(({reason}) => say(reason))")
    assert len(sentences) == len(paths) >= 3
    assert all("predict.py reads it" in sentence for sentence in sentences)


class _Recorder(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requested.append(self.path)
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_):
        pass


def test_page_requests_nothing_and_could_not(page, model, radiographs):
    give(page, radiographs / "images" / "00000000_000.png")
    assert page.requests() == [(model / "page.html").as_uri()]
    assert page.messages() == []
    server = http.server.HTTPServer(("127.0.0.1", 0), _Recorder)
    server.requested = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    attempts = f"""(async () => {{
      const refused = [];
      await fetch("{url}fetch").catch(() => refused.push("fetch"));
      await new Promise((resolve) => {{
        const image = new Image();
        image.onerror = () => resolve(refused.push("image"));
        image.onload = resolve;
        image.src = "{url}image";
      }});
      await new Promise((resolve) => {{
        const script = document.createElement("script");
        script.onerror = () => resolve(refused.push("script"));
        script.onload = resolve;
        script.src = "{url}script";
        document.body.append(script);
      }});
      navigator.sendBeacon("{url}beacon", "x");
      const inline = document.createElement("script");
      inline.textContent = "window.injected = true";
      document.body.append(inline);
      if (!window.injected) refused.push("inline script");
      return refused;
    }})()"""
    assert page.evaluate(attempts) == ["fetch", "image", "script", "inline script"]
    time.sleep(0.2)
    server.shutdown()
    assert server.requested == []


def test_page_is_small(model):
    assert (model / "page.html").stat().st_size <= MOST_MEGABYTES * 1e6


def test_saved_table_is_that_of_predict(page, browser, model, radiographs, tmp_path):
    paths = sorted((radiographs / "images").iterdir())
    (tmp_path / "cut.png").write_bytes(paths[0].read_bytes()[:500])
    give(page, *paths, tmp_path / "cut.png")
    assert page.evaluate("byId('all').rows.length") == len(paths)
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.evaluate("byId('save').click()")
    saved = tmp_path / "findings.csv"
    page.wait_for("true")
    deadline = time.monotonic() + 20
    while not saved.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    predict(model / "model.onnx", *paths, "--csv", tmp_path / "expected.csv")
    tables = []
    for path in (saved, tmp_path / "expected.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            tables.append(list(csv.reader(file)))
    found, expected = tables
    assert found[0] == expected[0]
    for row, line in zip(found[1:], expected[1:], strict=True):
        assert line[0].endswith(row[0])
        np.testing.assert_allclose(np.float64(row[1:15]), np.float64(line[1:15]), atol=1.5e-6)
        assert row[15:] == line[15:]


def test_one_file_is_read_once(page, radiographs, tmp_path):
    path = radiographs / "images" / "00000000_000.png"
    give(page, path)
    give(page, path)
    assert page.evaluate("[answers.length, say(leftOut[0].reason)]") == [
        1,
        "it was given twice; it is read once",
    ]


def test_files_and_folders_can_be_dropped(page, radiographs, tmp_path):
    (tmp_path / "胸片" / "inner").mkdir(parents=True)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "notes.txt").write_text("no radiograph")
    shutil.copy(radiographs / "images" / "00000000_000.png", tmp_path / "胸片" / "b.png")
    shutil.copy(radiographs / "images" / "00000001_000.png", tmp_path / "胸片" / "inner" / "a.png")
    (tmp_path / "胸片" / "notes.txt").write_text("no radiograph")
    page.evaluate("setStatus('reading', {number: 0, total: 0})")
    page.drop([tmp_path / "胸片", tmp_path / "none", radiographs / "images" / "00000004_000.png"], 100, 600)
    page.wait_for(DONE)
    assert page.evaluate("answers.map((answer) => answer.path)") == [
        "胸片/b.png",
        "胸片/inner/a.png",
        "00000004_000.png",
    ]
    assert page.evaluate("leftOut.map(({path, reason}) => `${path}: ${say(reason)}`)") == [
        "none: holds no PNG, JPEG or DICOM file"
    ]


def test_everything_can_be_reached_with_the_keyboard(page, radiographs):
    give(page, *sorted((radiographs / "images").iterdir())[:2])
    page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
    reached = []
    for _ in range(16):
        page.press("Tab")
        focused = page.evaluate(
            "(({id, dataset, textContent}) => id || dataset.number || textContent)(document.activeElement)"
        )
        reached.append(focused)
    assert reached[:3] == ["language", "choose", "choose-folder"]
    assert "save" in reached and "00000001_000.png" in reached and "0" in reached
    page.evaluate("document.querySelector('[data-number=\"0\"]').focus()")
    page.press("ArrowDown", "ArrowDown", "Enter")
    page.wait_for("byId('picture-text').textContent.startsWith('Heat map of Effusion')")
    pressed = page.evaluate("document.activeElement.dataset.number + document.activeElement.ariaPressed")
    assert pressed == "2true"
    page.press("Space")
    page.wait_for("byId('picture-text').textContent === 'No heat map is chosen.'")


def test_screen_readers_get_names_and_values(page, radiographs):
    give(page, radiographs / "images" / "00000000_000.png")
    page.evaluate("document.querySelector('[data-number=\"2\"]').click()")
    page.wait_for("byId('picture-text').textContent.startsWith('Heat map')")
    tree = page.accessibility_tree()
    names = {(role, name) for role, name in tree}
    assert ("complementary", "Warnings") in names and ("status", "") in {(role, "") for role, _ in tree}
    assert {("button", name.replace("_", " ")) for name in FINDINGS} <= names
    assert {"Finding", "Probability", "Operating point", "Reached"} <= {
        name for role, name in tree if role == "columnheader"
    }
    pictures = [name for role, name in tree if role in ("image", "img")]
    assert len(pictures) == 1 and "00000000_000.png. Heat map of Effusion: strongest in the" in pictures[0]
    cells = [name for role, name in tree if role in ("cell", "gridcell")]
    assert cells.count("yes") >= 1 and cells.count("no") >= 1
    unnamed = [role for role, name in tree if role in ("button", "textbox", "link", "image") and not name]
    assert unnamed == []


@pytest.mark.parametrize(("width", "height"), [(1200, 900), (360, 640)], ids=["wide", "narrow"])
def test_warnings_stay_in_sight(page, radiographs, width, height):
    page.emulate(width=width, height=height)
    give(page, *sorted((radiographs / "images").iterdir())[:2])
    for position in ("0", "document.body.scrollHeight / 2", "document.body.scrollHeight"):
        page.evaluate(f"scrollTo(0, {position})")
        top, bottom, text = page.evaluate(
            "(({top, bottom}, text) => [top, bottom, text])"
            "(byId('warnings').getBoundingClientRect(), byId('warnings').innerText)"
        )
        assert top >= 0 and bottom <= height
        assert "not a medical device" in text and "synthetic" in text
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    ("is_dark", "ground"), [(False, [253, 253, 252]), (True, [20, 23, 26])], ids=["light", "dark"]
)
def test_page_is_light_or_dark_as_the_system_is(page, is_dark, ground):
    page.emulate(dark=is_dark)
    found = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert found == ground


def test_language_changes_everything_in_sight(page, radiographs):
    give(page, *sorted((radiographs / "images").iterdir())[:2])
    page.evaluate("document.querySelector('[data-number=\"2\"]').click()")
    page.wait_for("byId('picture-text').textContent.startsWith('Heat map')")
    page.evaluate("byId('language').click()")
    assert page.evaluate("document.documentElement.lang") == "zh"
    shown = page.evaluate(
        "[...document.querySelectorAll('aside, header, main')].map((part) => part.innerText).join('\\n')"
    )
    page.evaluate("byId('language').click()")
    english = page.evaluate("document.body.innerText")
    assert "胸腔积液的热图" in shown and "这不是医疗器械" in shown and "Effusion" in english
    names = {"English", "PNG", "JPEG", "DICOM", "CSV", "SHA-256", "synthetic"}
    words = {word for word in _latin_words(shown) if word not in names}
    assert words == set()


def _latin_words(text):
    import re

    return re.findall(r"[A-Za-z][A-Za-z-]{2,}(?:-\d+)?", re.sub(r"\d+_\d+\.png", "", text))


def test_model_without_heat_maps_has_a_page(browser, model, radiographs, tmp_path):
    content = onnx.load(model / "model.onnx")
    del content.graph.output[2]
    onnx.save(content, tmp_path / "model.onnx")
    card = json.loads((model / CARD_FILE).read_text())
    card |= {"model_hash": fingerprint(tmp_path / "model.onnx"), "outputs": card["outputs"][:2]}
    card["warnings"] = [f"{MAY_HAVE_SEEN_TEST_PATIENTS}: <b>theirs</b>.pth"]
    (tmp_path / CARD_FILE).write_text(json.dumps(card))
    assert read_card(tmp_path / CARD_FILE).warnings
    words = ("--model-path", tmp_path / "model.onnx", "--page", tmp_path / "page.html")
    assert run_python(FOLDER / "make-page.py", *words).returncode == 0
    page = browser.open((tmp_path / "page.html").as_uri())
    page.wait_for(READY)
    give(page, radiographs / "images" / "00000000_000.png")
    assert "has no heat maps" in page.evaluate("byId('picture-text').textContent")
    assert page.evaluate("document.querySelectorAll('#findings button').length") == 0
    assert "<b>theirs</b>.pth" in page.evaluate("byId('warnings').innerText")


def test_benchmark_runs_and_keeps_its_result(model, radiographs, tmp_path):
    words = ("--model-path", model / "model.onnx", "--radiographs", radiographs / "images", "--count", 2)
    done = run_python("-m", "benchmarks.page", *words, "--rounds", 1, "--keep-in", tmp_path)
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "page-cpu.json").read_text())
    assert (
        kept["requests besides the page"] == 0
        and kept["difference from predict.py"]["pixels that differ"] == 0
    )
    assert kept["ready, s"]["median"] > 0 and kept["ms"]["a radiograph"]["median"] > 0
    assert str(ROOT) not in json.dumps(kept)
