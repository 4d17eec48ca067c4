"""A small world of radiographs, lists, weights and results for the rows to damage."""

import numpy as np
import pytest
import torch

from cxr14.data.image_lists import ImageList, write_list
from cxr14.data.prepare.command import prepare
from cxr14.data.provenance import of_lists
from cxr14.data_settings import PrepareSettings
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint, zoo
from tests.nih_folder import names_of, png, write_documents, write_images
from tests.simulated_runs import save_run

PATIENTS = {"train": range(1, 9), "val": range(9, 13), "test": range(13, 17)}


def list_of(side):
    """Return the image list of one side: two radiographs of each patient, every finding of both classes."""
    names = [f"{patient:08d}_{number:03d}.png" for patient in PATIENTS[side] for number in range(2)]
    rows = np.arange(len(names))[:, None] + np.arange(len(FINDINGS))
    return names, (rows % 3 == 0).astype(np.uint8)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A folder with images/ and labels/, source/ as NIH ships it, packed/, model1.pth and results/."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "images").mkdir()
    lists = {}
    for side in PATIENTS:
        names, labels = list_of(side)
        for name in names:
            (folder / "images" / name).write_bytes(png(int(name[:8]) * 2 + int(name[9:12]), side=73))
        path = folder / "labels" / f"{side}_list.txt"
        write_list(path, names, labels)
        lists[side] = ImageList(path, names, labels)
    source_names = names_of(8)
    write_images(folder / "source" / "images", source_names)
    write_documents(folder / "source", source_names)
    prepare(PrepareSettings(source=folder / "source", out=folder / "packed", size=73, workers=1))
    torch.manual_seed(0)
    model = zoo.build(zoo.NAMES[0], pretrained=False, image_size=64)
    about = checkpoint.About(network=zoo.NAMES[0], image_size=64, seed=0, epoch=1)
    provenance = of_lists(lists["train"], lists["val"])
    checkpoint.save(folder / "model1.pth", model.state_dict(), about, provenance)
    save_run(folder / "results" / "1-EEEA-Net-C2", radiographs=40)
    return folder
