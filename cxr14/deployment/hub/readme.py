"""README.md of the folder: figures and facts for the template beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

from cxr14.data.kinds import KINDS, SYNTHETIC
from cxr14.data.provenance import MAY_HAVE_SEEN_TEST_PATIENTS
from cxr14.deployment.card import ModelCard
from cxr14.deployment.hub.layout import ONNX_FILE
from cxr14.deployment_settings import ShareSettings
from cxr14.evaluation import metrics
from cxr14.evaluation.bootstrap import Bootstrapped, MacroMean, bootstrap_auroc, bootstrap_decisions
from cxr14.evaluation.intervals import LEVEL, Interval
from cxr14.evaluation.predictions import Predictions
from cxr14.evaluation.resamples import Resamples
from cxr14.evaluation.results import Results
from cxr14.evaluation.subgroups import FEWEST_PATIENTS, Subgroup
from cxr14.models.checkpoint import About, Checkpoint

_TEMPLATE = "readme.md"
_ABSENT = "–"

_SHOWN_SETTINGS = (
    "num_epochs",
    "batch_size",
    "learning_rate",
    "weight_decay",
    "warmup_epochs",
    "smallest_crop",
    "mixup",
    "label_smoothing",
    "ema_decay",
    "distill_loss",
    "temperature",
    "hard_weight",
    "soft_weight",
    "label_weight",
    "correlation_weight",
    "rank_weight",
    "seed",
)
"""Settings of a training that shape its weights; none of them is a path."""


@dataclass(frozen=True)
class Subject:
    """What the card is about."""

    architecture: str
    """The network's name in timm."""
    checkpoint: Checkpoint
    card: ModelCard
    """Of the exported model."""
    results: Results
    subgroups: Sequence[Subgroup]
    """Empty without NIH's table."""


def write_readme(subject: Subject, settings: ShareSettings) -> str:
    """Return the card in Markdown, with Hugging Face's metadata at its head.

    The sections are those of Hugging Face's template (Mitchell et al. 2019, "Model Cards for Model
    Reporting"), with what the checklist CLAIM asks of artificial intelligence in medical imaging (Tejani et
    al. 2024).
    """
    about, test, points = subject.checkpoint.about, subject.results.test, subject.results.points
    kind = KINDS[test.about["kind"]]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    provenance = subject.checkpoint.provenance
    return environment.get_template(_TEMPLATE).render(
        name=_shown(about.network),
        teacher=_shown(about.teacher) if about.teacher else None,
        architecture=subject.architecture,
        about=about,
        card=subject.card,
        points=points,
        settings=settings,
        repository=settings.push or "OWNER/NAME",
        source=settings.source or "ADDRESS-OF-THE-REPOSITORY",
        onnx_file=ONNX_FILE,
        weights_hash=subject.checkpoint.weights_hash,
        train_patients=len(np.setdiff1d(provenance.train, provenance.val)),
        val_patients=len(provenance.val),
        unknown=provenance.unknown,
        may_have_seen=MAY_HAVE_SEEN_TEST_PATIENTS,
        hyperparameters={name: about.settings[name] for name in _SHOWN_SETTINGS if name in about.settings},
        start=_start(about),
        facts=test.about,
        kind=kind,
        is_synthetic=kind.name == SYNTHETIC,
        test_radiographs=kind.counted(len(test.names)),
        test_patients=f"{len(np.unique(test.patients)):,}",
        test_list=test.list_fingerprint,
        level=f"{LEVEL:.0%}",
        findings_table=_findings_table(subject),
        subgroups_table=_subgroups_table(subject.subgroups),
        least_patients=FEWEST_PATIENTS,
        parity_table=_table(
            ("against PyTorch in float32", "measured"),
            [
                (name, f"{value:.2g}")
                for name, value in subject.card.parity.items()
                if name != "radiographs" and isinstance(value, int | float)
            ],
        ),
    )


def _findings_table(subject: Subject) -> str:
    test, points = subject.results.test, subject.results.points
    resamples = Resamples(test.patients)
    auroc = bootstrap_auroc(test.labels, test.probabilities, resamples)
    decisions = bootstrap_decisions(test.labels, test.probabilities, np.array(points.thresholds), resamples)
    aurocs, sensitivity, specificity = (
        one.interval() for one in (auroc, decisions["sensitivity"], decisions["specificity"])
    )
    before = metrics.expected_calibration_error(test.labels, test.probabilities)
    after = metrics.expected_calibration_error(test.labels, _calibrated(test, subject))
    rows = [
        (
            finding.name.replace("_", " "),
            f"{test.labels[:, column].sum():,}",
            _with_interval(aurocs, column),
            _number(finding.operating_point),
            _with_interval(sensitivity, column),
            _with_interval(specificity, column),
            f"{_number(before[column])} / {_number(after[column])}",
        )
        for column, finding in enumerate(subject.card.findings)
    ]
    means = [_mean(one) for one in (auroc, decisions["sensitivity"], decisions["specificity"])]
    rows.append(("mean", "", means[0], "", means[1], means[2], f"{before.mean():.3f} / {after.mean():.3f}"))
    head = ("finding", "radiographs with it", "AUROC", "operating point", "sensitivity", "specificity")
    return _table((*head, "calibration error, before / after calibration"), rows)


def _calibrated(test: Predictions, subject: Subject) -> np.ndarray:
    columns = zip(subject.results.points.calibrations, test.logits.T, strict=True)
    return np.stack([calibration.probabilities(logits) for calibration, logits in columns], axis=1)


def _subgroups_table(subgroups: Sequence[Subgroup]) -> str:
    rows = [
        (
            f"{one.attribute}: {one.name}",
            f"{one.radiographs:,}",
            f"{one.patients:,}",
            f"{one.findings}" if one.findings else "too few patients",
            _with_interval(one.auroc, ()),
        )
        for one in subgroups
    ]
    return _table(("group", "radiographs", "patients", "findings compared", "mean AUROC"), rows)


def _mean(measured: Bootstrapped) -> str:
    mean: MacroMean = measured.macro()
    return _with_interval(mean.interval(), ())


def _with_interval(interval: Interval, index: int | tuple[()]) -> str:
    value, low, high = (float(np.asarray(end)[index]) for end in interval)
    if np.isnan(value) or np.isnan(low):
        return _number(value)
    return f"{value:.3f} ({low:.3f}–{high:.3f})"


def _number(value: float | None) -> str:
    return _ABSENT if value is None or np.isnan(value) else f"{value:.3f}"


def _start(about: About) -> str:
    """Return the weights that the training started from, for use in a sentence."""
    settings = about.settings
    if settings.get("student_ckpt_path") or settings.get("init_checkpoint"):
        return "the weights of an earlier training"
    if "pretrained" not in settings:
        return "weights that are not recorded"
    return "the network's published ImageNet-1k weights" if settings["pretrained"] else "random weights"


def _shown(network: str) -> str:
    """Return the name without the number of its folder; those of several teachers are joined by "+"."""
    return " and ".join(one.partition("-")[2] for one in network.split("+"))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
