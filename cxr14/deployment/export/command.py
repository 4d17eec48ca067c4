"""The entry of export-model.py."""

import importlib.metadata
import sys
from collections.abc import Sequence

import numpy as np
import torch

from cxr14.data import kinds
from cxr14.data.geometry import read_side
from cxr14.data.image_lists import ImageList, read_list, require_images
from cxr14.data.images import open_images
from cxr14.data.kinds import KINDS
from cxr14.data.provenance import MAY_HAVE_SEEN_TEST_PATIENTS, Provenance, of_lists
from cxr14.deployment.card import NOT_A_DEVICE, ModelCard, Preprocessing
from cxr14.deployment.export import parity
from cxr14.deployment.export.choice import choose_checkpoint
from cxr14.deployment.export.network import DeployedNetwork
from cxr14.deployment.export.onnx_file import OPSET, write_onnx
from cxr14.deployment.export.reading_rules import findings_for_card, load_operating_points
from cxr14.deployment.prediction.model import Network
from cxr14.deployment_settings import CARD_FILE, ExportSettings
from cxr14.evaluation.operating_points import OperatingPoints
from cxr14.files import atomic_write, fingerprint
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint
from cxr14.models.checkpoint import Checkpoint

SYNTHETIC = "synthetic: trained on drawn radiographs, its answers about a patient mean nothing"

# make-phantoms.py numbers its patients from 1 on. A training on phantoms has seen some of the first.
_FIRST_PHANTOMS = [f"{kinds.SYNTHETIC_PREFIX}{patient:08d}_000.png" for patient in range(1, 1001)]


def export(settings: ExportSettings) -> None:
    """Export the network of a checkpoint: what export-model.py does.

    Raises:
        InputError: the checkpoint, the list or the radiographs cannot be used, or the disk is full.
        SystemExit: with status 1, the exported model lies outside the bounds; it is not kept.
    """
    image_list, images = read_list(settings.image_list), open_images(settings.data_dir)
    require_images(image_list, images.names)
    model, loaded = checkpoint.load(choose_checkpoint(settings.ckpt_path, settings.results_dir))
    about = loaded.about
    preprocessing = Preprocessing(read_side=read_side(about.image_size), image_size=about.image_size)
    points = None
    if settings.results_dir:
        points = load_operating_points(settings.results_dir, loaded.weights_hash)
    findings = findings_for_card(points)
    slope = np.array([finding.slope for finding in findings])
    intercept = np.array([finding.intercept for finding in findings])
    network = DeployedNetwork(
        model, about.network, about.image_size, torch.from_numpy(slope), torch.from_numpy(intercept)
    )
    warnings = _warnings(loaded, image_list, points)
    path = settings.out_dir / model_file(about.network)
    card_path = settings.out_dir / CARD_FILE
    # Left in reverse: the model appears before its card. A card without its model would be refused.
    with atomic_write(card_path) as card_aside, atomic_write(path) as model_aside:
        notes = {
            "network": about.network,
            "findings": ",".join(FINDINGS),
            "weights_hash": loaded.weights_hash,
            "precision": settings.precision,
            "warnings": "; ".join(warnings),
        }
        write_onnx(network, about.image_size, settings.precision, model_aside, notes)
        sample = parity.read_sample(image_list, images, settings.data_dir, settings.count, preprocessing)
        rows = parity.measure(
            sample, Network(model_aside), model, about.network, (slope, intercept), settings.precision
        )
        kind = KINDS[image_list.kind].mark(len(sample.names))
        print(f"{about.network}, {settings.precision}, against PyTorch in float32 on {kind}")
        print(parity.as_text(rows))
        if not all(row.holds for row in rows):
            print(
                "error: the exported model lies outside the bounds of parity, so it is not kept; "
                "try --precision float32.",
                file=sys.stderr,
            )
            sys.exit(1)
        card = ModelCard(
            model_hash=fingerprint(model_aside),
            network=about.network,
            teacher=about.teacher,
            weights_hash=loaded.weights_hash,
            precision=settings.precision,
            outputs=tuple(network.outputs),
            findings=findings,
            threshold_rule=points.threshold_rule if points else None,
            target_sensitivity=points.target_sensitivity if points else None,
            preprocessing=preprocessing,
            splits=about.splits | ({"operating points": points.val_list_fingerprint} if points else {}),
            warnings=tuple(warnings),
            parity=_parity_for_card(rows, sample, image_list),
            versions=about.versions | _versions(),
        )
        card.save(card_aside)
    print(f"{path} ({path.stat().st_size / 1e6:.2f} MB) and {card_path} are written.")


def model_file(network: str) -> str:
    """Return the name of a network's exported file: 1-EEEA-Net-C2 -> eeea-net-c2.onnx."""
    return (network.partition("-")[2] or network).lower() + ".onnx"


def _warnings(loaded: Checkpoint, image_list: ImageList, points: OperatingPoints | None) -> list[str]:
    warnings = [NOT_A_DEVICE]
    if image_list.kind == kinds.SYNTHETIC or _has_seen_phantoms(loaded.provenance):
        warnings.append(SYNTHETIC)
    if loaded.provenance.unknown:
        warnings.append(f"{MAY_HAVE_SEEN_TEST_PATIENTS}: {', '.join(loaded.provenance.unknown)}")
    if points is None:
        warnings.append("no operating points: probabilities are not calibrated, and there is no yes or no")
    elif points.crops > 1:
        warnings.append(
            f"the operating points were chosen on the mean of {points.crops} crops, and the model reads the "
            "centre crop alone"
        )
    return warnings


def _has_seen_phantoms(provenance: Provenance) -> bool:
    labels = np.zeros((len(_FIRST_PHANTOMS), len(FINDINGS)), np.uint8)
    phantoms = ImageList(None, _FIRST_PHANTOMS, labels)
    hashes = of_lists(phantoms, phantoms).train
    return bool(np.isin(hashes, np.union1d(provenance.train, provenance.val)).any())


def _parity_for_card(
    rows: Sequence[parity.Row], sample: parity.Sample, image_list: ImageList
) -> dict[str, object]:
    values = {row.name: None if np.isnan(row.value) else row.value for row in rows}
    return {"radiographs": len(sample.names), "image_list": image_list.fingerprint, **values}


def _versions() -> dict[str, str]:
    exporters = {name: importlib.metadata.version(name) for name in ("onnx", "onnxruntime")}
    return exporters | {"exporter's torch": torch.__version__, "opset": str(OPSET)}
