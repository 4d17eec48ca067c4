"""The parts of the report: adjusted p-values, reduced curves, numbers as text, tables as text, SVG."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import auc, roc_auc_score

from cxr14.report import curves, formatting, style
from cxr14.report.svg import as_svg
from cxr14.report.table import Cell, Column, Table


def test_thinned_curves_keep_ends_and_area():
    draw = np.random.default_rng(1)
    labels = draw.random(20_000) < 0.05
    scores = draw.normal(size=20_000) + labels
    x, y = curves.roc(labels, scores)
    assert len(x) <= curves.MOST_POINTS
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert auc(x, y) == pytest.approx(roc_auc_score(labels, scores), abs=2e-3)
    recall, precision = curves.precision_recall(labels, scores)
    assert len(recall) <= curves.MOST_POINTS and np.all(np.diff(recall) >= 0)
    assert recall[-1] == 1 and precision[-1] == pytest.approx(labels.mean(), rel=0.05)


def test_numbers_as_text():
    assert formatting.signed(-0.0123) == "−0.012" and formatting.signed(-0.0001) == "0.000"
    assert formatting.p_value(2 / 1001, 1000) == "p ≤ 0.002"
    assert formatting.p_value(0.0421, 1000) == "p = 0.042"
    assert formatting.figure(float("nan")) == "–" and formatting.whole(4_732_838) == "4,732,838"
    assert formatting.listed(["A"]) == "A" and formatting.listed(["A", "B", "C"]) == "A, B and C"
    assert formatting.seeds_text([1, 1]) == "one training seed"
    assert formatting.seeds_text([3, 1]) == "1 to 3 training seeds"


def test_table_as_markdown_and_as_text():
    columns = [Column("Name", numeric=False), Column("low", "A long group"), Column("high", "A long group")]
    table = Table("Title", columns, [[Cell("a"), Cell("1.0", "0–2"), Cell("22.5")]])
    assert "| a | 1.0 (0–2) | 22.5 |" in table.markdown()
    lines = table.text().splitlines()
    assert lines[0] == "Title" and lines[2].endswith("A long group")
    assert lines[-1].index("22.5") + 4 == lines[3].index("high") + 4  # numbers end under their heads


def test_svg_keeps_text_and_markers():
    with style.report_style():
        figure = Figure((4, 3))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], marker="o", color=style.HUES[0])
        axes.set_title("A < B & C")
        svg = as_svg(figure, "a")
    assert svg.startswith("<svg ") and "A &lt; B &amp; C" in svg
    assert "var(--hue-1)" in svg and style.HUES[0] not in svg
    assert svg.count("<use ") >= 2 and 'href="#' in svg
