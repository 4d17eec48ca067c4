"""One phantom: reproducible, signs at their boxes, findings and labels of the right frequency."""

import itertools
from functools import cache

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from cxr14.data_settings import PhantomSettings
from cxr14.errors import InputError
from cxr14.findings import FINDINGS
from cxr14.phantom import acquisition
from cxr14.phantom.body import sample_body, sample_patient
from cxr14.phantom.canvas import Grid, Pose
from cxr14.phantom.chest import Chest
from cxr14.phantom.difficulty import Difficulty, difficulty_of
from cxr14.phantom.prevalence import CORRELATIONS, add_label_noise, prevalence
from cxr14.phantom.radiograph import draw_findings, render
from cxr14.phantom.signs import DRAW, RESHAPE, Sign
from cxr14.script import check_ranges

NO_FINDINGS = np.zeros(14, dtype=bool)
NOISELESS = Difficulty(noise=0.0)
OPACITIES = [finding for finding in FINDINGS if finding not in ("Emphysema", "Pneumothorax", "Hernia")]


def alone(finding):
    return np.array([name == finding for name in FINDINGS])


def pairs(finding, difficulty=NOISELESS, numbers=range(0, 16, 2), size=64):
    """Yield phantoms with a finding, and their difference from the same phantom without it."""
    for number in numbers:
        ill = render(number, 5, difficulty, size, alone(finding))
        well = render(number, 5, difficulty, size, NO_FINDINGS)
        yield ill, ill.image.astype(float) - well.image.astype(float)


@cache
def draw_many(difficulty):
    """(15000, 2, 14) bool: the findings of both images of each patient."""
    return np.reshape([draw_findings(number, 1, difficulty) for number in range(30000)], (15000, 2, 14))


def inside_boxes(phantom):
    """(S, S) bool: pixels within any box."""
    size = phantom.image.shape[0]
    inside = np.zeros((size, size), dtype=bool)
    for box in itertools.chain(*phantom.boxes.values()):
        left, top, right, bottom = (
            round(edge * size / 1024) for edge in (box.x, box.y, box.x + box.w, box.y + box.h)
        )
        inside[top:bottom, left:right] = True
    return inside


def test_phantom_depends_on_seed_and_number_alone():
    there = [render(number, 3, size=64) for number in range(6)]
    back = [render(number, 3, size=64) for number in reversed(range(6))][::-1]
    for one, other in zip(there, back, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.findings, other.findings)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.boxes == other.boxes
    assert len({phantom.image.tobytes() for phantom in there}) == 6
    assert (render(0, 4, size=64).image != there[0].image).any()


def test_every_size_shows_the_same_chest():
    small, large = (render(7, 0, NOISELESS, size).image.astype(float) for size in (64, 256))
    reduced = large.reshape(64, 4, 64, 4).mean((1, 3))
    anatomy = slice(12, None)  # below the side marker, which is placed in whole pixels
    assert np.corrcoef(small[anatomy].ravel(), reduced[anatomy].ravel())[0, 1] > 0.97


def test_two_radiographs_of_a_patient_have_the_same_patient():
    patients = [(render(2 * k, size=32).patient, render(2 * k + 1, size=32).patient) for k in range(20)]
    assert all(first == second for first, second in patients)
    assert len({first for first, _ in patients}) == 20


@pytest.mark.parametrize("finding", FINDINGS)
def test_sign_changes_the_image_inside_its_boxes(finding):
    within, without = [], []
    for phantom, change in pairs(finding):
        assert phantom.boxes.keys() == {finding}
        inside = inside_boxes(phantom)
        within.append(np.abs(change)[inside].mean())
        without.append(np.abs(change)[~inside].mean())
    assert np.mean(within) > 2.5
    # Signs that move the diaphragm or the heart also change the picture beside their boxes.
    assert np.mean(within) > (1.2 if finding in RESHAPE else 3) * np.mean(without)


@pytest.mark.parametrize("finding", OPACITIES)
def test_opacities_are_bright(finding):
    assert np.mean([change[inside_boxes(phantom)].mean() for phantom, change in pairs(finding)]) > 1


def test_emphysema_is_dark():
    assert np.mean([change[inside_boxes(phantom)].mean() for phantom, change in pairs("Emphysema")]) < -3


