"""Settings of the scripts that export a network or predict with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cxr14.path_checks import InputPath, OutputFile, OutputFolder, PathRole, RadiographFolder
from cxr14.script import PositiveInt, Processes, ScriptSettings

CARD_FILE = "model-card.json"
"""What the card is called; it lies beside its model."""

Precision = Literal["float32", "w8"]
ModelPath = Annotated[Path, PathRole(is_output=False, companions=(CARD_FILE,))]
Radiographs = Annotated[Path, PathRole(is_output=False, is_folder=True, is_deep=True)]


@dataclass(kw_only=True)
class ExportSettings(ScriptSettings):
    """Export of a trained network."""

    ckpt_path: InputPath
    """Checkpoint of any of the networks, distilled or not; it names its network. A folder: the checkpoint in
    it with the best AUROC on validation."""
    results_dir: InputPath | None = None
    """Folder of the checkpoint's results or one above it, for its operating points and calibration, which are
    found by the hash of the weights; None: the model gives uncalibrated probabilities without yes or no."""
    data_dir: RadiographFolder
    """Folder of the radiographs that the image list names."""
    image_list: InputPath
    """Image list that the exported model is compared with PyTorch on."""
    out_dir: OutputFolder
    """Folder for the model and its card."""
    precision: Precision = "w8"
    """float32; or w8: the large weights as 8-bit integers, a quarter of the size."""
    count: PositiveInt = 480
    """Radiographs of the list to compare on, from its beginning."""


@dataclass(kw_only=True)
class ShareSettings(ScriptSettings):
    """A folder for Hugging Face's hub."""

    ckpt_path: InputPath
    """Checkpoint of one of the five networks, distilled or not."""
    results_dir: InputPath
    """Folder of the checkpoint's results, for the figures of the model card."""
    model_path: ModelPath
    """Model that export-model.py wrote from the checkpoint; its card lies beside it."""
    nih_table: InputPath | None = None
    """NIH's Data_Entry_2017.csv, for AUROCs by sex, age and view; None: the card has none."""
    out_dir: OutputFolder
    """Folder to write."""
    push: str | None = None
    """Upload the folder to this repository of the hub, OWNER/NAME; None: nothing is uploaded."""
    private: bool = True
    """Make a repository that does not exist yet a private one."""
    weights_license: str = "mit"
    """Licence of the weights, in the hub's spelling."""
    source: str | None = None
    """Address of the repository with this code, which the card's instructions then name."""


@dataclass(kw_only=True)
class PredictSettings(ScriptSettings):
    """Predictions of an exported model."""

    radiographs: tyro.conf.Positional[tuple[Radiographs, ...]] = ()
    """Radiographs: PNG, JPEG and DICOM files, and folders of them."""
    model_path: ModelPath
    """Model that export-model.py wrote; its card lies beside it."""
    csv: OutputFile | None = None
    """Write a table with a line for each radiograph to this CSV file."""
    json: OutputFile | None = None
    """Write all answers to this JSON file."""
    maps: OutputFolder | None = None
    """Draw the heat map of each finding that is a yes into this folder."""
    threads: Processes = 1
    """Threads of the computation; 0 takes all cores."""
    address: str | None = None
    """Spread the work over processes with Ray: local for the cores of this machine, auto or HOST:PORT for a
    cluster that is running; None: this process alone."""


@dataclass(kw_only=True)
class PageSettings(ScriptSettings):
    """A page that reads radiographs in a browser."""

    model_path: ModelPath
    """Model that export-model.py wrote; its card lies beside it."""
    page: OutputFile
    """HTML file to write."""
    packages_dir: OutputFolder
    """Folder that keeps the npm packages of the page, so that they are fetched once."""
