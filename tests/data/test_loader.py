"""Batches: which radiographs, in which order, whoever reads them."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from itertools import chain

import numpy as np
import pytest
import torch

from cxr14.data import loader
from cxr14.data.image_lists import ImageList
from cxr14.data.images import open_images
from cxr14.data.loader import Batches
from cxr14.errors import InputError
from cxr14.settings import ROOT
from tests.conftest import run_python
from tests.nih_folder import names_of, write_documents, write_images

COUNT, SIDE = 22, 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    write_images(folder, names_of(COUNT // 2), side=24)
    return folder


@pytest.fixture(scope="module")
def image_list(folder):
    labels = np.random.default_rng(0).integers(0, 2, (COUNT, 14)).astype(np.uint8)
    return ImageList(folder / "list.txt", names_of(COUNT // 2), labels)


@pytest.fixture(scope="module")
def images(folder):
    return open_images(folder)


def batches(image_list, images, **more):
    return Batches(image_list, images, **{"side": SIDE, "batch_size": 5, **more})


def order(batches, *epoch):
    return [batch.index.tolist() for batch in batches.epoch(*epoch)]


def test_testing_reads_the_list_in_order_and_all_of_it(image_list, images):
    every = list(batches(image_list, images).epoch())
    assert torch.cat([batch.index for batch in every]).tolist() == list(range(COUNT))
    assert [len(batch.images) for batch in every] == [5, 5, 5, 5, 2]
    whole = torch.cat([batch.images for batch in every])
    np.testing.assert_array_equal(whole, images.read(image_list.names, SIDE))
    labels = torch.cat([batch.labels for batch in every])
    np.testing.assert_array_equal(labels, image_list.labels)
    assert (whole.dtype, labels.dtype, every[0].index.dtype) == (torch.uint8, torch.float32, torch.int64)


def test_training_reads_each_once_in_an_order_of_seed_and_epoch_alone(image_list, images):
    one, other = batches(image_list, images, seed=1), batches(image_list, images, seed=2)
    first = order(one, 0)
    assert sorted(chain(*first)) == list(range(COUNT)) != list(chain(*first))
    assert order(one, 1) != first == order(one, 0) == order(batches(image_list, images, seed=1), 0)
    assert order(other, 0) != first


def test_an_epoch_can_be_entered_in_the_middle(image_list, images):
    training = batches(image_list, images, seed=3, drop_last=True)
    assert order(training, 4)[2:] == order(training, 4, 2)
    assert order(training, 4, len(training)) == []


def test_the_last_batch_is_dropped_only_beside_others(image_list, images):
    for size, dropped, kept in ((5, 4, 5), (11, 2, 2), (22, 1, 1), (40, 1, 1)):
        for drop_last, count in ((True, dropped), (False, kept)):
            some = batches(image_list, images, batch_size=size, seed=0, drop_last=drop_last)
            assert len(some) == len(order(some, 0)) == count


def test_ranks_share_every_batch_and_double_nothing(image_list, images):
    whole = order(batches(image_list, images, seed=0), 2)
    shares = [order(batches(image_list, images, seed=0, rank=rank, world=3), 2) for rank in range(3)]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares if number < len(share)]
        assert sorted(chain(*parts)) == sorted(batch)
    # the last batch has two members: the third rank gets none of it
    assert [len(share) for share in shares] == [5, 5, 4]


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_that_read_change_nothing(image_list, images, workers):
    alone = batches(image_list, images, seed=7)
    helped = batches(image_list, images, seed=7, num_workers=workers)
    for epoch in (0, 1):
        for a, b in zip(alone.epoch(epoch), helped.epoch(epoch), strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_missing_radiograph_raises_input_error(image_list, images):
    longer = ImageList(
        image_list.path,
        [*image_list.names, "gone.png"],
        np.vstack([image_list.labels, image_list.labels[:1]]),
    )
    with pytest.raises(InputError, match=r"1 of the 23 .*gone\.png"):
        batches(longer, images)


def test_batch_moves_to_a_device(image_list, images):
    batch = next(batches(image_list, images).epoch()).to(torch.device("cpu"))
    assert batch.images.device.type == "cpu" and len(batch.labels) == 5


@pytest.mark.slow
def test_spawned_processes_read_files_and_a_store_is_read_without_any(tmp_path):
    names = names_of(8)
    write_images(tmp_path / "source" / "images", names)
    write_documents(tmp_path / "source", names)
    prepared = run_python(
        "ChestX-ray14/prepare.py", "--source", tmp_path / "source", "--out", tmp_path, "--size", 24
    )
    assert prepared.returncode == 0, prepared.stderr
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import multiprocessing, sys
            from pathlib import Path
            from cxr14.data.loader import Batches
            from cxr14.data.images import open_images
            from cxr14.data.image_lists import read_list

            if __name__ == "__main__":
                multiprocessing.set_start_method("spawn")
                image_list = read_list(Path(sys.argv[1]) / "labels" / "train_list.txt")
                for folder in ("source/images", "images"):
                    images = open_images(Path(sys.argv[1]) / folder)
                    read = Batches(image_list, images, side=24, batch_size=4, num_workers=2, seed=0)
                    print([(b.index.tolist(), int(b.images.sum())) for e in (0, 1) for b in read.epoch(e)])
                    print(len(multiprocessing.active_children()))
                    del read
            """
        )
    )
    ran = run_python(script, tmp_path)
    assert ran.returncode == 0, ran.stderr
    files, file_readers, store, store_readers = ran.stdout.splitlines()
    assert files == store
    assert (file_readers, store_readers) == ("2", "0")


def _sleep_as_a_reader():
    loader._ignore_first_signals(0)
    print("ready", flush=True)
    time.sleep(60)


def test_reader_ignores_ctrl_c_and_one_sigterm_and_ends_at_the_second():
    code = "from tests.data.test_loader import _sleep_as_a_reader; _sleep_as_a_reader()"
    reader = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert reader.stdout.readline() == b"ready\n"
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            reader.send_signal(number)
            time.sleep(0.3)
            assert reader.poll() is None
        reader.send_signal(signal.SIGTERM)
        assert reader.wait(timeout=10) == -signal.SIGTERM
    finally:
        reader.kill()


READS_A_FOLDER = """
import sys
from pathlib import Path

import numpy as np

from cxr14.data.image_lists import ImageList
from cxr14.data.images import open_images
from cxr14.data.loader import Batches
from cxr14.errors import exit_on_input_error


def main():
    images = open_images(Path(sys.argv[1]))
    names = sorted(images.names)
    image_list = ImageList(Path("list.txt"), names, np.zeros((len(names), 14), np.uint8))
    for _ in Batches(image_list, images, side=20, batch_size=2, num_workers=2).epoch():
        pass


if __name__ == "__main__":
    with exit_on_input_error():
        main()
"""


def test_process_ends_after_an_unreadable_file_with_reader_processes(tmp_path):
    names = names_of(10)
    write_images(tmp_path / "images", names, side=24)
    (tmp_path / "images" / names[4]).write_bytes(b"no image")
    script = tmp_path / "script.py"
    script.write_text(READS_A_FOLDER)
    ended = subprocess.run(
        [sys.executable, script, tmp_path / "images"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ") and names[4] in line and "cannot be decoded" in line
