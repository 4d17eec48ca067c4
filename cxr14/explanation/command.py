"""What explain-model.py calls: a checkpoint and radiographs -> overlays, a contact sheet, and a score."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from torch import nn
from tqdm import tqdm

from cxr14.data import augment
from cxr14.data.geometry import read_side
from cxr14.data.image_lists import MARKS, ImageList, read_list, require_images
from cxr14.data.images import ImageSource, open_images
from cxr14.errors import InputError
from cxr14.explanation import localization
from cxr14.explanation.heat_maps import Layer, heat_maps, layer_for
from cxr14.explanation.localization import Boxes, read_boxes
from cxr14.explanation.overlays import MOST_ON_SHEET, SIDE, Look, contact_sheet, save_overlay
from cxr14.files import atomic_write
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint
from cxr14.models.checkpoint import About
from cxr14.runtime import devices
from cxr14.settings import ExplainSettings, Method

SHEET_FILE, INDEX_FILE, LOCALISATION_FILE = "contact-sheet.png", "explanations.csv", "localisation.csv"
POSITIVE = "positive"


def explain(settings: ExplainSettings) -> None:
    """Draw heat maps and score them against boxes: what explain-model.py does.

    Raises:
        InputError: the checkpoint, a list or the radiographs cannot be used.
    """
    image_list, images = read_list(settings.image_list), open_images(settings.data_dir)
    require_images(image_list, images.names)
    boxes = read_boxes(settings.box_list) if settings.box_list else {}
    rows = choose(image_list, settings.findings_shown, boxes, settings.count)
    device = devices.choose(settings.device)
    model, held = checkpoint.load(settings.ckpt_path)
    explainer = Explainer(
        devices.place(model, device), held.about, images, settings.method, settings.batch_size, device
    )
    looks = _looks(explainer, image_list, rows, settings.findings_shown, boxes)
    _draw(looks, explainer, image_list, settings)
    if settings.box_list:
        _score(explainer, image_list, boxes, settings)


def choose(image_list: ImageList, shown: str | int, boxes: Boxes, count: int) -> list[int]:
    """Choose radiographs without looking at what the network says of them.

    Args:
        image_list: N radiographs.
        shown: "positive", a finding's name, or a number of most probable findings.
        boxes: when there are any, only radiographs with a box of a finding that is shown are chosen.
        count: how many, at most.

    Returns:
        Rows of the list: the first one with each finding in turn, then the second, and so on; for a number
        of most probable findings the first ones of the list.

    Raises:
        InputError: there is none to choose, or the number is below 1.
    """
    if isinstance(shown, int) and shown < 1:
        raise InputError(f"FINDINGS_SHOWN = {shown} is out of range; 1 or more is expected.")
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
    """A network that is ready to show where it looks."""

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
        """Yield the map of each finding on each radiograph, (S, S), and its probability.

        Args:
            names: M radiographs; one may be asked about several times.
            findings: M column numbers.
        """
        for start in tqdm(range(0, len(names), self.batch_size), unit="batch", desc="heat maps", leave=False):
            part = slice(start, start + self.batch_size)
            maps, logits = heat_maps(
                self.model, self.layer, self._crops(names[part]), findings[part], self.method
            )
            yield from zip(maps, expit(logits[np.arange(len(maps)), findings[part]]).tolist(), strict=True)

    @torch.inference_mode()
    def most_probable(self, names: Sequence[str], count: int) -> list[list[int]]:
        """Return the column numbers of the most probable findings of each radiograph, the likeliest first."""
        ranked = []
        for start in range(0, len(names), self.batch_size):
            crops = self._crops(names[start : start + self.batch_size])
            ranked += self.model(augment.normalise(crops)).argsort(dim=1, descending=True)[:, :count].tolist()
        return ranked

    def _crops(self, names: Sequence[str]) -> torch.Tensor:
        side = read_side(self.about.image_size)
        radiographs = torch.from_numpy(self.images.read(names, side)).to(self.device)
        return augment.centre_crop(radiographs, self.about.image_size)


def _looks(
    explainer: Explainer, image_list: ImageList, rows: Sequence[int], shown: str | int, boxes: Boxes
) -> list[Look]:
    names = [image_list.names[row] for row in rows]
    if isinstance(shown, int):
        columns = explainer.most_probable(names, shown)
    elif shown == POSITIVE:
        columns = [np.flatnonzero(image_list.labels[row]).tolist() for row in rows]
    else:
        columns = [[FINDINGS.index(shown)] for _ in rows]
    pairs = [(place, finding) for place, found in enumerate(columns) for finding in found]
    answers = explainer([names[place] for place, _ in pairs], [finding for _, finding in pairs])
    pictures = explainer.images.read(names, SIDE)
    return [
        Look(
            name=names[place],
            radiograph=pictures[place],
            heat=heat,
            finding=finding,
            probability=probability,
            labelled=bool(image_list.labels[rows[place], finding]),
            boxes=boxes.get((names[place], finding), ()),
        )
        for (place, finding), (heat, probability) in zip(pairs, answers, strict=True)
    ]


def _draw(
    looks: Sequence[Look], explainer: Explainer, image_list: ImageList, settings: ExplainSettings
) -> None:
    index = []
    for look in looks:
        picture = f"{Path(look.name).stem}-{FINDINGS[look.finding]}.png"
        save_overlay(settings.out_dir / picture, look)
        told = (picture, look.name, FINDINGS[look.finding], look.probability, int(look.labelled))
        index.append((*told, *localization.scores(look.heat, look.boxes).values()) if look.boxes else told)
    columns = ["picture", "radiograph", "finding", "probability", "label", *localization.FIGURES]
    with atomic_write(settings.out_dir / INDEX_FILE) as aside:
        table = pd.DataFrame(index).reindex(columns=range(len(columns))).set_axis(columns, axis=1)
        table.dropna(axis=1, how="all").to_csv(aside, index=False)
    about = explainer.about
    taught = f" taught by {about.teacher}" if about.teacher else ""
    mark = MARKS[image_list.kind].format(count=len(image_list))
    note = (
        f"{settings.method} at stride {explainer.layer.stride}, centre crop of {about.image_size} px (gray "
        "frame); above each picture the finding, its probability and its label. A map shows what speaks for "
        "a finding, scaled to its own maximum, even where the network does not believe in it."
    )
    if any(look.boxes for look in looks):
        note += " Blue boxes: where the finding was seen."
    contact_sheet(settings.out_dir / SHEET_FILE, looks, f"{about.network}{taught}: {mark}", note)
    radiographs = len({look.name for look in looks})
    print(f"{about.network}{taught} on {mark} of {image_list.path}")
    print(
        f"{len(looks)} overlays of {radiographs} radiographs are in {settings.out_dir}, most on {SHEET_FILE}."
    )
    if radiographs > MOST_ON_SHEET:
        print(f"The sheet shows the first {MOST_ON_SHEET} radiographs.")


def _score(explainer: Explainer, image_list: ImageList, boxes: Boxes, settings: ExplainSettings) -> None:
    listed = dict(zip(image_list.names, image_list.patients, strict=True))
    asked = [pair for pair in boxes if pair[0] in listed]
    names, findings = [name for name, _ in asked], [finding for _, finding in asked]
    scored = [
        localization.scores(heat, boxes[pair])
        for pair, (heat, _) in zip(asked, explainer(names, findings), strict=True)
    ]
    table = localization.table(findings, [listed[name] for name in names], scored)
    with atomic_write(settings.out_dir / LOCALISATION_FILE) as aside:
        table.to_csv(aside)
    elsewhere = len({name for name, _ in boxes}) - len(set(names))
    mark = "SYNTHETIC, " if image_list.kind == "synthetic" else ""
    print(f"\nPointing game and IoU ({mark}boxes on {len(set(names)):,} radiographs of the list)")
    print(table.to_string(float_format="{:.3f}".format))
    print(
        "pointing: share of maps whose maximum lies in a box, no tolerance, with its 95 % interval; chance "
        "and centre: what\na random pixel and the crop's middle would score; IoU: of the boxes and the map "
        f"above {localization.IOU_SHARE} of its maximum."
    )
    if elsewhere:
        print(f"{elsewhere:,} more radiographs of the box list are not in the image list and were left out.")
