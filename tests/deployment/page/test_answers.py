"""The page of an exported model in a real browser: the answers, refusals and table of predict.py."""

import csv
import json
import time

import numpy as np
import pytest

from benchmarks.page import differences, read_again
from cxr14.data.radiograph_files import read_radiograph
from cxr14.deployment.prediction.model import load_model
from cxr14.errors import InputError
from cxr14.settings import ROOT
from tests.conftest import needs_chromium, run_python
from tests.deployment.page.browsing import give
from tests.deployment.test_predict import predict

pytest.importorskip("pydicom")
from tests.deployment.page import radiograph_files

pytestmark = [pytest.mark.slow, needs_chromium]

LARGEST_DIFFERENCE = 1e-6


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
    radiograph_files.write_pictures(tmp_path)
    radiograph_files.write_dicom(tmp_path)
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
    for name, gray in radiograph_files.write_lossless_jpeg(tmp_path).items():
        give(page, tmp_path / name)
        found = page.evaluate("(async () => [...(await readRadiograph(answers.at(-1).file)).gray])()")
        np.testing.assert_array_equal(found, gray.ravel(), err_msg=name)


def test_page_refuses_files_in_the_words_of_predict(page, tmp_path):
    radiograph_files.write_broken(tmp_path)
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
    radiograph_files.write_broken(tmp_path)
    for name in ("bomb.png", "wide.png", "large.dcm", "deflated.dcm"):
        start = time.monotonic()
        give(page, tmp_path / name)
        assert time.monotonic() - start < 1, name


def test_page_points_to_predict_where_it_cannot_decompress(page, tmp_path):
    paths = radiograph_files.write_not_read_here(tmp_path)
    give(page, *paths)
    sentences = page.evaluate("leftOut.map(({reason}) => say(reason))")
    assert len(sentences) == len(paths) >= 3
    assert all("predict.py reads it" in sentence for sentence in sentences)


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
