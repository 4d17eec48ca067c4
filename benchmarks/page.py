"""Size, speed and exactness of the page of an exported model, in a real Chromium.

    python -m benchmarks.page --model-path MODEL --radiographs DIR

MODEL is a file of export-model.py with its card beside it, DIR holds PNG files. The page is opened several
times and given the radiographs each time; every answer is compared with predict.py's. Writes
benchmarks/results/page-cpu.json; a minute on a quiet machine.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro

from benchmarks.common import Settings, keep_result
from cxr14.data.radiograph_files import read_radiograph
from cxr14.deployment.card import ModelCard
from cxr14.deployment.page.command import make_page
from cxr14.deployment.prediction.model import Network, load_model
from cxr14.deployment.prediction.radiographs import prepare_gray
from cxr14.deployment_settings import PageSettings
from cxr14.settings import ROOT
from tests.browser import Chromium, Page

READY = "typeof status === 'object' && status.id === 'ready'"
DONE = "status.id === 'done'"

# Each part of the way from a file to its answer, in milliseconds.
_TIMED = """(async ({file}) => {
  const marks = [performance.now()];
  const mark = () => marks.push(performance.now());
  const radiograph = await readRadiograph(file); mark();
  modelInput(radiograph); mark();
  const answer = await predict(radiograph); mark();
  return {
    pixels: [...modelInput(radiograph)],
    probabilities: answer.probabilities,
    heatMaps: answer.heatMaps && answer.heatMaps.map((map) => [...map]),
    ms: {
      "decoding": marks[1] - marks[0],
      "resizing": marks[2] - marks[1],
      "resizing and network": marks[3] - marks[2],
      "a radiograph": marks[3] - marks[2] + marks[1] - marks[0],
    },
  };
})(answers[NUMBER])"""

_ALL = "(async () => { for (const {file} of answers) await predict(await readRadiograph(file)); })()"


@dataclass(kw_only=True)
class PageBenchmark(Settings):
    """Settings of this benchmark."""

    model_path: Path
    """Model that export-model.py wrote; its card lies beside it."""
    radiographs: Path
    """Folder of PNG files."""
    count: int = 24
    """Radiographs to read."""
    rounds: int = 5
    """Times that the page is opened and reads all of them."""
    packages_dir: Path = ROOT / "7-Using-EEEA-Net-C2" / "npm-packages"
    """Folder of the npm packages."""


def main(settings: PageBenchmark) -> None:
    """Measure, print and save."""
    paths = sorted(settings.radiographs.glob("*.png"))[: settings.count]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "page.html")
        make_page(PageSettings(model_path=settings.model_path, page=path, packages_dir=settings.packages_dir))
        megabytes = path.stat().st_size / 1e6
        ready, requests, answers, loading, reading = [], 0, [], [], []
        for number in range(settings.rounds):
            # A browser of its own for each round: nothing of the page is compiled or cached yet.
            profile = Path(name, str(number))
            profile.mkdir()
            with Chromium(profile) as browser:
                version = browser.call("Browser.getVersion")["product"]
                before = processor_seconds(browser)
                page = browser.open(path.as_uri())
                page.wait_for(READY)
                loading.append(processor_seconds(browser) - before)
                # By the page's own clock, from the start of the navigation on.
                ready.append(page.evaluate("performance.getEntriesByName('ready')[0].startTime") / 1000)
                answers.append(read_again(page, paths))
                before = processor_seconds(browser)
                page.evaluate(_ALL)
                reading.append((processor_seconds(browser) - before) * 1000 / len(paths))
                requests += len(page.requests()) - 1
    network, card = load_model(settings.model_path)
    figures = {
        "network": card.network,
        "precision": card.precision,
        "browser": version,
        "radiographs": len(paths),
        "their pixels along a side, at most": max(read_radiograph(each).gray.shape[0] for each in paths),
        "page, MB": megabytes,
        "ready, s": _quantiles(ready),
        "ready, s of the processor": _quantiles(loading),
        "requests besides the page": requests,
        "a radiograph, ms of the processor": _quantiles(reading),
        "ms": {
            part: _quantiles([answer["ms"][part] for each in answers for answer in each])
            for part in answers[0][0]["ms"]
        },
        "difference from predict.py": differences(answers[0], paths, network, card),
    }
    keep_result(settings, "page", torch.device("cpu"), figures)


def processor_seconds(browser: Chromium) -> float:
    """Return the time of the processor that all processes of the browser have taken."""
    return sum(each["cpuTime"] for each in browser.call("SystemInfo.getProcessInfo")["processInfo"])


def read_again(page: Page, paths: Sequence[Path]) -> list[dict]:
    """Give radiographs to an opened page; return each one's input, answers, and milliseconds by part."""
    page.choose("#choose", paths)
    page.wait_for(DONE, 600)
    return [page.evaluate(_TIMED.replace("NUMBER", str(number))) for number in range(len(paths))]


def differences(
    answers: Sequence[dict], paths: Sequence[Path], network: Network, card: ModelCard
) -> dict[str, float]:
    """Compare the page's answers with predict.py's: pixels that differ, and the largest differences."""
    pixels, probabilities, heat_maps = 0, 0.0, 0.0
    for answer, path in zip(answers, paths, strict=True):
        gray = prepare_gray(read_radiograph(path).gray, card.preprocessing)
        expected = network(gray[None])
        pixels += int((np.array(answer["pixels"]) != gray.ravel()).sum())
        probabilities = max(probabilities, _gap(answer["probabilities"], expected.probabilities[0]))
        if expected.heat_maps is not None:
            heat_maps = max(heat_maps, _gap(answer["heatMaps"], expected.heat_maps[0]))
    return {"pixels that differ": pixels, "probabilities": probabilities, "heat maps": heat_maps}


def _gap(found: list, expected: np.ndarray) -> float:
    return float(np.abs(np.reshape(found, expected.shape) - expected).max())


def _quantiles(values: list[float]) -> dict[str, float]:
    return {
        "least": min(values),
        "median": float(np.median(values)),
        "p90": float(np.quantile(values, 0.9)),
    }


if __name__ == "__main__":
    main(tyro.cli(PageBenchmark, description=__doc__))
