"""Files with arbitrary content are read or raise an InputError, nothing else."""

import csv
import gzip
import io
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr14.data import boxes, image_lists, nih_tables, store_files
from cxr14.data.prepare.sources import Gunzip
from cxr14.data.store_files import STORE_LAYOUT
from cxr14.deployment.card import read_card
from cxr14.errors import InputError, one_line
from cxr14.evaluation.history import read_history
from cxr14.evaluation.operating_points import OperatingPoints
from cxr14.evaluation.predictions import Predictions
from cxr14.findings import FINDINGS
from cxr14.models import checkpoint
from cxr14.report.reading import read_sections
from cxr14.training import snapshot
from tests.simulated_runs import save_run

quick = settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 2**31, 2**63, 10**400])
    | st.floats()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
"""JSON's values."""

TENSORS = st.builds(
    lambda kind, shape: torch.zeros(shape, dtype=kind),
    st.sampled_from([torch.int64, torch.float32, torch.bool, torch.uint8]),
    st.sampled_from([(), (2,), (0,), (2, 2)]),
)

NAMES = st.text(max_size=20) | st.from_regex(r"\A[0-9]{7,9}_[0-9]{2,4}(_flip)?\.(png|jpg)\Z")
LABELS = st.lists(st.sampled_from(["0", "1", "2", "", "yes", "-1", "1.0", "١"]), min_size=12, max_size=16)


def read_or_refuse(read, *arguments):
    """Return what a function returns, or None where it raises an InputError whose message fits one line."""
    try:
        return read(*arguments)
    except InputError as error:
        assert one_line(str(error)).isprintable()
        return None


