"""The signs of the 14 findings, one function for each.

A sign may first change the body (`RESHAPE`: volumes, positions, calibres) and is then drawn (`DRAW`). Signs
change the attenuation by products and sums alone, so their order does not matter.
"""

from collections.abc import Callable

from cxr14.phantom.body import Body
from cxr14.phantom.canvas import Field
from cxr14.phantom.chest import Chest
from cxr14.phantom.signs import aeration, density, pleura, volume
from cxr14.phantom.signs.sign import Sign, sample_sign

DRAW: dict[str, Callable[[Chest, Sign], list[Field]]] = {
    "Atelectasis": aeration.atelectasis,
    "Cardiomegaly": density.cardiomegaly,
    "Effusion": pleura.effusion,
    "Infiltration": aeration.infiltration,
    "Mass": density.mass,
    "Nodule": density.nodule,
    "Pneumonia": aeration.pneumonia,
    "Pneumothorax": pleura.pneumothorax,
    "Consolidation": aeration.consolidation,
    "Edema": aeration.edema,
    "Emphysema": aeration.emphysema,
    "Fibrosis": aeration.fibrosis,
    "Pleural_Thickening": pleura.pleural_thickening,
    "Hernia": density.hernia,
}
"""Finding -> function that draws its sign and returns its footprints, each (S, S), one for every place."""

RESHAPE: dict[str, Callable[[Body, Sign], None]] = {
    "Atelectasis": volume.atelectasis,
    "Cardiomegaly": volume.cardiomegaly,
    "Edema": volume.edema,
    "Emphysema": volume.emphysema,
    "Fibrosis": volume.fibrosis,
    "Pneumothorax": volume.pneumothorax,
}
"""Finding -> function that changes volumes and positions; other findings change none."""

__all__ = ["DRAW", "RESHAPE", "Sign", "sample_sign"]
