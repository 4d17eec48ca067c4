"""prepare.py in this process on a small made folder, and what it leaves behind."""

import csv

from cxr14 import script as script_entry
from cxr14.data import image_lists, splits
from cxr14.data.prepare import command
from cxr14.data_settings import PrepareSettings
from cxr14.settings import ROOT
from tests.nih_folder import (
    names_of,
)

NAMES = names_of(16)
SIZE = 24
SCRIPT = ROOT / "ChestX-ray14" / "prepare.py"


def prepare(source, out, *flags):
    """Run what prepare.py runs, in this process; return its exit status."""
    script = {"__file__": str(SCRIPT), "SOURCE": str(source), "OUT": str(out), "SIZE": SIZE, "WORKERS": 1}
    try:
        with script_entry.run(PrepareSettings, script, [str(flag) for flag in flags]) as settings:
            command.prepare(settings)
    except SystemExit as end:
        return end.code
    return 0


def read_report(out):
    with (out / "prepare-report.csv").open() as file:
        return {(line["name"], line["what"]): line for line in csv.DictReader(file)}


def read_lists(out):
    return {side: image_lists.read_list(out / "labels" / f"{side}_list.txt") for side in splits.SIDES}