def test_hernia_is_bright_with_dark_gas_above():
    changes = [change[inside_boxes(phantom)] for phantom, change in pairs("Hernia")]
    assert np.median([change.max() for change in changes]) > 12
    assert np.median([change.min() for change in changes]) < -12
    middles = []
    for _, change in pairs("Hernia"):
        down = np.arange(64)[:, None]
        gas, sac = np.clip(-change - 5, 0, None), np.clip(change - 5, 0, None)
        if gas.sum() > 20:
            middles.append((down * sac).sum() / sac.sum() - (down * gas).sum() / gas.sum())
    assert len(middles) >= 4 and np.mean(middles) > 1  # rows: the sac's white lies lower


def test_pneumothorax_has_no_vessels_beyond_its_line():
    rng = np.random.default_rng(0)
    body = sample_body(rng, sample_patient(rng, 1.0), 1.0)
    chest = Chest(Grid(128, Pose()), body)
    (gap,) = DRAW["Pneumothorax"](chest, Sign(severity=0.8, side=1, rng=rng))
    beyond = gap > 0.95
    assert beyond.sum() > 100
    assert chest.markings[beyond].max() < 0.1
    assert np.median(chest.density[beyond]) < 0
    assert (chest.grid.x[beyond] > 0).all()  # side 1 is the left lung
    assert chest.markings[~chest.grid.left].min() == 1


def test_nodule_changes_only_its_surroundings():
    for phantom, change in pairs("Nodule", Difficulty()):
        near = np.zeros((64, 64), dtype=bool)
        for row, column in np.argwhere(inside_boxes(phantom)):
            near[max(0, row - 12) : row + 13, max(0, column - 12) : column + 13] = True
        assert np.abs(change)[~near].max() <= 3  # scattered quanta alone reach so far


@pytest.mark.parametrize("finding", FINDINGS)
def test_severe_sign_is_more_visible(finding):
    faint, gross = (
        np.mean(
            [np.abs(change).mean() for _, change in pairs(finding, Difficulty(noise=0.0, severity=severity))]
        )
        for severity in (0.4, 1.6)
    )
    assert gross > 1.15 * faint


def test_all_fields_are_float32(monkeypatch):
    seen = []
    expose = acquisition.expose
    monkeypatch.setattr(
        acquisition, "expose", lambda field, *rest: seen.append(field.dtype) or expose(field, *rest)
    )
    for number in range(20):
        render(number, size=32, findings=np.ones(14, dtype=bool))
    assert set(seen) == {np.dtype(np.float32)}
    rng = np.random.default_rng(0)
    body = sample_body(rng, sample_patient(rng, 1.0), 1.0)
    for finding in FINDINGS:
        chest = Chest(Grid(32, Pose()), body)
        footprints = DRAW[finding](chest, Sign(severity=0.5, side=0, rng=rng))
        fields = [chest.aeration, chest.density, chest.markings, *footprints]
        assert {field.dtype for field in fields} == {np.dtype(np.float32)}, finding


def test_boxes_are_inside_the_image_and_of_drawn_findings():
    for number in range(150):
        phantom = render(number, 2, size=32)
        drawn = {finding for finding, there in zip(FINDINGS, phantom.findings, strict=True) if there}
        assert phantom.boxes.keys() <= drawn
        for box in itertools.chain(*phantom.boxes.values()):
            assert min(box.x, box.y) >= 0 < min(box.w, box.h)
            assert max(box.x + box.w, box.y + box.h) <= 1024


@pytest.mark.parametrize("name", ["severity", "noise", "nuisance"])
@pytest.mark.parametrize("value", [0.0, 5.0])
def test_extreme_parameters_still_give_a_chest(name, value):
    for number in range(0, 40, 2):
        image = render(number, difficulty=Difficulty(**{name: value}), size=48).image
        assert image.dtype == np.uint8 and image.shape == (48, 48)
        assert image.std() > 20


@pytest.mark.parametrize(("tail", "persistence"), [(0.5, 0.0), (0.5, 0.6), (0.5, 1.0), (1.0, 0.6)])
def test_prevalences_are_the_requested_ones(tail, persistence):
    drawn = draw_many(Difficulty(tail=tail, persistence=persistence))
    target = prevalence(tail)
    # The images of a patient are not independent: the standard error counts patients.
    assert (np.abs(drawn.mean((0, 1)) - target) < 4.5 * np.sqrt(target * (1 - target) / len(drawn))).all()
    if tail == 1:
        assert target[FINDINGS.index("Hernia")] == pytest.approx(227 / 112120)
    else:
        assert target.min() == pytest.approx(0.03)
        assert target.sum() == pytest.approx(1.15, abs=0.02)