@quick
@given(
    content=st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_bytes_as_list_table_boxes_index_or_log(content, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content)
    for read in (image_lists.read_list, nih_tables.read_table, nih_tables.read_names, boxes.read_boxes):
        read_or_refuse(read, path)
    read_or_refuse(store_files.parse_index, content, path, "delete it")
    read_or_refuse(read_history, path)
    read_or_refuse(read_card, path)
    read_or_refuse(OperatingPoints.load, path)
    read_or_refuse(Predictions.load, path)
    read_or_refuse(checkpoint.read, path)


@quick
@given(
    lines=st.lists(st.tuples(NAMES, LABELS), max_size=5), separator=st.sampled_from([" ", "\t", ",", "\r"])
)
def test_a_list_is_refused_or_survives_being_written_again(lines, separator, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(
        "\n".join(separator.join([name, *labels]) for name, labels in lines), "utf-8", "surrogatepass"
    )
    image_list = read_or_refuse(image_lists.read_list, path)
    if image_list is None:
        return
    assert image_list.labels.shape == (len(image_list), len(FINDINGS))
    assert set(np.unique(image_list.labels)) <= {0, 1}
    image_lists.write_list(tmp_path / "again.txt", image_list.names, image_list.labels)
    again = image_lists.read_list(tmp_path / "again.txt")
    assert again.names == image_list.names
    assert again.fingerprint == image_list.fingerprint
    read_or_refuse(image_lists.require_disjoint, image_list, again)


CELLS = st.sampled_from(
    ["", "Mass", "Mass|Edema", "No Finding", "Hope", '"', "1", "nan", "\n", "a.png", "1e999"]
)


@quick
@given(
    header=st.lists(st.sampled_from(["Image Index", "Finding Labels", "Patient ID", "x"]), max_size=4),
    rows=st.lists(st.lists(CELLS | st.text(max_size=5), max_size=7), max_size=5),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a_table_is_refused_or_gives_labels(header, rows, quoting, tmp_path):
    file = io.StringIO()
    csv.writer(file, quoting=quoting).writerows([header, *rows])
    path = tmp_path / "table.csv"
    path.write_text(file.getvalue(), "utf-8", "surrogatepass")
    for labels in (read_or_refuse(nih_tables.read_table, path) or {}).values():
        assert labels.shape == (len(FINDINGS),)
    for found in (read_or_refuse(boxes.read_boxes, path) or {}).values():
        assert all(map(math.isfinite, np.ravel(found)))
    for row in read_or_refuse(read_history, path) or []:
        assert 0 < row["epoch"] < 2e9


@quick
@given(
    rows=st.lists(
        st.lists(st.sampled_from(["0", "1", "-1", "a.png", "ok", "L", "x", "9" * 30]), max_size=10)
    ),
    layout=st.sampled_from([STORE_LAYOUT, STORE_LAYOUT.replace("2", "1"), "layout"]),
)
def test_an_index_is_refused_or_lists_rows(rows, layout, tmp_path):
    content = "\n".join([layout, "columns", *(",".join(row) for row in rows)]).encode()
    entries = read_or_refuse(store_files.parse_index, content, tmp_path / "store.csv", "delete it")
    assert all(entry.row >= 0 for entry in entries or ())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with the predictions of one simulated run."""
    folder = tmp_path_factory.mktemp("run")
    save_run(folder, radiographs=12)
    return folder


ARRAYS = st.builds(
    lambda shape, kind: np.ones(shape).astype(kind),
    st.sampled_from([(), (12,), (12, 14), (12, 3), (0, 14), (14, 12)]),
    st.sampled_from(["f4", "f8", "i8", "u1", "U3", "S2", "c8", "?", "M8[s]"]),
)


@quick
@given(data=st.data())
def test_predictions_are_refused_or_reported(data, run, tmp_path):
    with np.load(run / "predictions-test.npz") as stored:
        arrays = dict(stored)
    rest = json.loads(str(arrays.pop("rest")))
    target = data.draw(st.sampled_from([arrays, rest, rest["about"]]))
    key = data.draw(st.sampled_from(sorted(target)))
    if target is arrays:
        arrays[key] = data.draw(ARRAYS)
    elif data.draw(st.booleans()):
        target[key] = data.draw(PLAIN)
    else:
        del target[key]
    np.savez(tmp_path / "predictions-test.npz", **arrays, rest=json.dumps(rest), allow_pickle=False)
    sections = read_or_refuse(read_sections, tmp_path)
    assert sections is None or len(sections) == 1


WEIGHTS = {"weight": torch.ones(2)}


@quick
@given(data=st.data())
def test_a_checkpoint_of_any_metadata_is_refused_or_read(data, tmp_path):
    path = tmp_path / "x.pth"
    about = checkpoint.About(network="1-EEEA-Net-C2", image_size=64, versions={})
    checkpoint.save(path, WEIGHTS, about)
    content = torch.load(path, weights_only=True)
    target = data.draw(
        st.sampled_from([content, content["about"], content["provenance"], content["weights"]])
    )
    value = data.draw(PLAIN | TENSORS)
    target[data.draw(st.sampled_from(sorted(target)))] = value
    torch.save(content, path)
    read = read_or_refuse(checkpoint.read, path)
    if read is not None:
        assert len(read.weights_hash) == 64
        json.dumps(read.about.settings)
        read_or_refuse(checkpoint.load, path)


@quick
@given(position=st.floats(0, 0.999), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_checkpoint_or_snapshot_is_refused_or_read(position, byte, cut, tmp_path):
    path = tmp_path / "x.last.pth"
    progress = snapshot.Progress(epoch=1)
    state = {"identity": {"seed": 0}, "progress": vars(progress), "train_step": {"model": WEIGHTS}}
    snapshot.save(tmp_path / "x.pth", state)
    content = bytearray(path.read_bytes())
    place = int(position * len(content))
    content[place] = byte
    path.write_bytes(content[:place] if cut else content)
    read_or_refuse(checkpoint.read_weights, path)
    loaded = read_or_refuse(snapshot.load, tmp_path / "x.pth")
    if loaded is not None:  # the checksums of the members agree, so the weights are whole
        assert torch.equal(loaded["train_step"]["model"]["weight"], WEIGHTS["weight"])


@quick
@given(data=st.data())
def test_a_card_or_operating_points_of_any_values_are_refused_or_read(data, tmp_path):
    points = {
        "format": "cxr14 operating points 1",
        "network": "1-EEEA-Net-C2",
        "teacher": None,
        "weights_hash": "a",
        "val_list_fingerprint": "b",
        "crops": 1,
        "threshold_rule": "youden",
        "target_sensitivity": None,
        "unknown_origin": [],
        "findings": {
            name: {"threshold": 0.5, "calibration": {"method": "none", "slope": 1.0, "intercept": 0.0}}
            for name in FINDINGS
        },
    }
    target = data.draw(st.sampled_from([points, points["findings"], points["findings"]["Mass"]]))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(PLAIN)
    path = tmp_path / "points.json"
    path.write_text(json.dumps(points))
    read_or_refuse(OperatingPoints.load, path)
    card = {
        "format": 1,
        **dict.fromkeys(("model_hash", "network", "weights_hash", "precision"), "x"),
        **dict.fromkeys(("teacher", "threshold_rule", "target_sensitivity")),
        "outputs": ["probabilities"],
        "findings": [
            {"name": name, "calibration": "none", "slope": 1.0, "intercept": 0.0, "operating_point": None}
            for name in FINDINGS
        ],
        "preprocessing": {"read_side": 256, "image_size": 224},
        "splits": {},
        "warnings": [],
        "parity": {},
        "versions": {},
    }
    path.write_text(json.dumps(card))
    assert read_card(path).preprocessing.image_size == 224
    target = data.draw(st.sampled_from([card, card["findings"][0], card["preprocessing"]]))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(PLAIN)
    path.write_text(json.dumps(card))
    read_or_refuse(read_card, path)


@quick
@given(
    contents=st.lists(st.binary(max_size=200) | st.integers(0, 100_000).map(bytes), min_size=1, max_size=3),
    sizes=st.lists(st.sampled_from([1, 77, 10_240, 65_536]), min_size=1, max_size=5),
)
def test_gzip_streams_are_inflated_in_pieces_of_any_size(contents, sizes):
    stream = Gunzip(io.BytesIO(b"".join(map(gzip.compress, contents))))
    inflated = [stream.read(size) for size in sizes]
    whole = b"".join(contents)
    assert all(len(piece) <= size for piece, size in zip(inflated, sizes, strict=True))
    assert whole.startswith(b"".join(inflated))
    assert b"".join(inflated) + stream.read(len(whole) + 1) == whole
