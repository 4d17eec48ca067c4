"""Several teachers: calibration and weights on half of the validation list, sizes, caches, refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import nn

from cxr14.data import augment
from cxr14.data.image_lists import ImageList
from cxr14.data.splits import halves
from cxr14.errors import InputError
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint
from cxr14.runtime.distributed import ProcessGroup
from cxr14.settings import DistillAllSettings
from cxr14.training import relations, teachers
from cxr14.training.data import Data
from cxr14.training.distillation import Combination, Distillation, Teacher
from cxr14.training.teachers import LoadedTeacher, weights_by_finding
from cxr14.training.views import Views
from tests.toy import MemoryImages, toy_network, toy_settings, toy_training

SIZE, GROUP = 32, ProcessGroup(torch.device("cpu"))


def settings_for(folder, **changes):
    """Return settings of a training with several teachers; the paths are not read."""
    values = {name: folder / name for name in ("data_dir", "train_image_list", "val_image_list", "ckpt_path")}
    values |= {"batch_size": 8, "num_epochs": 2, "learning_rate": 0.01, "image_size": SIZE, "num_workers": 0}
    values |= {"distill_loss": "matching", "temperature": 1.0, "teachers": (folder / "a", folder / "b")}
    return DistillAllSettings(**(values | changes))


def data_for(count=60):
    """Return a training list and a validation list of two radiographs a patient; both of one file."""
    images = MemoryImages(2 * count, seed=5)
    names = list(images.names)
    images.names |= {f"{number // 2:08d}_{number % 2:03d}.png": number for number in range(2 * count)}
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, (2 * count, len(FINDINGS))).astype(np.uint8)
    val = [f"{number // 2:08d}_{number % 2:03d}.png" for number in range(2 * count)]
    return Data(
        ImageList(Path("train.txt"), names, labels), ImageList(Path("val.txt"), val, labels), images, 0, True
    )


def loaded(seed, image_size=SIZE, network="toy"):
    """Return a teacher with random weights, large enough for distinct logits."""
    model = toy_network(dropout=0).eval()
    torch.manual_seed(seed)
    nn.init.normal_(model[-1].weight)
    about = checkpoint.About(network=network, image_size=image_size)
    return LoadedTeacher(model, checkpoint.Checkpoint(model.state_dict(), about), Path(f"{seed}.pth"))


def test_halves_share_no_patient_and_hold_everything():
    data = data_for()
    first, second = data.selection_part, data.calibration_part
    assert not set(first.patients) & set(second.patients)
    assert sorted(first.names + second.names) == sorted(data.val.names)
    assert abs(len(first) - len(second)) <= 2
    assert halves(data.val.names) == halves(list(reversed(data.val.names)))


def test_combination_is_the_weighted_sum_of_calibrated_logits(tmp_path):
    data, both = data_for(), [loaded(1), loaded(2)]
    combination = teachers.combine(settings_for(tmp_path), both, data, GROUP)
    logits = torch.randn(2, 5, 14)
    part = data.calibration_part
    expected = np.zeros((5, 14))
    for teacher, own in zip(both, logits.double().numpy(), strict=True):
        predictions = teachers._predict(teacher, part, data, settings_for(tmp_path), GROUP)
        for finding, fitted in enumerate(teachers.calibration.fit_calibrations(predictions)):
            expected[:, finding] += (fitted.slope * own[:, finding] + fitted.intercept) / 2
    np.testing.assert_allclose(combination.of(logits).numpy(), expected, atol=1e-5)


def test_without_calibration_logits_are_averaged_as_they_are(tmp_path):
    settings = settings_for(tmp_path, calibrate_teachers=False)
    combination = teachers.combine(settings, [loaded(1), loaded(2)], data_for(count=1), GROUP)
    logits = torch.randn(2, 5, 14)
    torch.testing.assert_close(combination.of(logits), logits.mean(dim=0))
    assert not teachers.holds_validation_back(settings)
    assert teachers.holds_validation_back(
        settings_for(tmp_path, calibrate_teachers=False, teacher_weights="finding")
    )


def test_weights_by_finding_favour_the_better_teacher_and_ignore_chance():
    rng = np.random.default_rng(0)
    labels = (rng.random((2_000, 14)) < 0.3).astype(int)
    patients = np.arange(2_000) // 2
    signal = 2.0 * labels
    good, bad = signal + rng.normal(0, 1, labels.shape), signal + rng.normal(0, 3, labels.shape)
    weights = weights_by_finding(labels, [good, bad], patients)
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    assert (weights[0] > 0.9).all()
    same = [signal + rng.normal(0, 1, labels.shape) for _ in range(2)]
    assert np.abs(weights_by_finding(labels, same, patients) - 0.5).max() < 0.25
    np.testing.assert_allclose(weights_by_finding(labels, [good, good], patients), 0.5)


def test_too_few_patients_to_calibrate_on_is_a_sentence_that_counts_them(tmp_path):
    data = data_for()
    data.val.labels[:, 3] = 0
    data.val.labels[:6, 3] = 1
    with pytest.raises(InputError, match=rf"patients with {FINDINGS[3]} and \d+ without; 5 of each"):
        teachers.combine(settings_for(tmp_path), [loaded(1), loaded(2)], data, GROUP)


def test_one_teacher_is_not_several(tmp_path):
    with pytest.raises(InputError, match="two different checkpoints"):
        teachers.load(settings_for(tmp_path, teachers=(tmp_path / "a", tmp_path / "a")))


def test_hash_and_name_of_several_depend_on_each():
    one, two, three = loaded(1), loaded(2), loaded(3)
    assert teachers.hash_of([one]) == one.checkpoint.weights_hash
    assert teachers.hash_of([one, two]) != teachers.hash_of([one, three])
    assert teachers.name_of([one, two]) == "toy+toy"


def test_cache_larger_than_its_limit_is_refused_before_the_work(tmp_path):
    settings = settings_for(tmp_path, teacher_cache=tmp_path / "cache", teacher_cache_gb=1e-6)
    with pytest.raises(InputError, match="more than TEACHER_CACHE_GB"):
        teachers.caches(settings, [loaded(1), loaded(2)], data_for(), 15, GROUP)
    assert not (tmp_path / "cache").exists()


def test_cache_of_a_sharper_teacher_is_another_one(tmp_path):
    settings = settings_for(tmp_path, teacher_cache=tmp_path / "cache")
    plain, sharp = teachers.caches(settings, [loaded(1), loaded(1, image_size=64)], data_for(), 15, GROUP)
    assert plain.folder != sharp.folder


def test_teacher_auroc_is_printed_for_both_lists(tmp_path, capsys):
    teachers.print_auroc([loaded(1)], data_for(), settings_for(tmp_path), GROUP)
    printed = capsys.readouterr().out
    assert "on 120 radiographs of the training list" in printed
    assert "on 120 of the validation list" in printed


class SizeRecorder(nn.Module):
    """Records what it sees; its logits are the mean of each channel."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        self.seen.append(images.clone())
        return images.mean(dim=(2, 3)).repeat(1, 5)[:, :14]


