"""The entry of explain-model.py."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from torch import nn
from tqdm import tqdm

from cxr14.data import augment
from cxr14.data.boxes import Boxes, read_boxes
from cxr14.data.geometry import read_side
from cxr14.data.image_lists import ImageList, read_list, require_images
from cxr14.data.images import ImageSource, open_images
from cxr14.data.kinds import KINDS
from cxr14.data.provenance import MAY_HAVE_SEEN_TEST_PATIENTS
from cxr14.errors import InputError
from cxr14.explanation import localization, pointing_game
from cxr14.explanation.heat_maps import Layer, all_cells, enlarge, heat_maps, layer_for
from cxr14.explanation.overlays import MOST_ON_SHEET, SIDE, HeatMap, save_contact_sheet, save_overlay
from cxr14.files import atomic_write
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint
from cxr14.models.checkpoint import About
from cxr14.runtime import devices
from cxr14.runtime.threads import use_threads
from cxr14.settings import ExplainSettings, Method

SHEET_FILE, INDEX_FILE = "contact-sheet.png", "explanations.csv"
POINTING_FILE, LOCALIZATION_FILE = "pointing-game.csv", "localization.csv"
POSITIVE = "positive"


def explain(settings: ExplainSettings) -> None:
    """Draw heat maps, and score them against boxes where there is a list of boxes.

    Raises:
        InputError: the checkpoint, a list or the radiographs cannot be used.
    """
    image_list, images = read_list(settings.image_list), open_images(settings.data_dir)
    require_images(image_list, images.names)
    boxes = read_boxes(settings.box_list) if settings.box_list else {}
    rows = choose_radiographs(image_list, settings.findings_shown, boxes, settings.count)
    use_threads(settings.threads)
    device = devices.choose(settings.device)
    model, loaded = checkpoint.load(settings.ckpt_path)
    model = devices.place(model, device)
    explainer = Explainer(model, loaded.about, images, settings.method, settings.batch_size, device)
    caution = ""
    if loaded.provenance.unknown:
        caution = MAY_HAVE_SEEN_TEST_PATIENTS
        print(f"weights of unknown origin ({', '.join(loaded.provenance.unknown)}): {caution}")
    drawn = _compute(explainer, image_list, rows, settings.findings_shown, boxes)
    _save(drawn, explainer, image_list, settings, caution)
    if settings.box_list:
        _score(explainer, image_list, boxes, settings, caution)


def choose_radiographs(image_list: ImageList, shown: str | int, boxes: Boxes, count: int) -> list[int]:
    """Choose radiographs by their labels and boxes; the network has no influence.

    Args:
        image_list: N radiographs.
        shown: "positive", a finding's name, or a number of most probable findings.
        boxes: if there are any, only radiographs with a box of a finding that is shown are chosen.
        count: how many radiographs, at most.

    Returns:
        Rows of the list: the first radiograph with each finding in turn, then the second with each, and so
        on; for a number of most probable findings, the first rows of the list.

    Raises:
        InputError: the list has no such radiograph.
    """
    wanted = np.ones_like(image_list.labels) if isinstance(shown, int) else image_list.labels.copy()
    if shown in FINDINGS:
        wanted[:, np.arange(len(FINDINGS)) != FINDINGS.index(shown)] = 0
    if boxes:
        boxed = [[(name, column) in boxes for column in range(len(FINDINGS))] for name in image_list.names]
        wanted = wanted & np.array(boxed, dtype=np.uint8)
    if not wanted.any():
        with_boxes = " and a box of it" if boxes else ""
        raise InputError(
            f"no radiograph of {image_list.path} has {'a' if isinstance(shown, int) else shown} finding"
            f"{with_boxes}; choose another FINDINGS_SHOWN or IMAGE_LIST."
        )
    if isinstance(shown, int):
        return np.flatnonzero(wanted.any(axis=1))[:count].tolist()
    # The k-th radiograph with a finding comes after the (k - 1)-th with any other.
    turn = np.where(wanted, wanted.cumsum(axis=0), len(wanted) + 1)
    order = np.argsort(turn.min(axis=1) * len(FINDINGS) + turn.argmin(axis=1), kind="stable")
    return order[: min(count, wanted.any(axis=1).sum())].tolist()


@dataclass(frozen=True)
class Explainer:
    """A network and radiographs to compute heat maps of."""

    model: nn.Module
    about: About
    images: ImageSource
    method: Method
    batch_size: int
    device: torch.device
    layer: Layer = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", layer_for(self.about.network, self.about.image_size))

    def __call__(self, names: Sequence[str], findings: Sequence[int]) -> Iterator[tuple[np.ndarray, float]]:
        """Yield M heat maps, each (S, S), and the probability of the finding.

        Args:
            names: M radiographs; a name may occur several times.
            findings: column number of the finding of each map.
        """
        if self.layer.closed_form and names:
            yield from self._in_closed_form(names, findings)
            return
        for part in self._batches(len(names)):
            maps, logits = heat_maps(
                self.model, self.layer, self._crops(names[part]), findings[part], self.method
            )
            yield from zip(maps, expit(logits[np.arange(len(maps)), findings[part]]).tolist(), strict=True)

    def _in_closed_form(
        self, names: Sequence[str], findings: Sequence[int]
    ) -> Iterator[tuple[np.ndarray, float]]:
        """Yield as `__call__`, from one pass for each radiograph, however many of its findings are wanted."""
        row_of = {name: row for row, name in enumerate(dict.fromkeys(names))}
        radiographs = list(row_of)
        parts = [
            all_cells(self.model, self.layer, self._crops(radiographs[part]), self.method)
            for part in self._batches(len(radiographs))
        ]
        cells, logits = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        for name, finding in zip(names, findings, strict=True):
            row = row_of[name]
            (heat,) = enlarge(cells[row, finding][None], self.about.image_size)
            yield heat, float(expit(logits[row, finding]))

    def _batches(self, count: int) -> Iterator[slice]:
        for start in tqdm(range(0, count, self.batch_size), unit="batch", desc="heat maps", leave=False):
            yield slice(start, start + self.batch_size)

    @torch.inference_mode()
    def most_probable(self, names: Sequence[str], count: int) -> list[list[int]]:
        """Return column numbers of the `count` most probable findings of each radiograph, in that order."""
        ranked = []
        for start in range(0, len(names), self.batch_size):
            crops = self._crops(names[start : start + self.batch_size])
            ranked += self.model(augment.normalise(crops)).argsort(dim=1, descending=True)[:, :count].tolist()
        return ranked

    def _crops(self, names: Sequence[str]) -> torch.Tensor:
        side = read_side(self.about.image_size)
        radiographs = torch.from_numpy(self.images.read(names, side)).to(self.device)
        return augment.centre_crop(radiographs, self.about.image_size)


def _compute(
    explainer: Explainer, image_list: ImageList, rows: Sequence[int], shown: str | int, boxes: Boxes
) -> list[HeatMap]:
    names = [image_list.names[row] for row in rows]
    if isinstance(shown, int):
        columns = explainer.most_probable(names, shown)
    elif shown == POSITIVE:
        columns = [np.flatnonzero(image_list.labels[row]).tolist() for row in rows]
    else:
        columns = [[FINDINGS.index(shown)] for _ in rows]
    pairs = [(number, finding) for number, findings in enumerate(columns) for finding in findings]
    results = explainer([names[number] for number, _ in pairs], [finding for _, finding in pairs])
    radiographs = explainer.images.read(names, SIDE)
    return [
        HeatMap(
            name=names[number],
            radiograph=radiographs[number],
            heat=heat,
            finding=finding,
            probability=probability,
            label=int(image_list.labels[rows[number], finding]),
            boxes=boxes.get((names[number], finding), ()),
        )
        for (number, finding), (heat, probability) in zip(pairs, results, strict=True)
    ]


def picture_names(names: Iterable[str]) -> dict[str, str]:
    """Return what the pictures of each radiograph begin with: its stem, or its name where stems are equal."""
    stems = {name: Path(name).stem for name in names}
    count = Counter(stems.values())
    return {name: stem if count[stem] == 1 else name for name, stem in stems.items()}


def _save(
    drawn: Sequence[HeatMap],
    explainer: Explainer,
    image_list: ImageList,
    settings: ExplainSettings,
    caution: str,
) -> None:
    index = []
    begin_with = picture_names({one.name for one in drawn})
    for one in drawn:
        finding = FINDINGS[one.finding]
        picture = f"{begin_with[one.name]}-{finding}.png"
        row = {"picture": picture, "radiograph": one.name, "finding": finding}
        row.update(probability=one.probability, label=one.label)
        if one.boxes:
            overlaps = localization.measure_overlaps(localization.detect_boxes(one.heat), one.boxes)
            row.update(pointing_game.score(one.heat, one.boxes))
            row.update({measure: overlaps.best(measure) for measure in localization.THRESHOLDS})
        save_overlay(settings.out_dir / row["picture"], one, caution)
        index.append(row)
    _save_table(settings.out_dir / INDEX_FILE, pd.DataFrame(index), caution)
    about = explainer.about
    network = f"{about.network} taught by {about.teacher}" if about.teacher else about.network
    mark = KINDS[image_list.kind].mark(len(image_list))
    title = f"{network}: {mark}"
    if caution:
        title += f" ({caution})"
    note = (
        f"{settings.method} at stride {explainer.layer.stride}, centre crop of {about.image_size} px (gray "
        "frame). Above each picture: the finding, its probability and its label. A map shows the evidence "
        "for a finding, scaled to its own maximum, even where the probability is low."
    )
    if any(one.boxes for one in drawn):
        note += " Blue: annotated boxes of the finding."
    save_contact_sheet(settings.out_dir / SHEET_FILE, drawn, title, note)
    radiographs = len({one.name for one in drawn})
    print(f"{network} on {mark} of {image_list.path}")
    print(f"{len(drawn)} overlays of {radiographs} radiographs and {SHEET_FILE} are in {settings.out_dir}.")
    if radiographs > MOST_ON_SHEET:
        print(f"The contact sheet shows the first {MOST_ON_SHEET} radiographs.")


def _score(
    explainer: Explainer, image_list: ImageList, boxes: Boxes, settings: ExplainSettings, caution: str
) -> None:
    patient_of = dict(zip(image_list.names, image_list.patients, strict=True))
    pairs = [pair for pair in boxes if pair[0] in patient_of]
    names, findings = [name for name, _ in pairs], [finding for _, finding in pairs]
    scores, overlaps = [], []
    for pair, (heat, _) in zip(pairs, explainer(names, findings), strict=True):
        scores.append(pointing_game.score(heat, boxes[pair]))
        detected = localization.detect_boxes(heat)
        overlaps.append(localization.measure_overlaps(detected, boxes[pair]))
    pointing = pointing_game.table(findings, [patient_of[name] for name in names], scores)
    located = localization.table(findings, overlaps)
    _save_table(settings.out_dir / POINTING_FILE, pointing.reset_index(), caution)
    _save_table(settings.out_dir / LOCALIZATION_FILE, located, caution)
    marks = [f"boxes on {len(set(names)):,} radiographs of the list"]
    if label := KINDS[image_list.kind].label:
        marks.insert(0, label)
    if caution:
        marks.append(caution)
    print(f"\nPointing game ({', '.join(marks)})")
    print(pointing.to_string(float_format="{:.3f}".format))
    print(
        "pointing: share of maps whose maximum lies in a box, with its 95 % confidence interval; chance and "
        "centre: expected\nshare for a random pixel and for the centre of the crop."
    )
    print(f"\nLocalization by boxes, Wang et al. 2017 ({', '.join(marks)})")
    print(localization.as_text(located, "accuracy"))
    print(localization.as_text(located, "AFP"))
    print(
        f"detected boxes: around regions above {' and '.join(map(str, localization.HEAT_LEVELS))} of 255; "
        "accuracy: share of annotated boxes that a detected\nbox overlaps by more than the threshold; AFP: "
        "average number of the other detected boxes in a map. The paper\nalso counts maps of other findings."
    )
    elsewhere = len({name for name, _ in boxes}) - len(set(names))
    if elsewhere:
        print(f"{elsewhere:,} more radiographs of the box list are not in the image list and were left out.")


def _save_table(path: Path, rows: pd.DataFrame, caution: str) -> None:
    if caution:
        rows = rows.assign(caution=caution)
    with atomic_write(path) as aside:
        rows.to_csv(aside, index=False)
