"""The entry of predict.py."""

import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from cxr14.deployment.card import ModelCard
from cxr14.deployment.prediction.answers import Predictor, Task, decide, tasks_of
from cxr14.deployment.prediction.journal import Journal, open_journal
from cxr14.deployment.prediction.model import Network, load_model
from cxr14.deployment.prediction.radiographs import LeftOut, find_radiographs, printable
from cxr14.deployment.prediction.tables import (
    MOST_IN_DETAIL,
    CsvTable,
    JsonTable,
    answer_text,
    open_table,
    summary_text,
)
from cxr14.deployment_settings import PredictSettings
from cxr14.errors import InputError
from cxr14.files import wrap_disk_errors

_INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended, as shells have it


def predict(settings: PredictSettings) -> None:
    """Predict the findings of radiographs: what predict.py does.

    Raises:
        InputError: no radiographs are given, the model or its card cannot be used, or an output cannot be
            written.
        SystemExit: with status 1 at the end, some files could not be read; with status 130, Ctrl-C.
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
    tasks, left_out = _sort(find_radiographs(settings.radiographs))
    run = {"model": card.model_hash, "maps": str(settings.maps) if settings.maps else None}
    with open_journal(settings.csv or settings.json, run) as journal:
        try:
            left_out += _fill(journal, tasks, network, card, settings)
        except KeyboardInterrupt:
            hint = "; the same command resumes" if settings.csv or settings.json else ""
            print(f"stopped{hint}.", file=sys.stderr)
            sys.exit(_INTERRUPTED)
        _write_tables(journal, tasks, card, left_out, settings)
    if left_out:
        files = "file was" if len(left_out) == 1 else "files were"
        print(f"error: {len(left_out):,} {files} left out, see above.", file=sys.stderr)
        sys.exit(1)


def _sort(found: Iterable[Path | LeftOut]) -> tuple[list[Task], list[LeftOut]]:
    paths, left_out = [], []
    for one in found:
        if not isinstance(one, LeftOut):
            paths.append(one)
        else:
            _report(one)
            if one.is_error:
                left_out.append(one)
    return list(tasks_of(paths)), left_out


def _fill(
    journal: Journal, tasks: Sequence[Task], network: Network, card: ModelCard, settings: PredictSettings
) -> list[LeftOut]:
    """Answer the files that the journal does not hold; return those that cannot be read."""
    missing = [task for task in tasks if task.shown not in journal]
    if settings.maps:
        with wrap_disk_errors(settings.maps):
            settings.maps.mkdir(parents=True, exist_ok=True)
    if settings.address:
        # Only now: it takes seconds to load, and few have it.
        from cxr14.deployment.prediction.spread import answers_by_ray

        content = settings.model_path.read_bytes()
        results = answers_by_ray(missing, content, card, settings.maps, settings.address)
    else:
        results = map(Predictor(network, card, settings.maps), missing)
    left_out = []
    bar = tqdm(
        results,
        total=len(tasks),
        initial=len(tasks) - len(missing),
        unit="radiograph",
        disable=len(tasks) == 1,
        leave=False,
    )
    for result in bar:
        if isinstance(result, LeftOut):
            left_out.append(result)
            _report(result)
            continue
        for warning in result.warnings:
            tqdm.write(f"warning: {result.shown}: {warning}", file=sys.stderr)
        journal.add(result)
    return sorted(left_out, key=lambda one: one.path)


def _report(left_out: LeftOut) -> None:
    word = "left out" if left_out.is_error else "warning"
    tqdm.write(f"{word}: {printable(left_out.path)}: {left_out.reason}", file=sys.stderr)


def _write_tables(
    journal: Journal,
    tasks: Sequence[Task],
    card: ModelCard,
    left_out: Sequence[LeftOut],
    settings: PredictSettings,
) -> None:
    """Write the tables in the order of the files, and what the terminal shows."""
    answered = [task.shown for task in tasks if task.shown in journal]
    positives, in_detail = [0] * len(card.findings), []
    with ExitStack() as stack:
        tables = [
            stack.enter_context(open_table(kind, path, card))
            for kind, path in ((CsvTable, settings.csv), (JsonTable, settings.json))
            if path
        ]
        for shown in answered:
            answer = journal.answer(shown)
            for table in tables:
                table.add(answer)
            for place, positive in enumerate(decide(card, answer.probabilities)):
                positives[place] += bool(positive)
            if len(answered) <= MOST_IN_DETAIL:
                in_detail.append(answer_text(card, answer))
        for table in tables:
            table.close(left_out)
    if len(answered) > MOST_IN_DETAIL:
        print(summary_text(card, positives, len(answered)))
    elif in_detail:
        print("\n\n".join(in_detail))
