"""Answers as tables: on the terminal, as CSV and as JSON, written line by line."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from cxr14.deployment.card import ModelCard
from cxr14.deployment.prediction.answers import Answer, decide
from cxr14.deployment.prediction.radiographs import LeftOut, printable
from cxr14.files import atomic_write

MOST_IN_DETAIL = 4
"""Radiographs whose answers the terminal shows one by one; of more it shows a summary."""


def answer_text(card: ModelCard, answer: Answer) -> str:
    """Return the table of one radiograph: finding, probability, operating point, yes or no."""
    lines = [answer.shown, f"  {'finding':20}{'probability':>12}{'operating point':>18}"]
    for finding, probability, positive in zip(
        card.findings, answer.probabilities, decide(card, answer.probabilities), strict=True
    ):
        point = "-" if finding.operating_point is None else f"{finding.operating_point:.3f}"
        lines.append(f"  {finding.name:20}{probability:12.3f}{point:>18}  {_word(positive)}")
    return "\n".join(lines)


def summary_text(card: ModelCard, positives: Sequence[int], total: int) -> str:
    """Return how many radiographs reach the operating point of each finding."""
    lines = [f"{'finding':20}{'operating point':>18}{'yes':>8} of {total:,} radiographs"]
    for finding, count in zip(card.findings, positives, strict=True):
        known = finding.operating_point is not None
        point = f"{finding.operating_point:.3f}" if known else "-"
        lines.append(f"{finding.name:20}{point:>18}{f'{count:,}' if known else '-':>8}")
    return "\n".join(lines)


class CsvTable:
    """A line for each radiograph: a column of probabilities and one of yes or no for each finding."""

    def __init__(self, file: TextIO, card: ModelCard) -> None:
        self._card = card
        self._writer = csv.writer(file, lineterminator="\n")
        names = [finding.name for finding in card.findings]
        self._writer.writerow(["radiograph", *names, *(f"{name} positive" for name in names), "warnings"])

    def add(self, answer: Answer) -> None:
        """Write a line; a probability has 6 decimals, and yes or no is empty without an operating point."""
        probabilities = [f"{probability:.6f}" for probability in answer.probabilities]
        words = [
            "" if positive is None else _word(positive)
            for positive in decide(self._card, answer.probabilities)
        ]
        self._writer.writerow([answer.shown, *probabilities, *words, "; ".join(answer.warnings)])

    def close(self, left_out: Sequence[LeftOut]) -> None:
        """End the table; files that were left out have no line."""


class JsonTable:
    """The model, then every radiograph with its findings, then the files that were left out."""

    def __init__(self, file: TextIO, card: ModelCard) -> None:
        self._file, self._card, self._separator = file, card, "\n"
        model = {
            "network": card.network,
            "teacher": card.teacher,
            "model_hash": card.model_hash,
            "precision": card.precision,
            "warnings": card.warnings,
            "operating_points": {finding.name: finding.operating_point for finding in card.findings},
        }
        file.write('{"model": ' + json.dumps(model, indent=2) + ',\n"radiographs": [')

    def add(self, answer: Answer) -> None:
        """Write a radiograph, on a line of its own."""
        findings = {
            finding.name: {"probability": round(probability, 6), "positive": positive}
            for finding, probability, positive in zip(
                self._card.findings,
                answer.probabilities,
                decide(self._card, answer.probabilities),
                strict=True,
            )
        }
        entry = {"radiograph": answer.shown, "findings": findings, "warnings": answer.warnings}
        self._file.write(self._separator + json.dumps(entry, ensure_ascii=False))
        self._separator = ",\n"

    def close(self, left_out: Sequence[LeftOut]) -> None:
        """End the file with what was left out, and why."""
        rest = [{"file": printable(one.path), "reason": one.reason} for one in left_out]
        self._file.write('],\n"left_out": ' + json.dumps(rest, indent=2, ensure_ascii=False) + "}\n")


@contextmanager
def open_table(
    kind: type[CsvTable] | type[JsonTable], path: Path, card: ModelCard
) -> Iterator[CsvTable | JsonTable]:
    """Yield a table that appears at `path` once the block has ended well.

    Raises:
        InputError: it cannot be written.
    """
    with atomic_write(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        yield kind(file, card)


def _word(positive: bool | None) -> str:
    return "" if positive is None else ("yes" if positive else "no")
