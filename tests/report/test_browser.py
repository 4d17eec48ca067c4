"""The report in a real browser: all of it is shown, and nothing is loaded."""

import os
import re
import subprocess

import pytest
from PIL import Image

from cxr14.report import style
from tests.browser import CHROMIUM
from tests.conftest import needs_chromium


def _browse(folder, page_path, *flags):
    """Open a page without a network; return stdout, stderr and the URLs that the browser requested."""
    log = folder / "net.json"
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", f"--log-net-log={log}"),
            *("--window-size=1200,1600", *flags, page_path.as_uri()),
        ],
        env=os.environ | {"HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    requested = set(re.findall(r'"url":"((?:https?|file)[^"]*)"', log.read_text(errors="replace")))
    return done.stdout, done.stderr, requested


@pytest.mark.slow
@needs_chromium
def test_browser_shows_the_whole_report(trio, tmp_path):
    folder, _ = trio
    dom, messages, requested = _browse(tmp_path, folder / "report.html", "--dump-dom")
    for heading in (
        "How to read this page",
        "Size and AUROC",
        "Each finding",
        "Taught minus alone",
        "Curves",
        "Cost",
        "Decisions",
        "Calibration",
        "Training",
        "Origin of each row",
    ):
        assert re.search(f"<h2[^>]*>{heading}</h2>", dom)
    assert dom.count("<svg") == 8 and dom.count('role="img"') == 8
    assert "CONSOLE" not in messages
    assert not [url for url in requested if url.startswith("http") and "google" not in url]


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_browser_shows_light_and_dark_colours(trio, tmp_path, scheme):
    folder, _ = trio
    picture = tmp_path / "page.png"
    flags = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    _browse(tmp_path, folder / "report.html", f"--screenshot={picture}", *flags)
    ground, ink = (getattr(style.COLOURS[name], scheme) for name in ("ground", "ink"))
    shown = Image.open(picture).convert("RGB")
    colours = {_hex(colour) for _, colour in shown.getcolors(2**24)}
    assert ground in colours and ink in colours
    assert _hex(shown.getpixel((2, 2))) == ground


def _hex(colour):
    return "#" + "".join(f"{part:02x}" for part in colour)
