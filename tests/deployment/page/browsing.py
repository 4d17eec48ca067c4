"""What the tests of the page do in a browser."""

from benchmarks.page import DONE
from cxr14.settings import ROOT

FOLDER = ROOT / "7-Using-EEEA-Net-C2"


def give(page, *paths):
    """Choose files and wait until they are read."""
    page.evaluate("setStatus('reading', {number: 0, total: 0})")
    page.choose("#choose", paths)
    page.wait_for(DONE)
