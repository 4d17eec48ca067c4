"""The patients behind a network's weights, and the check of lists against them.

A checkpoint records the patients as hashes, and a training adds those of its initial weights and its
teachers. So a list can be compared with all of them, even where the earlier lists no longer exist.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from cxr14.data.image_lists import ImageList
from cxr14.errors import InputError

MAY_HAVE_SEEN_TEST_PATIENTS = "may have seen test patients"
"""The mark on every table and plot of weights whose patients are not known."""

_MOST_LISTED = 3  # patients in an error


def _no_patients() -> np.ndarray:
    return np.empty(0, dtype=np.uint64)


@dataclass(frozen=True, eq=False)
class Provenance:
    """The patients behind a network's weights; without arguments none, as for ImageNet weights."""

    train: np.ndarray = field(default_factory=_no_patients)
    """(P,) sorted uint64 hashes of the patients whose radiographs and labels changed the weights."""
    val: np.ndarray = field(default_factory=_no_patients)
    """(Q,) sorted uint64 hashes of the patients whose radiographs selected an epoch."""
    unknown: tuple[str, ...] = ()
    """Names of the earlier weights whose patients are not known."""

    def merged(self, *others: "Provenance") -> "Provenance":
        """Return the union with the provenance of other weights, such as a start's or a teacher's."""
        everyone = (self, *others)
        return Provenance(
            np.unique(np.concatenate([one.train for one in everyone])),
            np.unique(np.concatenate([one.val for one in everyone])),
            tuple(dict.fromkeys(name for one in everyone for name in one.unknown)),
        )


def of_lists(train: ImageList, val: ImageList) -> Provenance:
    """Return the provenance of weights trained on one list and selected on another."""
    return Provenance(_hashes(train.patients), _hashes(val.patients))


def require_unseen(image_list: ImageList, provenance: Provenance, *, selected_on: bool, weights: str) -> None:
    """Refuse a list with patients whose radiographs the weights depend on.

    Args:
        image_list: the list to score or to select an epoch on.
        provenance: of the weights.
        selected_on: whether patients of earlier validation lists count as seen: True for a test list; False
            for a validation list, which student and teacher may share.
        weights: how the message names the weights, such as the path of a checkpoint.

    Raises:
        InputError: patients of the list are among those; the message counts them and names a few.
    """
    seen = np.union1d(provenance.train, provenance.val) if selected_on else provenance.train
    patients = sorted(set(image_list.patients))
    found = [
        patient
        for patient, is_seen in zip(patients, np.isin(_hash_each(patients), seen), strict=True)
        if is_seen
    ]
    if found:
        raise InputError(
            f"{len(found)} of the {len(patients)} patients in {image_list.path} were used to train "
            f"{'or select ' if selected_on else ''}{weights} or the weights behind it, such as "
            f"{', '.join(found[:_MOST_LISTED])}: use the lists that it was trained with."
        )


def _hashes(patients: Iterable[str]) -> np.ndarray:
    return np.unique(_hash_each(sorted(set(patients))))


def _hash_each(patients: list[str]) -> np.ndarray:
    digests = b"".join(blake2b(patient.encode(), digest_size=8).digest() for patient in patients)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
