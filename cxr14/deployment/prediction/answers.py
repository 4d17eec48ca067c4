"""Answers of a model: files in, probabilities, decisions and drawings out."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr14.data.radiograph_files import Radiograph, read_radiograph
from cxr14.deployment.card import ModelCard
from cxr14.deployment.prediction.model import Network
from cxr14.deployment.prediction.radiographs import LeftOut, prepare_gray, printable
from cxr14.errors import InputError

_LONGEST_STEM = 150  # bytes of a drawing's name before the finding; a name may have 255


@dataclass(frozen=True)
class Answer:
    """What a model says of one radiograph."""

    shown: str
    """The path, as its task shows it."""
    probabilities: tuple[float, ...]
    """One for each finding, calibrated, 0 to 1."""
    warnings: tuple[str, ...]
    """What makes the answer doubtful."""


@dataclass(frozen=True)
class Task:
    """A file to answer."""

    path: Path
    shown: str
    """The path in characters that every terminal and file takes."""
    drawing: str
    """What the names of its drawings begin with."""


def tasks_of(files: Iterable[Path]) -> Iterator[Task]:
    """Yield a task for each file; the names of drawings are unique, also where files share theirs."""
    seen: Counter[str] = Counter()
    taken: set[str] = set()
    for path in files:
        stem = printable(Path(path.stem)).encode()[:_LONGEST_STEM].decode(errors="ignore")
        drawing = stem
        while drawing in taken:  # another file may be called 1-2 itself
            seen[stem] += 1
            drawing = f"{stem}-{seen[stem] + 1}"
        taken.add(drawing)
        yield Task(path, printable(path), drawing)


def decide(card: ModelCard, probabilities: Sequence[float]) -> tuple[bool | None, ...]:
    """Compare (14,) probabilities with the operating points; None where there is none.

    At or above the operating point is a yes.
    """
    return tuple(
        None if finding.operating_point is None else probability >= finding.operating_point
        for finding, probability in zip(card.findings, probabilities, strict=True)
    )


def to_line(answer: Answer) -> str:
    """Return an answer as one line of JSON."""
    return json.dumps([answer.shown, answer.probabilities, answer.warnings], ensure_ascii=False)


def from_line(line: str) -> Answer:
    """Return the answer of a line.

    Raises:
        ValueError: it is no line of `to_line`.
    """
    shown, probabilities, warnings = json.loads(line)
    return Answer(shown, tuple(map(float, probabilities)), tuple(warnings))


class Predictor:
    """A model that answers files one by one."""

    def __init__(self, network: Network, card: ModelCard, maps: Path | None) -> None:
        """Take a model.

        Args:
            network: the model.
            card: its card.
            maps: existing folder for drawings of the heat maps; None draws none.
        """
        self._network, self._card, self._maps = network, card, maps

    def __call__(self, task: Task) -> Answer | LeftOut:
        """Answer a file, or say why it is left out.

        Raises:
            InputError: a drawing cannot be written.
        """
        try:
            radiograph = read_radiograph(task.path)
        except InputError as error:
            return LeftOut(task.path, str(error))
        gray = prepare_gray(radiograph.gray, self._card.preprocessing)
        found = self._network(gray[None], heat_maps=self._maps is not None)
        probabilities = tuple(found.probabilities[0].tolist())
        if self._maps:
            self._draw(task.drawing, radiograph, probabilities, found.heat_maps[0])
        return Answer(task.shown, probabilities, radiograph.warnings)

    def _draw(
        self, name: str, radiograph: Radiograph, probabilities: Sequence[float], heat_maps: np.ndarray
    ) -> None:
        from cxr14.deployment.prediction.drawing import save_overlay

        # Where no finding is a yes, the most probable one is drawn.
        chosen = np.flatnonzero([bool(positive) for positive in decide(self._card, probabilities)])
        if not len(chosen):
            chosen = [int(np.argmax(probabilities))]
        for finding in chosen:
            path = self._maps / f"{name}-{self._card.findings[finding].name}.png"
            save_overlay(path, radiograph.gray, heat_maps[finding], self._card.preprocessing)
