"""Subgroups by sex, age and view: who belongs to one, which findings are compared, and the mean."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxr14.data.nih_tables import Demographics, read_demographics
from cxr14.errors import InputError
from cxr14.evaluation.predictions import TEST, Predictions
from cxr14.evaluation.subgroups import FEWEST_PATIENTS, subgroup_aurocs
from cxr14.findings import FINDINGS

COUNT = 400


@pytest.fixture(scope="module")
def predictions():
    """Predictions that are better for the first half; the last finding is absent from the second half."""
    rng = np.random.default_rng(3)
    labels = (rng.random((COUNT, len(FINDINGS))) < 0.3).astype(np.uint8)
    labels[COUNT // 2 :, -1] = 0
    noise = np.where(np.arange(COUNT) < COUNT // 2, 0.5, 2.0)[:, None]
    logits = labels + noise * rng.normal(size=labels.shape)
    return Predictions(
        names=np.array([f"{row:08d}_000.png" for row in range(COUNT)]),
        patients=np.arange(COUNT) // 2,
        labels=labels,
        probabilities=1 / (1 + np.exp(-logits)),
        logits=logits,
        split=TEST,
        network="1-EEEA-Net-C2",
        teacher=None,
        weights_hash="abc",
        list_fingerprint="def",
    )


def test_mean_of_a_group_is_that_of_its_radiographs_over_shared_findings(predictions):
    sexes = ["female" if row < COUNT // 2 else "male" for row in range(COUNT)]
    known = {
        name: Demographics(30, sex, None) for name, sex in zip(predictions.names.tolist(), sexes, strict=True)
    }
    groups = subgroup_aurocs(predictions, known, resamples=100)
    assert [(one.attribute, one.name) for one in groups] == [
        ("sex", "female"),
        ("sex", "male"),
        ("age", "18 to 39"),
    ]
    female, male, adult = groups
    assert (female.radiographs, female.patients, female.findings) == (COUNT // 2, COUNT // 4, 13)
    assert male.findings == 13  # the last finding has no positives among them
    half = slice(0, COUNT // 2)
    expected = np.mean(
        [roc_auc_score(predictions.labels[half, k], predictions.logits[half, k]) for k in range(13)]
    )
    assert female.auroc.value == pytest.approx(expected, abs=1e-12)
    assert male.auroc.high < female.auroc.low < female.auroc.value < female.auroc.high
    assert adult.findings == 14


def test_a_group_of_few_patients_has_no_mean_and_does_not_change_the_others(predictions):
    ages = [85 if row < 2 * (FEWEST_PATIENTS - 1) else 50 for row in range(COUNT)]
    known = {
        name: Demographics(age, None, None)
        for name, age in zip(predictions.names.tolist(), ages, strict=True)
    }
    middle, old = subgroup_aurocs(predictions, known, resamples=50)
    assert (middle.name, middle.findings) == ("40 to 59", 14)
    assert (old.name, old.patients, old.findings) == ("80 and older", FEWEST_PATIENTS - 1, 0)
    assert np.isnan(old.auroc.value)


def test_radiographs_that_the_table_does_not_list_belong_to_no_group(predictions):
    assert subgroup_aurocs(predictions, {}) == []


def test_demographics_are_read_from_both_editions_of_nihs_table(tmp_path):
    head = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,{},View Position\n"
    rows = (
        "a.png,Mass,0,1,58,F,PA\nb.png,Mass,0,1,058Y,M,AP\nc.png,Mass,0,1,011M,,\nd.png,Mass,0,1,414,X,LL\n"
    )
    for sex in ("Patient Gender", "Patient Sex"):
        (tmp_path / "table.csv").write_text(head.format(sex) + rows)
        assert list(read_demographics(tmp_path / "table.csv").values()) == [
            Demographics(58, "female", "PA"),
            Demographics(58, "male", "AP"),
            Demographics(0, None, None),
            Demographics(None, None, None),
        ]
    (tmp_path / "table.csv").write_text(head.format("Sex") + rows)
    with pytest.raises(InputError, match="no 'Patient Gender'"):
        read_demographics(tmp_path / "table.csv")


def test_demographics_of_the_real_table(nih_mini):
    known = read_demographics(nih_mini / "Data_Entry_2017.csv").values()
    assert {one.sex for one in known} == {"female", "male"}
    assert {one.view for one in known} == {"PA", "AP"}
    assert all(0 <= one.age <= 120 for one in known)
