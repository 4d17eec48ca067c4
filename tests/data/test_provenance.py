"""The patients behind weights: merged along start and teachers, and compared with a list by patient."""

from pathlib import Path

import numpy as np
import pytest

from cxr14.data.image_lists import ImageList
from cxr14.data.provenance import Provenance, of_lists, require_unseen
from cxr14.errors import InputError
from cxr14.findings import FINDINGS


def image_list(*patients: int, name: str = "test_list.txt", follow_up: int = 0) -> ImageList:
    """A list of one radiograph of each patient."""
    names = [f"{patient:08d}_{follow_up:03d}.png" for patient in patients]
    return ImageList(Path(name), names, np.zeros((len(names), len(FINDINGS)), dtype=np.uint8))


EMPTY = Provenance()
TRAINED = of_lists(train=image_list(1, 2, 3), val=image_list(7))


@pytest.mark.parametrize("selected_on", [True, False])
def test_patients_of_the_training_list_are_refused(selected_on):
    with pytest.raises(InputError, match=r"2 of the 3 patients in test_list\.txt were .*00000002, 00000003"):
        require_unseen(image_list(2, 3, 9), TRAINED, selected_on=selected_on, weights="model1.pth")


def test_another_radiograph_of_a_training_patient_is_refused():
    with pytest.raises(InputError, match=r"1 of the 2 patients .*model1\.pth.*00000002"):
        require_unseen(image_list(2, 9, follow_up=5), TRAINED, selected_on=True, weights="model1.pth")


def test_other_patients_are_accepted():
    require_unseen(image_list(4, 5, 17), TRAINED, selected_on=True, weights="model1.pth")


def test_validation_patients_are_refused_for_a_test_list_only():
    with pytest.raises(InputError, match="used to train or select"):
        require_unseen(image_list(7), TRAINED, selected_on=True, weights="model1.pth")
    require_unseen(image_list(7), TRAINED, selected_on=False, weights="model1.pth")


def test_provenance_without_patients_accepts_every_list():
    require_unseen(image_list(1, 2), EMPTY, selected_on=True, weights="model1.pth")


def test_hashes_are_sorted_unique_and_independent_of_order():
    twice = ImageList(
        Path("list.txt"),
        ["00000002_000.png", "00000001_000.png", "00000002_001.png"],
        np.zeros((3, len(FINDINGS)), dtype=np.uint8),
    )
    hashes = of_lists(twice, image_list(7)).train
    assert hashes.dtype == np.uint64
    assert len(hashes) == 2
    assert (np.diff(hashes) > 0).all()
    assert np.array_equal(hashes, of_lists(image_list(1, 2), image_list(7)).train)


def test_hashes_of_all_patients_of_nih_differ():
    """NIH ChestX-ray14 has 30,805 patients."""
    everyone = image_list(*range(1, 30_806))
    assert len(of_lists(everyone, image_list(7)).train) == 30_805


def test_merged_is_the_union_and_keeps_roles_apart():
    start = of_lists(train=image_list(3, 4), val=image_list(8))
    teacher = Provenance(train=TRAINED.val, unknown=("a.pth", "b.pth"))
    merged = TRAINED.merged(start, teacher, Provenance(unknown=("b.pth",)))
    assert np.array_equal(merged.train, of_lists(image_list(1, 2, 3, 4, 7), image_list(7)).train)
    assert np.array_equal(merged.val, of_lists(image_list(1), image_list(7, 8)).val)
    assert merged.unknown == ("a.pth", "b.pth")
    with pytest.raises(InputError, match="00000004"):  # a patient of the start alone
        require_unseen(image_list(4, 20), merged, selected_on=True, weights="modeld1.pth")


def test_merging_changes_nothing_in_place():
    before = TRAINED.train.copy()
    assert TRAINED.merged().train.tolist() == before.tolist()
    TRAINED.merged(of_lists(image_list(50), image_list(51)))
    assert np.array_equal(TRAINED.train, before)
    assert EMPTY.merged(EMPTY).train.dtype == np.uint64
