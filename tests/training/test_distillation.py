"""Distillation in the training loop: teachers, their cache, blends, and the terms of the loss."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from cxr14.findings import FINDINGS
from cxr14.settings import DistillSettings
from cxr14.training import losses, relations
from cxr14.training.distillation import Distillation, Teacher, comparison
from cxr14.training.teacher_cache import TeacherCache
from cxr14.training.views import Views
from tests.toy import COUNT, assert_same, toy_network, toy_settings, toy_training, weights_of

COMPARE = partial(losses.bernoulli_loss, temperature=2.0, soft_weight=1 / 14)


def test_teacher_is_frozen_and_sees_the_students_images():
    images, labels = torch.randn(5, 3, 4, 4), torch.randint(0, 2, (5, 14))
    teacher = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(48), nn.Dropout(0.5), nn.Linear(48, 14)).train()
    student = nn.Sequential(nn.Flatten(), nn.Linear(48, 14))
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    loss = Distillation([Teacher(teacher)], COMPARE)
    logits = student(images)
    loss(Views(images, 0, slice(0, 5)), logits, labels.float()).backward()
    assert not teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())
    for name, value in teacher.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    with torch.no_grad():
        expected = COMPARE(logits, teacher(images), labels.float())
    torch.testing.assert_close(loss(Views(images, 0, slice(0, 5)), logits, labels.float()), expected)


def test_several_teachers_teach_their_mean_logit():
    images, labels = torch.randn(5, 3, 4, 4), torch.randint(0, 2, (5, 14))
    teachers = [nn.Sequential(nn.Flatten(), nn.Linear(48, 14)) for _ in range(2)]
    logits = torch.randn(5, 14)
    with torch.no_grad():
        mean = (teachers[0](images) + teachers[1](images)) / 2
    loss = Distillation([Teacher(one) for one in teachers], COMPARE)
    torch.testing.assert_close(
        loss(Views(images, 0, slice(0, 5)), logits, labels.float()), COMPARE(logits, mean, labels.float())
    )


class CountingNetwork(nn.Module):
    """A network that counts its forward passes."""

    def __init__(self):
        super().__init__()
        self.network, self.passes = toy_network(dropout=0), 0

    def forward(self, images):
        self.passes += 1
        return self.network(images)


def distill(folder, cache_folder=None, **changes):
    """Train the toy with a teacher; return the weights and the number of the teacher's forward passes."""
    settings = toy_settings(folder, **changes)
    torch.manual_seed(3)
    teacher = CountingNetwork()
    nn.init.normal_(teacher.network[-1].weight)
    cache = None
    if cache_folder is not None:
        cache = TeacherCache(cache_folder, {"mixup": settings.mixup}, COUNT, len(FINDINGS))
    training = toy_training(settings, loss=Distillation([Teacher(teacher, cache)], COMPARE))
    training.run()
    return weights_of(training), teacher.passes


@pytest.mark.parametrize("changes", [{}, {"mixup": 1.0}, {"accumulate": 2}], ids=["plain", "mixup", "parts"])
def test_cached_teacher_gives_the_same_weights_and_computes_once(changes, tmp_path):
    without, passes = distill(tmp_path / "without", **changes)
    first, passes_of_first = distill(tmp_path / "first", tmp_path / "cache", **changes)
    second, passes_of_second = distill(tmp_path / "second", tmp_path / "cache", **changes)
    assert_same(without, first)
    assert_same(without, second)
    assert passes == passes_of_first > 0
    assert passes_of_second == 0


def test_mixup_changes_the_training_and_is_repeatable(tmp_path):
    plain, _ = distill(tmp_path / "plain")
    once, _ = distill(tmp_path / "once", mixup=1.0)
    again, _ = distill(tmp_path / "again", mixup=1.0)
    assert_same(once, again)
    assert any(not torch.equal(once[name], plain[name]) for name in once)


def test_teacher_and_student_see_the_same_blend(tmp_path):
    seen = {"teacher": [], "student": []}
    student, teacher = toy_network(dropout=0), toy_network(dropout=0)
    student.register_forward_pre_hook(lambda _, given: seen["student"].append(given[0].clone()))
    teacher.register_forward_pre_hook(lambda _, given: seen["teacher"].append(given[0].clone()))
    settings = toy_settings(tmp_path, mixup=1.0, num_epochs=1, ema_decay=0)
    training = toy_training(settings, loss=Distillation([Teacher(teacher)], COMPARE), network=student)
    training.run()
    for images in seen["teacher"]:
        assert any(images.shape == other.shape and torch.equal(images, other) for other in seen["student"])


def settings_with(**changes):
    """Return distillation settings with a made teacher."""
    values = {
        **{"data_dir": ".", "train_image_list": ".", "val_image_list": ".", "ckpt_path": "."},
        **{"batch_size": 8, "num_epochs": 1, "learning_rate": 0.1},
        **{"teacher": "t", "teacher_ckpt_path": ".", "distill_loss": "matching", "temperature": 2.0},
    }
    return DistillSettings(**(values | changes))


def random_logits():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 6, 14, generator=generator)
    return student, teacher, torch.randint(0, 2, (6, 14), generator=generator).float()


def test_matching_loss_equals_numpy():
    student, teacher, labels = random_logits()

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    z_s, z_t, y = (values.double().numpy() for values in (student, teacher, labels))
    p, q = sigmoid(z_t / 2), sigmoid(z_s / 2)
    divergence = np.mean(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    cross_entropy = np.mean(np.log1p(np.exp(z_s)) - y * z_s)
    for weight in (0.0, 0.1, 1.0):
        value = comparison(settings_with(label_weight=weight))(student, teacher, labels).item()
        assert value == pytest.approx(weight * cross_entropy + (1 - weight) * 4 * divergence, rel=1e-5)


def test_matching_without_labels_is_zero_where_both_agree():
    student, _, labels = random_logits()
    assert losses.matching_loss(student, student, labels, 2.0, 0.0).item() == pytest.approx(0, abs=1e-7)


def test_terms_on_relations_are_added_with_their_weights():
    student, teacher, labels = random_logits()
    plain = comparison(settings_with())(student, teacher, labels)
    both = comparison(settings_with(correlation_weight=2.0, rank_weight=0.5))(student, teacher, labels)
    expected = plain + 2 * relations.correlation_distance(student, teacher)
    expected = expected + 0.5 * relations.pairwise_rank_divergence(student, teacher)
    torch.testing.assert_close(both, expected)


def test_smoothed_labels_move_towards_one_half():
    logits, _, labels = random_logits()
    smoothed = losses.smoothed_cross_entropy(None, logits, labels, 0.2)
    torch.testing.assert_close(smoothed, losses.binary_cross_entropy(None, logits, labels * 0.8 + 0.1))
    torch.testing.assert_close(
        losses.smoothed_cross_entropy(None, logits, labels, 0.0),
        losses.binary_cross_entropy(None, logits, labels),
    )
