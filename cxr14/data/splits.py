"""Training, validation and test lists without a common patient."""

from collections.abc import Collection, Iterable

import numpy as np

from cxr14.data.image_lists import patient_of

SIDES = ("train", "val", "test")

Split = dict[str, list[str]]
"""Side -> names, sorted."""


def official(train_val: Iterable[str], test: Iterable[str], val_fraction: float, seed: int) -> Split:
    """Take NIH's test list as it is and cut validation off its other list by patient.

    Args:
        train_val: names in NIH's ``train_val_list.txt``.
        test: names in NIH's ``test_list.txt``.
        val_fraction: share of the patients of `train_val` that validate, 0 to 1.
        seed: draws them.
    """
    val, train = _cut(train_val, val_fraction, seed)
    return {"test": sorted(test), "val": val, "train": train}


def by_patient(names: Iterable[str], test_fraction: float, val_fraction: float, seed: int) -> Split:
    """Draw the patients of all three sides.

    Args:
        names: all radiographs.
        test_fraction: share of all patients that test, 0 to 1.
        val_fraction: share of the remaining patients that validate, 0 to 1.
        seed: draws them.
    """
    test, rest = _cut(names, test_fraction, seed)
    return official(rest, test, val_fraction, seed + 1)


def halves(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Split names into two halves without a common patient, the same for the same names."""
    return _cut(names, 0.5, seed=0)


def restrict(split: Split, names: Collection[str]) -> Split:
    """Keep only what is among `names`."""
    return {side: [name for name in members if name in names] for side, members in split.items()}


def _cut(names: Iterable[str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    # All names of the patients who are drawn, and all others; one patient at least where there are two.
    names = sorted(names)
    patients = sorted({patient_of(name) for name in names})
    count = max(round(fraction * len(patients)), min(len(patients) - 1, 1), 0)
    order = np.random.default_rng(seed).permutation(len(patients))
    drawn = {patients[i] for i in order[:count]}
    return [name for name in names if patient_of(name) in drawn], [
        name for name in names if patient_of(name) not in drawn
    ]
