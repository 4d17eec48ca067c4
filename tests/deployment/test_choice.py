"""Of a folder of checkpoints, the best on validation is exported."""

import dataclasses
import shutil

import pytest
import torch
from sklearn.metrics import roc_auc_score

from cxr14.deployment.export.choice import choose_checkpoint
from cxr14.errors import InputError
from cxr14.evaluation.predictions import PREDICTIONS_FILE, VALIDATION, Predictions
from cxr14.models import checkpoint, zoo
from tests.simulated_runs import save_run


def save_tested(folder, name, distance, **how):
    """Write a checkpoint of one tensor, and results as good as `distance` in a folder of the same name."""
    about = checkpoint.About(network=zoo.NAMES[0], image_size=224)
    checkpoint.save(folder / f"{name}.pth", {"weight": torch.full((2,), distance)}, about)
    save_run(folder / "results" / name, distance=distance, **how)
    path = folder / "results" / name / PREDICTIONS_FILE.format(split=VALIDATION)
    weights_hash = checkpoint.read(folder / f"{name}.pth").weights_hash
    dataclasses.replace(Predictions.load(path), weights_hash=weights_hash).save(path)


def test_of_a_folder_the_best_checkpoint_on_validation_is_chosen(tmp_path, capsys):
    for name, distance in (("modeld1", 0.8), ("modeld2", 2.0), ("modeld3", 1.2), ("modeld4", 3.0)):
        save_tested(tmp_path, name, distance)
    shutil.rmtree(tmp_path / "results" / "modeld4")
    (tmp_path / "modeld1.last.pth").write_bytes(b"a snapshot is no checkpoint")
    assert choose_checkpoint(tmp_path, tmp_path / "results") == tmp_path / "modeld2.pth"
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [f"modeld{number}.pth" for number in (1, 2, 3, 4)]
    assert [line for line in lines if "<- best" in line] == [lines[1]]
    assert "not tested" in lines[3]
    val = Predictions.load(tmp_path / "results" / "modeld2" / "predictions-val.npz")
    both = (val.labels.min(axis=0) == 0) & (val.labels.max(axis=0) == 1)
    expected = roc_auc_score(val.labels[:, both], val.probabilities[:, both])
    assert float(lines[1].split()[1]) == pytest.approx(expected, abs=6e-5)
    assert choose_checkpoint(tmp_path / "modeld1.pth", None) == tmp_path / "modeld1.pth"


def test_checkpoints_that_cannot_be_compared_raise_input_error(tmp_path):
    with pytest.raises(InputError, match="has results below"):
        choose_checkpoint(tmp_path, tmp_path)
    with pytest.raises(InputError, match="give their folder with RESULTS_DIR"):
        choose_checkpoint(tmp_path, None)
    save_tested(tmp_path, "a", 1.0)
    save_tested(tmp_path, "b", 2.0, test_seed=2)
    with pytest.raises(InputError, match="different validation lists or crops"):
        choose_checkpoint(tmp_path, tmp_path)
