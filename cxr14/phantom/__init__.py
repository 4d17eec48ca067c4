"""Synthetic frontal chest radiographs with any of the 14 findings: no patients, no clinical meaning."""

from cxr14.phantom.dataset import write_set
from cxr14.phantom.knobs import DIFFICULTIES, Knobs, PhantomSettings
from cxr14.phantom.prevalence import prevalence, sample_findings
from cxr14.phantom.radiograph import Box, Phantom, render
from cxr14.phantom.sheet import contact_sheet

__all__ = [
    "DIFFICULTIES",
    "Box",
    "Knobs",
    "Phantom",
    "PhantomSettings",
    "contact_sheet",
    "prevalence",
    "render",
    "sample_findings",
    "write_set",
]
