"""The tables of the pages are those of the committed result files."""

import pytest

from cxr14.settings import ROOT
from docs import tables


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_match_their_result_files(page):
    text = page.read_text(encoding="utf-8")
    assert tables.with_tables(text) == text, "run: python -m docs.tables"


def test_every_table_is_on_a_page():
    pages = "".join(page.read_text(encoding="utf-8") for page in tables.PAGES)
    assert [name for name in tables.TABLES if f"<!-- table {name} -->" not in pages] == []
