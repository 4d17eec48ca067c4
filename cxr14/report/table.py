"""A table, as text for a terminal, as Markdown, and as cells for the HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from markupsafe import escape

_GAP = "  "


class Cell(NamedTuple):
    """One cell of a table."""

    text: str
    note: str = ""
    """Shown smaller, below the text: an interval."""
    hint: str = ""
    """Shown on hover: a complete fingerprint."""


class Column(NamedTuple):
    """The head of a column."""

    head: str
    group: str = ""
    """Head above neighbouring columns that share it."""
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """A title, column heads and rows."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    means: int = 0
    """Number of rows at the end that summarise the others."""
    remarks: Sequence[str] = field(default_factory=tuple)
    """Notes below the table."""

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Heads above the heads, each with the number of columns it spans; empty where there are none."""
        runs = [(group, len(list(columns))) for group, columns in groupby(self.columns, lambda c: c.group)]
        return runs if any(group for group, _ in runs) else []

    def markdown(self) -> str:
        """Return the table as GitHub's Markdown, notes in brackets."""
        heads = [escaped(": ".join(filter(None, (column.group, column.head)))) for column in self.columns]
        rules = ["---:" if column.numeric else ":---" for column in self.columns]
        rows = [
            [escaped(f"{cell.text} ({cell.note})" if cell.note else cell.text) for cell in row]
            for row in self.rows
        ]
        lines = [f"| {' | '.join(row)} |" for row in (heads, rules, *rows)]
        return "\n\n".join((f"### {escaped(self.title)}", "\n".join(lines), *map(escaped, self.remarks)))

    def text(self) -> str:
        """Return the table for a terminal, its numbers aligned, without notes."""
        lines = [
            [column.head for column in self.columns],
            *([cell.text for cell in row] for row in self.rows),
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        above, last = [], -1
        for group, count in self.groups:
            last += count
            spanned = sum(widths[last - count + 1 : last + 1]) + len(_GAP) * (count - 1)
            widths[last] += max(0, len(group) - spanned)
            above.append(group.ljust(max(spanned, len(group))))
        aligned = [
            _GAP.join(
                text.rjust(width) if column.numeric else text.ljust(width)
                for text, width, column in zip(line, widths, self.columns, strict=True)
            ).rstrip()
            for line in lines
        ]
        rule = "─" * max(map(len, aligned))
        heads = [_GAP.join(above).rstrip(), aligned[0]] if above else aligned[:1]
        return "\n".join([self.title, "", *heads, rule, *aligned[1:]])


def escaped(text: str) -> str:
    """Return text for Markdown: HTML escaped, on one line, without a pipe that would end a table's cell."""
    return " ".join(str(escape(text)).split()).replace("|", "&#124;")
