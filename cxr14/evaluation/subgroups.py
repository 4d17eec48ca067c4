"""AUROC in groups of patients by sex, age and view."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from cxr14.data.nih_tables import Demographics
from cxr14.evaluation.bootstrap import bootstrap_auroc
from cxr14.evaluation.intervals import Interval, patients_of_each_class
from cxr14.evaluation.predictions import Predictions
from cxr14.evaluation.resamples import Resamples
from cxr14.settings import RESAMPLES

FEWEST_PATIENTS = 10
"""Patients with a finding, and without it, that each group needs before the finding is compared."""

_AGES = ((0, 17, "under 18 years"), (18, 39, "18 to 39"), (40, 59, "40 to 59"), (60, 79, "60 to 79"))
_OLD = "80 and older"


@dataclass(frozen=True)
class Subgroup:
    """The radiographs of one group, and how well a network ranks them."""

    attribute: str
    """What the groups differ in: sex, age or view."""
    name: str
    """Such as female, 18 to 39, PA."""
    radiographs: int
    patients: int
    findings: int
    """Findings behind the mean: the same ones for all groups of an attribute that have a mean."""
    auroc: Interval
    """Mean AUROC over the findings; NaN where the group has too few patients."""


def subgroup_aurocs(
    test: Predictions, demographics: Mapping[str, Demographics], resamples: int = RESAMPLES, seed: int = 0
) -> list[Subgroup]:
    """Return the mean AUROC in each group, with its 95 % interval over patients.

    Means over different findings cannot be compared. So the groups of an attribute share their findings:
    those with `FEWEST_PATIENTS` patients on both sides in each group. A group that has no such finding, or
    would leave the others with half of theirs or less, is listed without a mean.

    Args:
        test: predictions for the test list.
        demographics: by the name of the radiograph; one that is not in it belongs to no group.
        resamples: bootstrap resamples of the patients.
        seed: of the resamples.
    """
    known = [demographics.get(name) for name in test.names.tolist()]
    groups: list[Subgroup] = []
    for attribute, group_of in tqdm(_ATTRIBUTES.items(), desc="subgroups", unit="attribute", leave=False):
        members = np.array([group_of(one) if one else None for one in known], dtype=object)
        rows = {name: members == name for name in _NAMES[attribute] if (members == name).any()}
        compared = {name: _comparable(test, chosen) for name, chosen in rows.items()}
        most = max((mask.sum() for mask in compared.values()), default=0)
        shared = np.logical_and.reduce(
            [mask for mask in compared.values() if mask.sum() * 2 > most] or [np.zeros(len(test.findings))]
        ).astype(bool)
        for name, chosen in rows.items():
            enough = shared.any() and (compared[name] | ~shared).all()
            mean = _mean(test, chosen, shared, resamples, seed) if enough else Interval(*[np.nan] * 3)
            patients = len(np.unique(test.patients[chosen]))
            findings = int(shared.sum()) if enough else 0
            groups.append(Subgroup(attribute, name, int(chosen.sum()), patients, findings, mean))
    return groups


def _comparable(test: Predictions, chosen: np.ndarray) -> np.ndarray:
    """Return which findings enough patients of a group have and have not, (F,)."""
    both = patients_of_each_class(test.labels[chosen].astype(bool), test.patients[chosen])
    return np.minimum(*both) >= FEWEST_PATIENTS


def _mean(test: Predictions, chosen: np.ndarray, findings: np.ndarray, resamples: int, seed: int) -> Interval:
    drawn = Resamples(test.patients[chosen], resamples, seed)
    labels, scores = test.labels[chosen][:, findings], test.probabilities[chosen][:, findings]
    return bootstrap_auroc(labels, scores, drawn).macro().interval()


def _age_group(one: Demographics) -> str | None:
    if one.age is None:
        return None
    return next((name for least, most, name in _AGES if least <= one.age <= most), _OLD)


_ATTRIBUTES: dict[str, Callable[[Demographics], str | None]] = {
    "sex": lambda one: one.sex,
    "age": _age_group,
    "view": lambda one: one.view,
}
_NAMES = {"sex": ("female", "male"), "age": (*(name for *_, name in _AGES), _OLD), "view": ("PA", "AP")}
