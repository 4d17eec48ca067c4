"""A table once, and three ways to show it: a terminal, Markdown, and cells for the page."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

_GAP = "  "


class Cell(NamedTuple):
    """What stands in one place of a table."""

    text: str
    note: str = ""
    """Smaller, beneath it: an interval."""
    hint: str = ""
    """Shown when a pointer rests on it: a fingerprint in full."""


class Column(NamedTuple):
    """The head of a column."""

    head: str
    group: str = ""
    """Stands above neighbouring columns that share it."""
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """Rows under heads, under a title."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    means: int = 0
    """How many of the last rows sum up the others."""
    remarks: Sequence[str] = field(default_factory=tuple)
    """What must be known to read it right."""

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Heads above the heads, each with the number of columns it spans; empty where there are none."""
        runs = [(group, len(list(columns))) for group, columns in groupby(self.columns, lambda c: c.group)]
        return runs if any(group for group, _ in runs) else []

    def markdown(self) -> str:
        """Return the table as GitHub's Markdown, notes in brackets."""
        heads = [": ".join(filter(None, (column.group, column.head))) for column in self.columns]
        rules = ["---:" if column.numeric else ":---" for column in self.columns]
        rows = [
            [f"{cell.text} ({cell.note})" if cell.note else cell.text for cell in row] for row in self.rows
        ]
        lines = [f"| {' | '.join(row)} |" for row in (heads, rules, *rows)]
        return "\n\n".join((f"### {self.title}", "\n".join(lines), *self.remarks))

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
