"""An exported model gives the answers of its checkpoint, or it is not kept."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch.nn import functional

from cxr14.data import augment
from cxr14.data.image_lists import ImageList
from cxr14.data.images import decode, resize
from cxr14.data.provenance import Provenance, of_lists
from cxr14.deployment.card import read_card
from cxr14.deployment.export import parity
from cxr14.deployment.export.command import export, model_file
from cxr14.deployment.export.network import DeployedNetwork
from cxr14.deployment.export.onnx_file import write_onnx
from cxr14.deployment.export.reading_rules import load_operating_points
from cxr14.deployment.prediction.model import Network
from cxr14.deployment_settings import CARD_FILE
from cxr14.errors import InputError
from cxr14.evaluation.calibration import Calibration
from cxr14.evaluation.operating_points import OPERATING_POINTS_FILE, OperatingPoints
from cxr14.explanation.heat_maps import layer_for, maps_by_gradients
from cxr14.files import fingerprint
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from tests.deployment.conftest import export_settings, save_checkpoint
from tests.models.test_zoo import OWN, OWN_MODEL


def centre_crops(radiographs):
    """The radiographs as networks get them, (N, 224, 224) uint8."""
    return np.stack(
        [resize(decode(path), 256)[16:240, 16:240] for path in sorted((radiographs / "images").iterdir())]
    )


def probabilities_of_pytorch(ckpt_path, gray):
    """An independent reference: normalisation by its definition, in float64."""
    model, _ = checkpoint.load(ckpt_path)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    images = (gray[:, None] / 255 - mean[:, None, None]) / std[:, None, None]
    with torch.inference_mode():
        return torch.sigmoid(model.double()(torch.from_numpy(images))).numpy()


# A transformer's file is large: 160 and 340 MB.
EACH = [
    pytest.param(name, marks=pytest.mark.slow) if name[0] in "345" else pytest.param(name)
    for name in zoo.NAMES
]


@pytest.mark.parametrize("name", EACH)
def test_float32_export_matches_pytorch(name, radiographs, tmp_path):
    ckpt_path = save_checkpoint(tmp_path / "model.pth", name)
    export(export_settings(radiographs, ckpt_path, tmp_path / "out"))
    gray = centre_crops(radiographs)
    answers = Network(tmp_path / "out" / model_file(name))(gray)
    assert answers.logits.std(axis=0).mean() > 0.03  # the radiographs do not all get the same answer
    gray = gray[:3]
    assert np.abs(answers.probabilities[:3] - probabilities_of_pytorch(ckpt_path, gray)).max() <= 1e-5

    model, _ = checkpoint.load(ckpt_path)
    findings = [number % len(FINDINGS) for number in range(len(gray))]
    reference, _ = maps_by_gradients(model, layer_for(name, 224), torch.from_numpy(gray), findings)
    for number, finding in enumerate(findings):
        cells = torch.from_numpy(answers.heat_maps[number, finding])
        drawn = functional.interpolate(cells[None, None], (224, 224), mode="bilinear")[0, 0].numpy()
        spread = drawn.max() - drawn.min()
        if spread == 0:  # no cell has evidence for the finding
            assert not reference[number].any()
            continue
        # Both are stretched to the range from 0 to 1, and a difference of the cells with them.
        allowed = 3e-5 * drawn.max() / spread
        assert np.abs((drawn - drawn.min()) / spread - reference[number]).max() <= allowed


def test_w8_file_is_small_and_its_answers_are_near(radiographs, tmp_path):
    ckpt_path, path = save_checkpoint(tmp_path / "model.pth", zoo.NAMES[0]), tmp_path / "w8.onnx"
    model, _ = checkpoint.load(ckpt_path)
    network = DeployedNetwork(model, zoo.NAMES[0], 224, torch.ones(14), torch.zeros(14))
    write_onnx(network, 224, "w8", path, {})
    assert path.stat().st_size <= 5_500_000
    gray = centre_crops(radiographs)
    change = np.abs(Network(path)(gray).probabilities - probabilities_of_pytorch(ckpt_path, gray))
    assert 0 < change.max() <= 0.025
    weights = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    stored = {name: tensor for name, tensor in weights.items() if tensor.data_type == TensorProto.INT8}
    assert len(stored) > 30
    for name, tensor in stored.items():
        assert tensor.dims[0] != len(FINDINGS) and tensor.dims[1] not in (1, 3), name


def test_export_outside_the_bounds_exits_with_1_and_leaves_nothing(
    radiographs, tmp_path, monkeypatch, capsys
):
    strict = parity.Bounds(1e-12, 1e-12, 0.002, heat_map=1e-12, same_peak=0.97)
    monkeypatch.setitem(parity.BOUNDS, "float32", strict)
    ckpt_path = save_checkpoint(tmp_path / "model.pth", zoo.NAMES[0])
    with pytest.raises(SystemExit) as ended:
        export(export_settings(radiographs, ckpt_path, tmp_path / "out"))
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert "exceeded" in printed.out and "outside the bounds" in printed.err
    assert list((tmp_path / "out").iterdir()) == []


def test_card_describes_checkpoint_and_model(exported):
    card = read_card(exported / CARD_FILE)
    _, loaded = checkpoint.load(exported / "model1.pth")
    assert card.model_hash == fingerprint(exported / "eeea-net-c2.onnx")
    assert card.weights_hash == loaded.weights_hash
    assert card.network == zoo.NAMES[0] and card.splits == {"train": "abc"}
    assert (card.preprocessing.read_side, card.preprocessing.image_size) == (256, 224)
    assert [finding.name for finding in card.findings] == list(FINDINGS)
    assert card.outputs == ("logits", "probabilities", "heat_maps")
    assert card.parity["pixels, largest difference"] == 0
    assert len(card.warnings) == 2 and "no operating points" in card.warnings[1]


def save_operating_points(folder, weights_hash, **changes):
    """Write operating points with a threshold of 0.3, one missing, and one calibration that shifts."""
    calibrations = (Calibration("Platt", 2.0, -1.0), *(Calibration(),) * 13)
    values = {
        "network": zoo.NAMES[0],
        "teacher": None,
        "weights_hash": weights_hash,
        "val_list_fingerprint": "def",
        "crops": 1,
        "threshold_rule": "youden",
        "thresholds": (*(0.3,) * 13, float("nan")),
        "calibrations": calibrations,
    }
    OperatingPoints(**(values | changes)).save(folder / OPERATING_POINTS_FILE)


def test_operating_points_and_calibration_are_in_card_and_model(radiographs, tmp_path):
    ckpt_path = save_checkpoint(tmp_path / "model.pth", zoo.NAMES[0], image_size=64)
    save_operating_points(tmp_path, checkpoint.read(ckpt_path).weights_hash)
    export(export_settings(radiographs, ckpt_path, tmp_path / "out", results_dir=tmp_path))
    card = read_card(tmp_path / "out" / CARD_FILE)
    assert (card.threshold_rule, card.splits) == ("youden", {"train": "abc", "operating points": "def"})
    assert card.findings[0].calibration == "Platt" and card.findings[-1].operating_point is None
    assert card.findings[1].operating_point == pytest.approx(0.3)
    gray = np.random.default_rng(0).integers(0, 256, (40, 64, 64), dtype=np.uint8)
    answers = Network(tmp_path / "out" / "eeea-net-c2.onnx")(gray)
    logits = answers.logits.astype(float)
    np.testing.assert_allclose(answers.probabilities[:, 0], 1 / (1 + np.exp(1 - 2 * logits[:, 0])), rtol=1e-5)
    # A threshold of 0.3 before calibration: sigmoid(2 log(0.3 / 0.7) - 1) after it.
    assert card.findings[0].operating_point == pytest.approx(1 / (1 + np.exp(1) * (0.7 / 0.3) ** 2))


def test_operating_points_of_other_weights_are_refused(radiographs, tmp_path):
    ckpt_path = save_checkpoint(tmp_path / "model.pth", zoo.NAMES[0], image_size=64)
    save_operating_points(tmp_path, "another")
    with pytest.raises(InputError, match="belong to other weights"):
        export(export_settings(radiographs, ckpt_path, tmp_path / "out", results_dir=tmp_path))
    assert not (tmp_path / "out").exists()


def test_ten_crops_behind_the_operating_points_are_a_warning(radiographs, tmp_path):
    ckpt_path = save_checkpoint(tmp_path / "model.pth", zoo.NAMES[0], image_size=64)
    save_operating_points(tmp_path, checkpoint.read(ckpt_path).weights_hash, crops=10)
    export(export_settings(radiographs, ckpt_path, tmp_path / "out", results_dir=tmp_path))
    assert any("10 crops" in warning for warning in read_card(tmp_path / "out" / CARD_FILE).warnings)


def test_card_warns_of_phantoms_and_of_unknown_origin(radiographs, tmp_path):
    phantoms = ImageList(tmp_path, ["synthetic_00000007_001.png"], np.zeros((1, 14), np.uint8))
    seen = of_lists(phantoms, phantoms).merged(Provenance(unknown=("theirs.pth",)))
    ckpt_path = save_checkpoint(tmp_path / "model.pth", zoo.NAMES[0], image_size=64, provenance=seen)
    export(export_settings(radiographs, ckpt_path, tmp_path / "out"))
    card = read_card(tmp_path / "out" / CARD_FILE)
    assert any(warning.startswith("synthetic") for warning in card.warnings)
    assert "may have seen test patients: theirs.pth" in card.warnings


def test_small_images_have_no_heat_maps(radiographs, tmp_path):
    ckpt_path = save_checkpoint(tmp_path / "model.pth", zoo.NAMES[0], image_size=64)
    export(export_settings(radiographs, ckpt_path, tmp_path / "out"))
    assert read_card(tmp_path / "out" / CARD_FILE).outputs == ("logits", "probabilities")


def test_a_network_of_a_users_own_is_exported_without_heat_maps(radiographs, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "ROOT", tmp_path)
    (tmp_path / OWN).mkdir()
    (tmp_path / OWN / "model.py").write_text(OWN_MODEL)
    model = zoo.build(OWN, pretrained=False)
    about = checkpoint.About(network=OWN, image_size=32)
    checkpoint.save(tmp_path / "model8.pth", model.state_dict(), about)
    export(export_settings(radiographs, tmp_path / "model8.pth", tmp_path / "out"))
    assert read_card(tmp_path / "out" / CARD_FILE).outputs == ("logits", "probabilities")
    gray = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    logits = Network(tmp_path / "out" / "my-network.onnx")(gray).logits
    with torch.inference_mode():
        expected = model.eval()(augment.normalise(torch.from_numpy(gray))).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_file_holds_no_path_of_this_machine(exported):
    content = (exported / "eeea-net-c2.onnx").read_bytes()
    assert b"site-packages" not in content and b".py" not in content


def test_parity_row_without_a_value_holds():
    assert parity.Row("AUROC", float("nan"), 0.002).holds
    assert not parity.Row("AUROC", 0.003, 0.002).holds
    assert not parity.Row("peak", 0.9, 0.97, at_least=True).holds


def test_operating_points_are_found_below_a_folder_by_the_hash_of_the_weights(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        save_operating_points(tmp_path / name, name)
    assert load_operating_points(tmp_path, "second").weights_hash == "second"
