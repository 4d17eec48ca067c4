"""Settings of the scripts in ChestX-ray14/."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cxr14.path_checks import InputPath, OutputFile, OutputFolder
from cxr14.script import Fraction, NonNegativeInt, PositiveFraction, Processes, Range, ScriptSettings

PhantomFactor = Annotated[float, Range(0, 5)]


@dataclass(kw_only=True)
class DownloadSettings(ScriptSettings):
    """Download of the radiographs."""

    source: Literal["huggingface", "nih"]
    """huggingface: a copy of NIH's files on the Hugging Face hub; nih: the archives from NIH's own links."""
    out: OutputFolder
    """Folder for the archives; prepare.py reads it as it is."""
    archives: str = "all"
    """Which of the 12, such as 1,2: the first has 4,999 radiographs, the last 7,121, any other 10,000."""


@dataclass(kw_only=True)
class PrepareSettings(ScriptSettings):
    """Preparation of the radiographs."""

    source: InputPath
    """Folder of the radiographs, in any layout: image files, .zip and .tar.gz archives; or one archive."""
    out: OutputFolder
    """Folder for images/, labels/ and prepare-report.csv."""
    size: Annotated[int, Range(1, 4096)] = 256
    """Side of a packed radiograph in pixels; networks with an input of 224 crop from 256."""
    split: Literal["official", "patient", "lists"] = "official"
    """official: NIH's test list, validation drawn from the rest by patient; patient: all three drawn by
    patient; lists: your own."""
    lists: InputPath | None = None
    """Folder of your own train_list.txt, val_list.txt and test_list.txt, for --split lists."""
    medmnist: InputPath | None = None
    """ChestMNIST's .npz file, instead of SOURCE; it brings its own split."""
    val_fraction: PositiveFraction = 0.125
    """Share of the patients outside the test list that go to validation: 10 of the 80 in 70/10/20."""
    test_fraction: PositiveFraction = 0.2
    """Share of all patients that go to the test list, for --split patient."""
    seed: NonNegativeInt = 0
    """Seed of the split."""
    workers: Processes = 0
    """Processes that decode; 0 takes all cores."""


@dataclass(kw_only=True)
class PhantomSettings(ScriptSettings):
    """Synthetic radiographs in NIH's layout."""

    out: OutputFolder
    """Folder for the set; keep it apart from real radiographs."""
    count: Annotated[int, Range(4, 10_000_000)] = 2000
    """Number of radiographs, two of each patient."""
    size: Annotated[int, Range(32, 1024)] = 128
    """Side of the square images in pixels."""
    seed: NonNegativeInt = 0
    """Seed of every image and label; an image depends on the seed and its own number alone."""
    test_fraction: Fraction = 0.25
    """Share of the patients that go to the test list, 0 to 1; one patient at least is on either side."""
    difficulty: Literal["standard", "easy"] = "standard"
    """Sets the seven parameters below together; easy is what a small network learns within minutes."""
    severity: PhantomFactor | None = None
    """Multiplies the contrast of every sign, 0 to 5; None: 1 standard, 1.6 easy."""
    noise: PhantomFactor | None = None
    """Multiplies the detector's noise, 0 to 5; None: 1 standard, 0.5 easy."""
    nuisance: PhantomFactor | None = None
    """Multiplies the unlabelled variation between patients and images, 0 to 5; None: 1 standard, 0.5 easy."""
    false_negatives: Fraction | None = None
    """Probability that a drawn finding is not labelled, 0 to 1; None: 0.08 standard, 0 easy."""
    false_positives: Fraction | None = None
    """Labels without a sign, as a multiple of the prevalence, 0 to 1; None: 0.08 standard, 0 easy."""
    tail: Fraction | None = None
    """Exponent of NIH's prevalences, 0 to 1, 1 being NIH's own; None: 0.5."""
    persistence: Fraction | None = None
    """Correlation of a finding on the two radiographs of a patient, 0 independent to 1 equal; None: 0.6."""
    num_workers: Processes = 2
    """Processes that draw; 0 draws in the main process. The images do not depend on it."""
    sheet: OutputFile | None = None
    """Draw no set, only examples of every finding, into this PNG file."""
