"""Settings of the scripts that run a network or read results.

A field carries the type, the default and the sentence that ``--help`` shows. A field without a default has to
be a constant of the script. cxr14/script.py fills these classes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cxr14.findings import FINDINGS
from cxr14.path_checks import InputPath, OutputFolder, PathRole, RadiographFolder
from cxr14.script import (
    Fraction,
    ImageSide,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveFraction,
    PositiveInt,
    Processes,
    Range,
    ScriptSettings,
)

ROOT = Path(__file__).resolve().parent.parent
"""The repository: the numbered folders, ChestX-ray14/ and results/ lie in it."""

STUDENT = "1-EEEA-Net-C2"
"""Folder of the network that every teacher is distilled into."""

SEVERAL = "several"
"""In place of a teacher's folder: more than one teacher."""

RESAMPLES = 1000
"""Bootstrap resamples behind a confidence interval."""

LOG, SNAPSHOT, PREVIOUS_SNAPSHOT = BESIDE_CHECKPOINT = (".log.csv", ".last.pth", ".last.before.pth")
"""Endings, in place of its own, of the files that a training writes beside its checkpoint."""

Method = Literal["layer-cam", "grad-cam"]
Rule = Literal["youden", "f1", "sensitivity"]


@dataclass(kw_only=True)
class ComputeSettings(ScriptSettings):
    """Where a network runs, and how many radiographs at a time."""

    batch_size: PositiveInt
    """Radiographs in one step."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps; auto takes an accelerator where there is one."""
    threads: Processes = 0
    """CPU threads of torch; 0: OMP_NUM_THREADS where it is set, otherwise all cores."""


@dataclass(kw_only=True)
class ReadSettings(ComputeSettings):
    """What training, testing and verification share."""

    data_dir: RadiographFolder
    """Folder of the radiographs that the image lists name."""
    num_workers: Processes = 2
    """Processes that read radiographs beside the main one; 0 reads in the main process."""
    preload: str = "no"
    """For a packed store on a network disk: memory reads it through once at the start where it fits, a folder
    on a local disk (or /dev/shm) receives a copy that later runs use again; no: neither."""


@dataclass(kw_only=True)
class RunSettings(ReadSettings):
    """What training and testing share."""

    ckpt_path: Path
    """Checkpoint of the network: training writes it, testing reads it."""
    allow_unknown_origin: bool = False
    """Accept weights that were trained on patients who are not known; every table and plot then says that
    they may have seen test patients."""


@dataclass(kw_only=True)
class LoopSettings(RunSettings):
    """Every training, with or without a teacher."""

    ckpt_path: Annotated[Path, PathRole(is_output=True, beside=BESIDE_CHECKPOINT)]
    """Checkpoint of the best epoch, which training writes."""
    train_image_list: InputPath
    """Image list to train on: one line a radiograph, its name and 14 labels."""
    val_image_list: InputPath
    """Image list that selects the best epoch; it shares no patient with the training list."""
    num_epochs: PositiveInt
    """Passes over the training list."""
    learning_rate: PositiveFloat
    """Peak learning rate of AdamW, reached at the end of the warm-up."""
    weight_decay: NonNegativeFloat = 0.05
    """Decoupled weight decay of AdamW; biases and normalisation layers have none."""
    warmup_epochs: NonNegativeFloat = 0.5
    """Epochs of linear warm-up before the cosine schedule, at most half of all."""
    clip_norm: PositiveFloat = 5.0
    """Largest norm of the gradient; a larger one is scaled down to it."""
    accumulate: PositiveInt = 1
    """Parts in which a batch passes through the network, so that a large batch fits a small GPU."""
    ema_decay: Fraction = 0.0
    """Decay of an exponential moving average of the weights, such as 0.9998, which is then validated and
    kept; 0: no average."""
    smallest_crop: PositiveFraction = 0.5
    """Smallest share of the radiograph's area that a random crop keeps, 0 to 1."""
    mixup: NonNegativeFloat = 0.0
    """Blend each radiograph of a batch, and its labels, with another one: the alpha of mixup's Beta
    distribution; 0: no blends."""
    image_size: ImageSide = 224
    """Side of the square input of the network, in pixels."""
    pretrained: bool = True
    """Start from the published ImageNet-1k weights; --no-pretrained starts from random ones."""
    seed: NonNegativeInt = 0
    """Seed of initial weights, order, crops and dropout."""
    deterministic: bool = False
    """Use only algorithms that give the same numbers each time on the same GPU; slower."""
    compile: bool = False
    """Compile the network with torch.compile: minutes once, then faster steps on a GPU."""
    sync_batchnorm: bool = False
    """Synchronise BatchNorm over all GPUs."""
    resume: bool = False
    """Resume from the last snapshot of CKPT_PATH, or begin where there is none yet."""
    stop_after_hours: PositiveFloat | None = None
    """Hours after which the training saves a snapshot and stops, for machines that are lent for a time; None:
    no limit."""
    save_minutes: NonNegativeFloat = 10.0
    """Minutes between two snapshots within an epoch; the end of each epoch always saves one."""
    log_dir: OutputFolder | None = None
    """Folder for TensorBoard; None: the CSV log alone."""


