"""What the tests of the page do in a browser."""

import pytest

from benchmarks.page import DONE
from cxr14.settings import ROOT
from tests.browser import CHROMIUM, NO_CHROMIUM

FOLDER = ROOT / "7-Using-EEEA-Net-C2"

in_a_browser = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)]
"""Marks of a module whose tests open the page."""


def give(page, *paths):
    """Choose files and wait until they are read."""
    page.evaluate("setStatus('reading', {number: 0, total: 0})")
    page.choose("#choose", paths)
    page.wait_for(DONE)
