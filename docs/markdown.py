"""Markdown tables."""


def markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(_line(cells) for cells in lines) + "\n"


def value_range(values: list[float], digits: str) -> str:
    """Return the least and the greatest value as text, or one where both read the same."""
    ends = [f"{end:{digits}}" for end in (min(values), max(values))]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def difference(value: float, low: float, high: float, to: str = " to ") -> str:
    """Return a difference with its interval as text; `to` is the word between the ends."""
    return f"{value:+.3f} ({low:+.3f}{to}{high:+.3f})"


def _line(cells: tuple[str, ...]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)