@dataclass(kw_only=True)
class TrainSettings(LoopSettings):
    """Fine-tuning of one network."""

    label_smoothing: Fraction = 0.0
    """Move the labels this far towards 1/2, 0 to 1."""
    init_checkpoint: InputPath | None = None
    """Start from this checkpoint, of any known format, instead of the ImageNet-1k weights."""


@dataclass(kw_only=True)
class DistillationSettings(LoopSettings):
    """Every distillation into EEEA-Net-C2, from one teacher or from several."""

    student: str = STUDENT
    """Folder of the student's network."""
    student_ckpt_path: InputPath | None = None
    """Checkpoint that the student starts from; None: the ImageNet-1k weights, where stage 1 starts too."""
    warm_start_learning_rate: PositiveFloat = 1e-4
    """Peak learning rate in place of LEARNING_RATE where STUDENT_CKPT_PATH is given: a higher one would undo
    what those weights have learnt."""
    distill_loss: Literal["bernoulli", "study", "matching"]
    """Distillation loss; the formulas are in cxr14/training/losses.py. Labels alone, the control, are what
    1-EEEA-Net-C2/train-model.py trains on: with equal settings in the same order and crops."""
    temperature: PositiveFloat
    """Divides the logits of student and teacher before they are compared; above 0."""
    hard_weight: Fraction = 0.5
    """Weight of the labels in the study loss (its alpha), 0 to 1; the teacher has the rest."""
    label_weight: Fraction = 0.1
    """Weight of the labels in the matching loss, 0 to 1; the teacher has the rest."""
    soft_weight: NonNegativeFloat = 1 / len(FINDINGS)
    """Weight of the teacher in the bernoulli loss (its lambda), 0 or more; the default is one over the number
    of findings, because the divergence is a sum over findings and the cross-entropy a mean."""
    correlation_weight: NonNegativeFloat = 0.0
    """Weight of a term on the correlation of student and teacher over the batch, by finding; 0: none."""
    rank_weight: NonNegativeFloat = 0.0
    """Weight of a term on the order of pairs of radiographs, finding by finding; 0: none."""
    map_weight: NonNegativeFloat = 0.0
    """Weight of a term on the class activation maps of student and teacher; 0: none. A map has a cell for
    every 32 px, so that it needs 128 px or more."""
    sharper_teacher: bool = False
    """Let a teacher that was trained at another image size see the same crops at its own."""
    teacher_cache: Literal["auto"] | OutputFolder | None = "auto"
    """Folder for the teachers' logits, which later trainings with the same views read instead of computing
    them; auto: teacher-logits beside each teacher's checkpoint; None: no cache."""
    teacher_cache_gb: PositiveFloat = 4.0
    """Gigabytes that the logits for one training may take."""


@dataclass(kw_only=True)
class DistillSettings(DistillationSettings):
    """Distillation of one teacher into EEEA-Net-C2."""

    teacher: str
    """Folder of the teacher's network."""
    teacher_ckpt_path: InputPath
    """Checkpoint of the trained teacher."""


