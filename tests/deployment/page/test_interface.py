"""The page of an exported model in a real browser: files, keyboard, screen readers, languages, no request."""

import http.server
import json
import re
import shutil
import threading
import time

import onnx
import pytest

from benchmarks.page import DONE, READY
from cxr14.data.provenance import MAY_HAVE_SEEN_TEST_PATIENTS
from cxr14.deployment.card import read_card
from cxr14.deployment_settings import CARD_FILE
from cxr14.files import fingerprint
from cxr14.findings import FINDINGS
from tests.conftest import needs_chromium, run_python
from tests.deployment.page.browsing import FOLDER, give

pytestmark = [pytest.mark.slow, needs_chromium]

MOST_MEGABYTES = 12


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


@pytest.mark.parametrize(
    ("width", "height"), [(1200, 900), (360, 640), (320, 640)], ids=["wide", "narrow", "narrowest"]
)
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