def similarity(first, second):
    """Return the correlation of two (B, 3, S, S) views of each radiograph at 4 x 4 cells, (B,)."""
    coarse = [nn.functional.adaptive_avg_pool2d(views, 4).flatten(1) for views in (first, second)]
    coarse = [cells - cells.mean(dim=1, keepdim=True) for cells in coarse]
    return nn.functional.cosine_similarity(*coarse)


def test_sharper_teacher_sees_the_same_crops_at_its_own_size():
    radiographs = torch.randint(0, 256, (6, 73, 73), dtype=torch.uint8)
    crops = augment.draw_crops(6, 73, 0.5, torch.Generator().manual_seed(0))

    def cut(size):
        return augment.normalise(augment.cut(radiographs, crops, size))

    sharp, usual = SizeRecorder(), SizeRecorder()
    views = Views(cut(32), 0, slice(0, 6), cut)
    loss = Distillation(
        [Teacher(sharp, image_size=64), Teacher(usual, image_size=32)], lambda s, t, y: t.sum()
    )
    loss(views, torch.zeros(6, 14), torch.zeros(6, 14))
    assert torch.equal(sharp.seen[0], cut(64))
    assert torch.equal(usual.seen[0], views.images)
    assert similarity(sharp.seen[0], views.images).min() > 0.95


@pytest.mark.parametrize("changes", [{}, {"mixup": 1.0}, {"accumulate": 2}], ids=["plain", "mixup", "parts"])
def test_training_hands_the_same_views_at_any_size(changes, tmp_path):
    def loss(views, logits, labels):
        assert torch.equal(views.at(32), views.images)
        again = views.cut(32)
        assert torch.equal(again, views.images)
        assert views.at(48).shape == (len(logits), 3, 48, 48)
        assert similarity(views.at(64), views.images).min() > 0.95
        return logits.square().mean()

    toy_training(toy_settings(tmp_path, num_epochs=1, **changes), loss=loss).run()


def test_map_term_is_the_mean_distance_of_the_teachers_maps():
    views = Views(torch.randn(4, 3, 8, 8), 0, slice(0, 4), maps=torch.randn(4, 14, 4, 4))
    made = [(torch.randn(4, 14), torch.randn(4, 14, size, size)) for size in (4, 3)]

    class Made(Teacher):
        def __init__(self, answers):
            super().__init__(nn.Identity())
            self.answers = answers

        def logits_and_maps(self, views):
            return self.answers

    loss = Distillation([Made(each) for each in made], lambda s, t, y: s.sum() * 0, map_weight=2.0)
    mean = (made[0][0] + made[1][0]) / 2
    expected = sum(relations.map_distance(views.maps, maps, mean) for _, maps in made)
    torch.testing.assert_close(loss(views, torch.zeros(4, 14), torch.zeros(4, 14)), expected)


def test_combination_of_probabilities_stays_between_the_teachers():
    scale, shift = torch.full((2, 14), 0.5), torch.zeros(14)
    logits = torch.randn(2, 7, 14)
    combined = expit(Combination(scale, shift).of(logits).numpy())
    assert (combined >= expit(logits.min(dim=0).values.numpy()) - 1e-6).all()
    assert (combined <= expit(logits.max(dim=0).values.numpy()) + 1e-6).all()