@dataclass(kw_only=True)
class DistillAllSettings(DistillationSettings):
    """Distillation of several teachers into EEEA-Net-C2."""

    teachers: tuple[InputPath, ...]
    """Checkpoints of two or more trained teachers, each of which names its network."""
    teacher_weights: Literal["equal", "finding"] = "equal"
    """equal: each counts as much; finding: for each finding, the more the better its validation AUROC."""
    calibrate_teachers: bool = True
    """Calibrate each teacher's logits before their mean is taken; without, a confident one counts more."""


@dataclass(kw_only=True)
class TestSettings(RunSettings):
    """Scoring of one checkpoint."""

    __test__ = False  # pytest would collect the class because of its name

    ckpt_path: InputPath
    """Checkpoint to score."""
    test_image_list: InputPath
    """Image list to score."""
    val_image_list: InputPath
    """Image list that operating points and calibration are fitted on; never the one that is scored."""
    results_dir: OutputFolder
    """Folder for predictions, metrics and operating points."""
    crops: Literal[1, 10]
    """10: four corners and the centre, each also mirrored, averaged; 1: the centre alone."""
    threshold_rule: Rule = "youden"
    """What the operating thresholds maximise on the validation list."""
    target_sensitivity: PositiveFraction | None = None
    """Sensitivity to reach, above 0 up to 1; for --threshold-rule sensitivity alone."""
    retest: bool = False
    """Test again although RESULTS_DIR already holds the results of the same weights, lists and settings."""


@dataclass(kw_only=True)
class TaughtTestSettings(TestSettings):
    """Scoring of a distilled student."""

    teacher: str
    """Folder of the teacher's network; "several" for a student of more than one."""
    student: str = STUDENT
    """Folder of the student's network."""


@dataclass(kw_only=True)
class ParaTestSettings(ScriptSettings):
    """Parameters, MACs and latency of one network."""

    image_size: ImageSide = 224
    """Side of the square input of the network, in pixels."""


@dataclass(kw_only=True)
class CompareSettings(ScriptSettings):
    """The report."""

    results_dir: OutputFolder
    """Folder below which the test scripts left their predictions; the report is written into it."""
    resamples: Annotated[int, Range(20, 1_000_000)] = RESAMPLES
    """Bootstrap resamples of the patients; with fewer than 600 no adjusted p-value of a finding can fall
    below 0.05."""
    seed: NonNegativeInt = 0
    """Seed of the resamples."""


@dataclass(kw_only=True)
class VerifySettings(ReadSettings):
    """Verification of saved results."""

    results_dir: InputPath
    """Folder below which the test scripts left their predictions."""
    ckpt_path: InputPath
    """A checkpoint, or a folder with checkpoints in it or one folder below; the hash of the weights
    tells which of them belongs to which result."""
    test_image_list: InputPath
    """Image list that was scored."""
    val_image_list: InputPath
    """Image list that operating points and calibration were fitted on."""
    batch_size: PositiveInt = 64
    """Radiographs in one step."""


@dataclass(kw_only=True)
class ExplainSettings(ComputeSettings):
    """Heat maps."""

    ckpt_path: InputPath
    """Checkpoint of any of the networks, distilled or not; it names its network."""
    data_dir: RadiographFolder
    """Folder of the radiographs that the image list names."""
    image_list: InputPath
    """Image list to choose radiographs from."""
    out_dir: OutputFolder
    """Folder for the pictures and tables."""
    count: PositiveInt = 8
    """Radiographs to draw; in the list's order, one for each finding in turn."""
    findings_shown: Literal["positive", *FINDINGS] | PositiveInt = "positive"
    """Findings to draw: positive: those that the list has; a finding by its name; or a number: that many of
    the most probable ones."""
    box_list: InputPath | None = None
    """Boxes of findings in NIH's format, BBox_List_2017.csv: they are drawn, and the maps are scored on
    all of them that lie on radiographs of the list."""
    method: Method = "layer-cam"
    """How the cells of a layer are weighted: layer-cam or grad-cam."""
    batch_size: PositiveInt = 16
    """Maps computed at once."""