@pytest.mark.parametrize("persistence", [0.0, 0.6, 1.0])
def test_findings_of_one_image_come_together_as_at_nih(persistence):
    drawn = draw_many(Difficulty(persistence=persistence))[:, 0].astype(float)

    def lift(one, other):
        a, b = (drawn[:, FINDINGS.index(name)] for name in (one, other))
        return (a * b).mean() / (a.mean() * b.mean())

    assert lift("Atelectasis", "Effusion") > 1.6
    assert lift("Emphysema", "Pneumothorax") > 1.6
    assert lift("Mass", "Nodule") > 1.3
    assert 0.7 < lift("Hernia", "Pneumothorax") < 1.4


@pytest.mark.parametrize("persistence", [0.0, 0.6])
def test_correlation_between_images_of_a_patient_is_the_persistence(persistence):
    """Each finding, and a pair of findings that come together, against the bivariate normal distribution."""
    drawn = draw_many(Difficulty(persistence=persistence))
    target = prevalence(Difficulty().tail)
    atelectasis, effusion = FINDINGS.index("Atelectasis"), FINDINGS.index("Effusion")
    pairs = [(finding, finding, persistence) for finding in range(14)]
    pairs.append((atelectasis, effusion, persistence * CORRELATIONS["Atelectasis", "Effusion"]))
    for first, second, correlation in pairs:
        thresholds = norm.ppf(target[[first, second]])
        expected = multivariate_normal([0, 0], [[1, correlation], [correlation, 1]]).cdf(thresholds)
        share = (drawn[:, 0, first] & drawn[:, 1, second]).mean()
        assert abs(share - expected) < 4.5 * np.sqrt(expected / len(drawn)), FINDINGS[first]


def test_persistence_one_repeats_the_findings_and_only_within_a_patient():
    difficulty = Difficulty(persistence=1.0)
    drawn = draw_many(difficulty)
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 1])
    agree = (drawn[:-1, 0] == drawn[1:, 0]).mean()
    common = prevalence(difficulty.tail)
    assert agree == pytest.approx((common**2 + (1 - common) ** 2).mean(), abs=0.02)
    first, second = (render(number, 1, difficulty, 32) for number in (4, 5))
    np.testing.assert_array_equal(first.findings, drawn[2, 0])
    np.testing.assert_array_equal(first.findings, second.findings)
    assert (first.image != second.image).any()


def test_label_noise_of_two_images_is_independent():
    """With the same findings on both, 30 % of the labels are missing on each image and 9 % on both."""
    difficulty = Difficulty(persistence=1.0, tail=0.0, false_negatives=0.3)
    pairs = [[render(2 * k + image, 1, difficulty, 32) for image in (0, 1)] for k in range(300)]
    missed = np.array([[phantom.findings & ~phantom.labels for phantom in pair] for pair in pairs])
    present = np.array([pair[0].findings for pair in pairs])
    assert missed[:, 0][present].mean() == pytest.approx(0.3, abs=0.1)
    assert (missed[:, 0] & missed[:, 1])[present].mean() == pytest.approx(0.09, abs=0.06)


def test_label_noise_has_the_given_rates():
    rng, difficulty = np.random.default_rng(2), Difficulty(false_negatives=0.2, false_positives=0.3)
    ill, well = np.ones(14, dtype=bool), np.zeros(14, dtype=bool)
    missed = 1 - np.mean([add_label_noise(rng, ill, difficulty) for _ in range(4000)])
    invented = np.mean([add_label_noise(rng, well, difficulty) for _ in range(20000)], axis=0)
    assert missed == pytest.approx(0.2, abs=0.01)
    np.testing.assert_allclose(invented, 0.3 * prevalence(0.5), rtol=0.25)
    noiseless_labels = Difficulty(false_negatives=0, false_positives=0)
    for number in range(50):
        findings = draw_findings(number, 0, noiseless_labels)
        np.testing.assert_array_equal(add_label_noise(rng, findings, noiseless_labels), findings)


def test_difficulty_sets_all_parameters_and_a_setting_replaces_one(tmp_path):
    easy = difficulty_of(PhantomSettings(out=tmp_path, difficulty="easy", nuisance=0.9))
    assert easy == Difficulty(severity=1.6, noise=0.5, nuisance=0.9, false_negatives=0.0, false_positives=0.0)
    assert difficulty_of(PhantomSettings(out=tmp_path)) == Difficulty()


def test_parameter_out_of_range_raises_input_error(tmp_path):
    with pytest.raises(InputError, match=r"TAIL = 1\.5.*at most 1"):
        difficulty_of(PhantomSettings(out=tmp_path, tail=1.5))
    with pytest.raises(InputError, match=r"COUNT = 2.*4 or more"):
        check_ranges(PhantomSettings(out=tmp_path, count=2))
