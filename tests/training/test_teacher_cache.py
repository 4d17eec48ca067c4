"""Cached logits are those that were computed, of the right training, and survive interruptions."""

import numpy as np
import pytest
import torch

from cxr14.errors import InputError
from cxr14.training.teacher_cache import KEY_FILE, TeacherCache

KEY = {"teacher": "abc", "list": "def", "seed": 0, "batch size": 4}
ROWS, FINDINGS = 10, 14


class Teacher:
    """Counts how often its logits are computed."""

    def __init__(self):
        self.computed = 0
        self.logits = torch.randn(ROWS, FINDINGS, generator=torch.Generator().manual_seed(0))

    def on(self, rows):
        def compute():
            self.computed += 1
            return self.logits[rows]

        return compute


def go_through(cache, teacher, epoch=0, batches=None):
    found = []
    for start in range(0, ROWS, 4) if batches is None else batches:
        rows = slice(start, min(start + 4, ROWS))
        found.append(cache.logits(epoch, rows, teacher.on(rows)))
    return torch.cat(found)


def test_second_pass_reads_the_same_bits_and_computes_nothing(tmp_path):
    teacher = Teacher()
    first = go_through(TeacherCache(tmp_path, KEY, ROWS, FINDINGS), teacher)
    assert teacher.computed == 3
    second = go_through(TeacherCache(tmp_path, KEY, ROWS, FINDINGS), teacher)
    assert teacher.computed == 3
    assert torch.equal(first, second)
    assert torch.equal(first, teacher.logits)


def test_epochs_are_apart(tmp_path):
    teacher = Teacher()
    cache = TeacherCache(tmp_path, KEY, ROWS, FINDINGS)
    go_through(cache, teacher, epoch=0)
    go_through(cache, teacher, epoch=1)
    assert teacher.computed == 6


def test_interrupted_pass_computes_only_what_is_missing(tmp_path):
    teacher = Teacher()
    go_through(TeacherCache(tmp_path, KEY, ROWS, FINDINGS), teacher, batches=[0, 4])
    assert torch.equal(go_through(TeacherCache(tmp_path, KEY, ROWS, FINDINGS), teacher), teacher.logits)
    assert teacher.computed == 3


@pytest.mark.parametrize("change", [{"teacher": "other"}, {"seed": 1}, {"batch size": 8}])
def test_another_training_has_another_folder(change, tmp_path):
    teacher = Teacher()
    go_through(TeacherCache(tmp_path, KEY, ROWS, FINDINGS), teacher)
    go_through(TeacherCache(tmp_path, KEY | change, ROWS, FINDINGS), teacher)
    assert teacher.computed == 6


def test_foreign_key_file_raises_input_error(tmp_path):
    cache = TeacherCache(tmp_path, KEY, ROWS, FINDINGS)
    (cache.folder / KEY_FILE).write_text("{}")
    with pytest.raises(InputError, match="another training"):
        TeacherCache(tmp_path, KEY, ROWS, FINDINGS)


def damaged_by_cutting(path):
    path.write_bytes(path.read_bytes()[:-40])


def damaged_by_garbage(path):
    path.write_bytes(b"garbage")


def damaged_by_another_shape(path):
    np.save(path, np.zeros((ROWS - 1, FINDINGS), np.float32))


@pytest.mark.parametrize("damage", [damaged_by_cutting, damaged_by_garbage, damaged_by_another_shape])
def test_damaged_file_raises_input_error_that_names_it(damage, tmp_path):
    cache = TeacherCache(tmp_path, KEY, ROWS, FINDINGS)
    go_through(cache, Teacher())
    damage(cache.folder / "epoch-0001.npy")
    with pytest.raises(InputError, match=r"epoch-0001\.npy are damaged; delete"):
        go_through(TeacherCache(tmp_path, KEY, ROWS, FINDINGS), Teacher())
