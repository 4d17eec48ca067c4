"""The entry of predict.py."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cxr14.data.radiograph_files import Radiograph, read_radiograph
from cxr14.deployment.card import ModelCard
from cxr14.deployment.prediction.model import Network, load_model
from cxr14.deployment.prediction.radiographs import LeftOut, find_radiographs, prepare_gray
from cxr14.deployment.prediction.tables import (
    MOST_IN_DETAIL,
    Answer,
    CsvTable,
    JsonTable,
    answer_text,
    decide,
    open_table,
    printable,
    summary_text,
)
from cxr14.deployment_settings import PredictSettings
from cxr14.errors import InputError
from cxr14.files import wrap_disk_errors


def predict(settings: PredictSettings) -> None:
    """Predict the findings of radiographs: what predict.py does.

    Raises:
        InputError: no radiographs are given, the model or its card cannot be used, or an output cannot be
            written.
        SystemExit: with status 1 at the end, some files could not be read.
    """
    if not settings.radiographs:
        raise InputError("give radiographs: PNG, JPEG or DICOM files, or folders of them.")
    network, card = load_model(settings.model_path, settings.threads)
    if settings.maps and "heat_maps" not in network.outputs:
        raise InputError(
            f"{settings.model_path} has no heat maps: its images of {card.preprocessing.image_size} px are "
            "too small for them; leave out --maps."
        )
    for warning in card.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    predictor = Predictor(network, card, settings.maps)
    positives, in_detail, left_out, total = np.zeros(len(card.findings), int), [], [], 0
    with ExitStack() as stack:
        if settings.maps:
            with wrap_disk_errors(settings.maps):
                settings.maps.mkdir(parents=True, exist_ok=True)
        tables = [
            stack.enter_context(open_table(kind, path, card))
            for kind, path in ((CsvTable, settings.csv), (JsonTable, settings.json))
            if path
        ]
        for result in predictor.answers(list(find_radiographs(settings.radiographs))):
            if isinstance(result, LeftOut):
                left_out.append(result)
                tqdm.write(f"left out: {printable(result.path)}: {result.reason}", file=sys.stderr)
                continue
            for warning in result.warnings:
                tqdm.write(f"warning: {result.shown}: {warning}", file=sys.stderr)
            for table in tables:
                table.add(result)
            positives += [bool(positive) for positive in result.positive]
            total += 1
            if total <= MOST_IN_DETAIL:
                in_detail.append(result)
        for table in tables:
            table.close(left_out)
    if total > MOST_IN_DETAIL:
        print(summary_text(card, positives, total))
    else:
        print("\n\n".join(answer_text(card, answer) for answer in in_detail))
    if left_out:
        files = "file was" if len(left_out) == 1 else "files were"
        print(f"error: {len(left_out):,} {files} left out, see above.", file=sys.stderr)
        sys.exit(1)


class Predictor:
    """A model that answers files one by one."""

    def __init__(self, network: Network, card: ModelCard, maps: Path | None) -> None:
        """Take a model.

        Args:
            network: the model.
            card: its card.
            maps: folder for drawings of the heat maps; None draws none.
        """
        self._network, self._card, self._maps = network, card, maps
        self._drawn: dict[str, int] = {}

    def answers(self, files: list[Path | LeftOut]) -> Iterator[Answer | LeftOut]:
        """Yield an answer for each file, or why it is left out."""
        for file in tqdm(files, unit="radiograph", disable=len(files) == 1, leave=False):
            if isinstance(file, LeftOut):
                yield file
                continue
            try:
                radiograph = read_radiograph(file)
            except InputError as error:
                yield LeftOut(file, str(error))
                continue
            yield self._answer(file, radiograph)

    def _answer(self, path: Path, radiograph: Radiograph) -> Answer:
        gray = prepare_gray(radiograph.gray, self._card.preprocessing)
        found = self._network(gray[None], heat_maps=self._maps is not None)
        answer = decide(self._card, path, found.probabilities[0].tolist(), radiograph.warnings)
        if self._maps:
            self._draw(answer, radiograph.gray, found.heat_maps[0])
        return answer

    def _draw(self, answer: Answer, gray: np.ndarray, heat_maps: np.ndarray) -> None:
        from cxr14.deployment.prediction.drawing import save_overlay

        # Where no finding is a yes, the most probable one is drawn.
        chosen = np.flatnonzero([bool(positive) for positive in answer.positive])
        if not len(chosen):
            chosen = [int(np.argmax(answer.probabilities))]
        stem = printable(Path(answer.path.stem))
        number = self._drawn[stem] = self._drawn.get(stem, 0) + 1
        unique = stem if number == 1 else f"{stem}-{number}"  # files of two folders may share a name
        for finding in chosen:
            name = f"{unique}-{self._card.findings[finding].name}.png"
            save_overlay(self._maps / name, gray, heat_maps[finding], self._card.preprocessing)
