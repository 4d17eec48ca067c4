"""An exported model, its page and a browser that has opened it."""

import json
import shutil

import onnx
import pytest

from benchmarks.page import READY
from cxr14.deployment.export.command import SYNTHETIC
from cxr14.deployment.export.int8_weights import quantise_weights
from cxr14.deployment.page.npm_packages import PACKAGES
from cxr14.deployment_settings import CARD_FILE
from cxr14.files import fingerprint
from tests.browser import Chromium
from tests.conftest import run_python
from tests.deployment.page.browsing import FOLDER

PACKAGES_DIR = FOLDER / "npm-packages"


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="package")
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
