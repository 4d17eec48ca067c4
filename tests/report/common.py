"""What the tests of the report share."""

from html.parser import HTMLParser

from cxr14.findings import FINDINGS
from cxr14.report import page, results, style
from cxr14.report.reading import read_sections
from tests.simulated_runs import save_run

KD = "6-Distilling-to-EEEA-Net-C2/kd3"
COMMON = (0.3,) * len(FINDINGS)  # shares that leave no finding rare in a small list


def save_trio(folder, **how):
    """Save a student alone, a teacher, and the student taught by it."""
    save_run(folder / "1-EEEA-Net-C2", **how)
    save_run(folder / "3-CheXNet", "3-CheXNet", **how)
    save_run(folder / KD, teacher="3-CheXNet", **how)


def measure(folder, resamples=100):
    """Return the results of every section below `folder`."""
    return [results.measure(section, resamples, 0) for section in read_sections(folder)]


def render(folder):
    """Return the results of every section, and the page."""
    measured = measure(folder, 40)
    with style.report_style():
        return measured, page.render(measured, 40, 0)


class ParsedPage(HTMLParser):
    """Titles of figures and tables, text, and what a browser would load."""

    def __init__(self, text):
        super().__init__()
        self.titles, self.words, self.loaded, self._inside = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "caption" or attrs.get("class") == "title":
            self.titles.append("")
            self._inside = tag
        self.loaded += [
            value
            for name, value in attrs.items()
            if name in ("src", "href", "xlink:href", "srcset", "data")
            and not value.startswith(("#", "data:"))
        ]
        assert tag not in ("script", "iframe", "object", "embed")

    def handle_endtag(self, tag):
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data):
        self.words.append(data)
        if self._inside:
            self.titles[-1] += data
