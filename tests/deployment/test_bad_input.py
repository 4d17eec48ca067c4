"""Every kind of bad input that predict.py may meet: a sentence each, and the others are answered."""

import csv
import json
import os
import shutil

import numpy as np
import onnx
import pytest
from PIL import Image

from cxr14.deployment_settings import CARD_FILE
from cxr14.files import fingerprint
from cxr14.settings import ROOT
from tests.conftest import run_python
from tests.data.png_files import png_header

SCRIPT = ROOT / "7-Using-EEEA-Net-C2" / "predict.py"


def predict(exported, *words):
    return run_python(SCRIPT, *words, "--model-path", exported / "eeea-net-c2.onnx")


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory, radiographs):
    """A folder of files and the sentence about each; those with None are answered."""
    folder = tmp_path_factory.mktemp("with space 胸片")
    good = sorted((radiographs / "images").iterdir())[0]
    shutil.copy(good, folder / "good 胸片.png")
    content = good.read_bytes()
    gray = np.asarray(Image.open(good))
    sentences = {"good 胸片.png": None}

    def add(name, content, sentence):
        (folder / name).write_bytes(content)
        sentences[name] = sentence

    add("text.png", b"a text", "left out: PATH: cannot be decoded (it is no PNG or JPEG file)")
    add("cut.png", content[: len(content) // 2], "left out: PATH: cannot be decoded")
    add("empty.png", b"", "left out: PATH: cannot be decoded (it is empty)")
    add("bomb.png", png_header(30_000, 30_000), "left out: PATH: cannot be decoded")
    frames = [Image.new("L", (32, 32), value) for value in (0, 90, 200)]
    frames[0].save(folder / "animated.png", save_all=True, append_images=frames[1:])
    sentences["animated.png"] = "left out: PATH: cannot be decoded (it holds several pictures)"
    photograph = np.stack([gray // 2 + 100, gray // 2, gray // 2], axis=2)
    Image.fromarray(photograph).save(folder / "photograph.jpg")
    sentences["photograph.jpg"] = "warning: PATH: this is a colour picture, and a radiograph is gray"
    Image.new("L", (50, 50), 7).save(folder / "black.png")
    sentences["black.png"] = "warning: PATH: it has one gray value throughout"
    return folder, sentences


def add_dicom_files(folder, sentences, gray):
    """Add DICOM files to the bad files."""
    from pydicom.uid import JPEG2000Lossless

    from tests.data import hostile_dicom as hostile
    from tests.data.dicom_files import compressed, dataset, jpeg_of_12_bits, saved, with_frame

    def add(name, path, sentence):
        path.rename(folder / name)
        sentences[name] = sentence

    add("good.dcm", saved(dataset(gray, 8), folder), None)
    lateral = saved(dataset(gray, 8, ViewPosition="LL"), folder)
    add("lateral.dcm", lateral, "warning: PATH: this is a lateral view, and the model knows frontal ones")
    add("frames.dcm", hostile.several_frames(folder), "left out: PATH: holds 3 pictures; a radiograph is one")
    add("rgb.dcm", hostile.colour(folder), "left out: PATH: is in colour, and a radiograph is gray")
    add("deflated.dcm", hostile.deflated(folder), "left out: PATH: is deflated; decompress it first, with")
    other_size = "left out: PATH: holds a picture of another size than its header says"
    add("other-size.dcm", hostile.larger_jpeg_2000(folder), other_size)
    frame = compressed(gray, "JPEG2000", no_jp2=True)
    odd = dataset(gray, 8, SpecificCharacterSet="NO_SUCH_SET")
    odd.add_new((0x0010, 0x0010), "PN", b"Secret^\xff\xfe\xc4rzte")
    add("odd-name.dcm", saved(with_frame(odd, frame, JPEG2000Lossless), folder), None)
    add("jpeg12.dcm", saved(jpeg_of_12_bits(), folder), "left out: PATH: is compressed as 12-bit JPEG, which")


def test_each_bad_file_gets_a_sentence_and_the_others_are_answered(exported, bad_files, tmp_path):
    folder, sentences = bad_files
    if has_pydicom():
        add_dicom_files(folder, sentences, np.asarray(Image.open(folder / "good 胸片.png")))
    (tmp_path / "no radiographs").mkdir()
    outputs = ["--csv", tmp_path / "t.csv", "--json", tmp_path / "t.json"]
    given = [folder, folder / "good 胸片.png", tmp_path / "no radiographs", tmp_path / "missing.png"]
    done = predict(exported, *given, *outputs)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    lines = [line.rpartition("\r")[2].strip() for line in done.stderr.splitlines()]
    for name, sentence in sentences.items():
        said = [line for line in lines if str(folder / name) in line]
        if sentence is not None:
            assert said and said[0].startswith(sentence.replace("PATH", str(folder / name))), (name, said)
            assert said[0].count(str(folder)) == 1, said
    assert f"warning: {given[1]}: it was given twice; it is read once" in lines
    assert f"left out: {given[2]}: holds no PNG, JPEG or DICOM file" in lines
    assert f"left out: {given[3]}: there is no such file" in lines
    left_out = [name for name, sentence in sentences.items() if (sentence or "").startswith("left out")]
    assert lines[-1] == f"error: {len(left_out) + 2} files were left out, see above."
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = [row["radiograph"] for row in csv.DictReader(file)]
    assert rows == sorted(str(folder / name) for name in sentences.keys() - set(left_out))
    content = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    assert len(content["left_out"]) == len(left_out) + 2
    written = done.stdout + done.stderr + (tmp_path / "t.csv").read_text() + json.dumps(content)
    assert "Secret" not in written and "4711" not in written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["no radiographs", "t.csv", "t.json"]


def has_pydicom():
    try:
        import pydicom  # noqa: F401
    except ImportError:
        return False
    return True


def test_paths_of_any_bytes_are_answered(exported, radiographs, tmp_path):
    name = os.fsdecode(b"\xb2\xe2\xca\xd4.png")  # GB18030, no UTF-8
    try:
        shutil.copy(radiographs / "images" / "00000000_000.png", tmp_path / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    done = predict(exported, tmp_path / name, "--csv", tmp_path / "t.csv", "--maps", tmp_path / "maps")
    assert done.returncode == 0, done.stderr
    assert "\\udcb2" in (tmp_path / "t.csv").read_text(encoding="utf-8")
    assert len(list((tmp_path / "maps").iterdir())) == 1


@pytest.mark.parametrize("output", ["--csv", "--json", "--maps"])
def test_output_that_cannot_be_written_leaves_nothing(output, exported, radiographs, tmp_path):
    (tmp_path / "file").touch()
    done = predict(exported, radiographs / "images", output, tmp_path / "file" / "t")
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_full_disk_is_one_sentence_and_the_run_can_be_resumed(exported, radiographs, tmp_path):
    pytest.importorskip("resource", reason="this system has no limits for the size of files")
    code = (
        "import resource, runpy, sys; sys.argv = sys.argv[1:]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"  # bytes
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    words = [SCRIPT, radiographs / "images", "--csv", tmp_path / "t.csv"]
    words += ["--model-path", exported / "eeea-net-c2.onnx"]
    done = run_python("-c", code, *words)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "could not be written (File too large)" in done.stderr and not (tmp_path / "t.csv").exists()
    assert run_python(*words).returncode == 0
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda card: card | {"model_hash": "0" * 64}, "describes another model"),
        (lambda card: card | {"format": card["format"] + 1}, "update the program"),
    ],
)
def test_card_of_another_model_or_a_newer_format_is_one_sentence(
    change, sentence, exported, radiographs, tmp_path
):
    shutil.copy(exported / "eeea-net-c2.onnx", tmp_path)
    card = change(json.loads((exported / CARD_FILE).read_text()))
    (tmp_path / CARD_FILE).write_text(json.dumps(card))
    done = predict(tmp_path, radiographs / "images", "--csv", tmp_path / "t.csv")
    assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "t.csv").exists()


def test_model_that_needs_a_newer_onnxruntime_is_one_sentence(exported, radiographs, tmp_path):
    content = onnx.load(exported / "eeea-net-c2.onnx")
    content.opset_import[0].version = 999
    onnx.save(content, tmp_path / "eeea-net-c2.onnx")
    card = json.loads((exported / CARD_FILE).read_text())
    card["model_hash"] = fingerprint(tmp_path / "eeea-net-c2.onnx")
    (tmp_path / CARD_FILE).write_text(json.dumps(card))
    done = predict(tmp_path, radiographs / "images")
    assert done.returncode == 2 and "update onnxruntime" in done.stderr and done.stderr.count("\n") == 1
