"""Simulated predictions in the files that the test scripts write, without a network or a radiograph."""

import hashlib
from pathlib import Path

import numpy as np
from scipy.special import expit

from cxr14.evaluation.predictions import TEST, VALIDATION, Predictions
from cxr14.findings import FINDINGS

# Shares of the 14 findings among NIH's 112,120 radiographs, rounded.
SHARES = (0.103, 0.025, 0.119, 0.177, 0.052, 0.056, 0.013, 0.047, 0.042, 0.021, 0.022, 0.015, 0.030, 0.002)

NETWORKS = {
    "1-EEEA-Net-C2": (4_732_838, 311_335_744, 0.008, 1.05),
    "2-OFA-595": (7_620_446, 543_255_984, 0.015, 1.15),
    "3-CheXNet": (6_968_206, 2_895_997_440, 0.032, 1.35),
    "4-Visformer-small": (39_461_358, 4_757_290_496, 0.041, 1.2),
    "5-AutoFormerV2-base": (70_367_528, 12_749_295_552, 0.12, 1.15),
}
"""Folder: parameters, MACs, latency in seconds, distance between positives and negatives in mean."""


def simulate_list(radiographs: int, seed: int, shares=SHARES) -> tuple[np.ndarray, ...]:
    """Return patients, labels and the noise that all networks share."""
    draw = np.random.default_rng(seed)
    patients = np.sort(draw.integers(max(radiographs // 9, 2), size=radiographs)) + seed * 10**6
    labels = (draw.random((radiographs, len(FINDINGS))) < shares).astype(np.uint8)
    return patients, labels, draw.normal(size=labels.shape)


def simulate_history(distance: float, epochs: int = 8, speed: float = 1.2) -> list[dict[str, float]]:
    """Return a training log whose validation AUROC approaches 0.5 + distance / 4; a low speed still rises."""
    return [
        {
            "epoch": epoch,
            "train_loss": 0.3 / epoch**0.5 + 0.02,
            "val_loss": 0.3 / epoch**0.4 + 0.01 * max(0, epoch - 5),
            "val_auroc": 0.5 + distance / 4 * (1 - np.exp(-epoch * speed)) - 0.001 * max(0, epoch - 5),
        }
        for epoch in range(1, epochs + 1)
    ]


def save_run(
    folder: Path,
    network: str = "1-EEEA-Net-C2",
    teacher: str | None = None,
    *,
    radiographs: int = 300,
    distance: float | None = None,
    kind: str = "synthetic",
    seed: int | None = 0,
    test_seed: int = 1,
    shares=SHARES,
    with_val: bool = True,
    epochs: int = 8,
    settings: dict[str, object] | None = None,
    **about,
) -> None:
    """Save one run's predictions in `folder`; a taught student lies a quarter of the way to its teacher.

    `settings` are added to those of the training; any other keyword replaces what the run records under that
    name, and None leaves it out.
    """
    parameters, macs, latency, own = NETWORKS[network]
    if distance is None:
        distance = own + (0.25 * (NETWORKS[teacher][3] - own) + 0.05 if teacher else 0)
    noise = np.random.default_rng([seed or 0, *f"{network}{teacher}".encode()])
    recorded = {
        "kind": kind,
        "parameters": parameters,
        "macs": macs,
        "latency_seconds": latency,
        "image_size": 224,
        "crops": 10,
        "device": "cpu",
        "seed": seed,
        "epoch": min(epochs, 5),
        "splits": {"train": "a" * 64, "val": "b" * 64},
        "settings": _training_settings(folder, teacher, seed, epochs) | (settings or {}),
        "versions": {"python": "3.11.2", "torch": "2.11.0"},
        "history": simulate_history(distance, epochs),
        "threshold_rule": "youden",
        "target_sensitivity": None,
    }
    checkpoint = hashlib.sha256(f"{network} {teacher} {seed}".encode()).hexdigest()
    for split, list_seed in ((VALIDATION, 1000 + test_seed), (TEST, test_seed)):
        if split == VALIDATION and not with_val:
            continue
        patients, labels, seen = simulate_list(radiographs, list_seed, shares)
        logits = 1.6 * (labels * distance + 0.8 * seen + 0.6 * noise.normal(size=labels.shape)) - 3
        Predictions(
            names=np.array([f"synthetic_{number:06d}.png" for number in range(radiographs)]),
            patients=patients,
            labels=labels,
            probabilities=expit(logits).astype(np.float32),
            logits=logits.astype(np.float32),
            split=split,
            network=network,
            teacher=teacher,
            weights_hash=checkpoint,
            list_fingerprint=f"{list_seed:04d}{radiographs:06d}" + "0" * 54,
            about={key: value for key, value in (recorded | about).items() if value is not None},
        ).save(folder / f"predictions-{split}.npz")


def _training_settings(folder: Path, teacher: str | None, seed: int | None, epochs: int) -> dict[str, object]:
    settings = {
        "ckpt_path": str(folder / "model.pth"),
        "num_epochs": epochs,
        "learning_rate": 1e-3,
        "batch_size": 64,
        "image_size": 224,
        "smallest_crop": 0.5,
        "ema_decay": 0.0,
        "pretrained": True,
        "seed": seed,
    }
    if teacher is None:
        return settings | {"init_checkpoint": None}
    return settings | {"student_ckpt_path": None, "distill_loss": "bernoulli", "temperature": 2.0}


def save_study(results: Path, **how) -> None:
    """Save the whole study: five networks, five taught students, and a second loss for one of them."""
    for network in NETWORKS:
        save_run(results / network, network, **how)
        save_run(results / "6-Distilling-to-EEEA-Net-C2" / f"kd{network[0]}", teacher=network, **how)
    other = {"settings": {"distill_loss": "study"}, "distance": 1.1}
    save_run(results / "6-Distilling-to-EEEA-Net-C2" / "kd3-study", teacher="3-CheXNet", **(how | other))
