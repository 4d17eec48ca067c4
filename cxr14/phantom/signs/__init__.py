"""The signs of the 14 findings: one function a finding, its meaning to a radiologist in the docstring.

A sign may first bend the body (`RESHAPE`: volumes, positions, calibres) and is then drawn (`DRAW`). Signs
change the medium by products and sums alone, so their order does not matter.
"""

from collections.abc import Callable

from cxr14.findings import FINDINGS
from cxr14.phantom.body import Body
from cxr14.phantom.canvas import Field
from cxr14.phantom.chest import Chest
from cxr14.phantom.signs import volume
from cxr14.phantom.signs.aeration import (
    atelectasis,
    consolidation,
    edema,
    emphysema,
    fibrosis,
    infiltration,
    pneumonia,
)
from cxr14.phantom.signs.density import cardiomegaly, hernia, mass, nodule
from cxr14.phantom.signs.pleura import effusion, pleural_thickening, pneumothorax
from cxr14.phantom.signs.sign import Sign, sample_sign

_FUNCTIONS = (
    atelectasis,
    cardiomegaly,
    effusion,
    infiltration,
    mass,
    nodule,
    pneumonia,
    pneumothorax,
    consolidation,
    edema,
    emphysema,
    fibrosis,
    pleural_thickening,
    hernia,
)

DRAW: dict[str, Callable[[Chest, Sign], list[Field]]] = {
    finding: next(function for function in _FUNCTIONS if function.__name__ == finding.lower())
    for finding in FINDINGS
}
"""Finding -> draws its sign into the chest and returns the footprints, (S, S) each, one for every place."""

RESHAPE: dict[str, Callable[[Body, Sign], None]] = {
    finding: change for finding in FINDINGS if (change := getattr(volume, finding.lower(), None))
}
"""Finding -> what it does to volumes and positions, for those that do."""

__all__ = ["DRAW", "RESHAPE", "Sign", "sample_sign"]
