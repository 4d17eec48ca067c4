"""prepare.py: the same store and lists from any source, with its problems reported."""

import io
import shutil

import numpy as np
import pytest
from PIL import ExifTags, Image

from cxr14.data import image_lists, images, splits
from cxr14.data.store_files import open_store
from cxr14.findings import FINDINGS, NO_FINDING
from tests.conftest import run_python
from tests.data.preparation import NAMES, SCRIPT, SIZE, prepare, read_lists, read_report
from tests.nih_folder import (
    findings_of,
    names_of,
    png,
    store_bytes,
    write_documents,
    write_images,
    write_tar,
    write_zip,
)


def test_the_store_holds_each_radiograph_in_the_order_of_the_names(source, tmp_path):
    assert prepare(source, tmp_path) == 0
    pixels = np.load(tmp_path / "images" / "store.npy", mmap_mode="r")
    assert pixels.shape == (len(NAMES), SIZE, SIZE) and pixels.dtype == np.uint8
    for row, name in enumerate(NAMES):
        expected = images.resize(images.decode(source / "images" / name), SIZE)
        np.testing.assert_array_equal(pixels[row], expected)
    opened = images.open_images(tmp_path / "images")
    np.testing.assert_array_equal(opened.read(NAMES[3:5], SIZE), pixels[3:5])
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [
        "store.csv",
        "store.npy",
        "store.txt",
    ]


def test_the_lists_hold_nihs_labels_and_split(source, tmp_path):
    assert prepare(source, tmp_path) == 0
    sides = read_lists(tmp_path)
    assert sides["test"].names == NAMES[-8:]
    assert sorted(name for side in sides.values() for name in side.names) == NAMES
    image_lists.require_disjoint(*sides.values())
    for image_list in sides.values():
        for name, labels in zip(image_list.names, image_list.labels, strict=True):
            findings = {finding for finding, label in zip(FINDINGS, labels, strict=True) if label}
            assert "|".join(sorted(findings)) == findings_of(NAMES.index(name)).replace(NO_FINDING, "")


def test_every_kind_of_source_gives_the_same_bytes(tmp_path):
    contents = {name: png(i) for i, name in enumerate(NAMES)}
    sources = {kind: tmp_path / kind for kind in ("flat", "nih", "kaggle", "zips", "tars", "mixed")}
    for folder in sources.values():
        folder.mkdir()
        write_documents(folder, NAMES)
    write_images(sources["flat"], NAMES)
    write_images(sources["nih"] / "images", NAMES)
    for part in range(2):
        half = dict(list(contents.items())[part::2])
        folder = sources["kaggle"] / f"images_{part:03d}" / "images"
        folder.mkdir(parents=True)
        for name, content in half.items():
            (folder / name).write_bytes(content)
        write_zip(sources["zips"] / f"{part}.zip", {f"images_{part}/images/{n}": c for n, c in half.items()})
        backwards = {f"images/{n}": c for n, c in reversed(half.items())}
        write_tar(sources["tars"] / f"{part}{('.tar.gz', '.tar')[part]}", backwards)
        if part:
            write_zip(sources["mixed"] / "x.zip", half)
        else:
            for name, content in half.items():
                (sources["mixed"] / name).write_bytes(content)
    made = {}
    for kind, folder in sources.items():
        assert prepare(folder, tmp_path / f"out-{kind}", "--workers", 2 if kind == "flat" else 1) == 0
        made[kind] = store_bytes(tmp_path / f"out-{kind}")
    assert all(made[kind] == made["flat"] for kind in sources)


def test_one_archive_is_a_source_and_its_folder_has_the_table(source, tmp_path):
    write_zip(source / "part.zip", {name: (source / "images" / name).read_bytes() for name in NAMES})
    shutil.rmtree(source / "images")
    assert prepare(source / "part.zip", tmp_path) == 0
    assert len(images.open_images(tmp_path / "images").names) == len(NAMES)


def test_all_real_radiographs_are_packed(nih_mini, tmp_path):
    ran = run_python(SCRIPT, "--source", nih_mini, "--out", tmp_path, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    sides = read_lists(tmp_path)
    assert len(sides["test"]) == 99 and len(sides["train"]) + len(sides["val"]) == 581
    everything = np.concatenate([side.labels for side in sides.values()]).sum(axis=0)
    # the counts that the README beside them gives
    reported = {"Pneumonia": 337, "Infiltration": 137, "Edema": 66, "Effusion": 65, "Nodule": 16, "Hernia": 3}
    assert {finding: everything[FINDINGS.index(finding)] for finding in reported} == reported
    # the radiographs that are there twice, as originals and reduced, are taken where there is least to decode
    index = open_store(tmp_path / "images")[1]
    assert {(entry.width, entry.height) for entry in index} == {(256, 256)}


def test_real_originals_are_reduced_and_two_are_reported_as_colour(nih_mini, tmp_path):
    assert prepare(nih_mini / "originals", tmp_path, "--size", 256) == 0
    formats = [what for what in read_report(tmp_path).values() if what["what"] == "format"]
    assert len(formats) == 2
    assert all("RGBA" in line["detail"] and line["left_out"] == "no" for line in formats)
    assert len(images.open_images(tmp_path / "images").names) == 24


def test_chestmnist_goes_into_the_same_store(tmp_path, capsys):
    random_numbers = np.random.default_rng(0)
    sides = {"train": 20, "val": 5, "test": 7}
    arrays = {
        f"{side}_images": random_numbers.integers(0, 256, (n, 28, 28), np.uint8) for side, n in sides.items()
    }
    arrays |= {f"{side}_labels": random_numbers.integers(0, 2, (n, 14)) for side, n in sides.items()}
    arrays["train_images"][3] = arrays["test_images"][0]  # whose copy it is nobody knows, so both stay
    np.savez_compressed(tmp_path / "chestmnist.npz", **arrays)
    assert prepare("nowhere", tmp_path, "--medmnist", tmp_path / "chestmnist.npz", "--size", 28) == 0
    assert "do not identify patients" in capsys.readouterr().err
    opened = images.open_images(tmp_path / "images")
    for side, image_list in read_lists(tmp_path).items():
        np.testing.assert_array_equal(image_list.labels, arrays[f"{side}_labels"])
        np.testing.assert_array_equal(opened.read(image_list.names, 28), arrays[f"{side}_images"])


# --- splits ---


def test_a_split_by_patient_is_70_10_20_seeded_and_disjoint():
    names = names_of(1000, images_each=3)
    first, same, other = (splits.by_patient(names, 0.2, 0.125, seed) for seed in (0, 0, 1))
    assert first == same != other
    patients = {side: {image_lists.patient_of(name) for name in members} for side, members in first.items()}
    assert {side: len(drawn) for side, drawn in patients.items()} == {"test": 200, "val": 100, "train": 700}
    assert len(set.union(*patients.values())) == 1000
    assert sorted(name for members in first.values() for name in members) == names


def test_validation_does_not_depend_on_which_archives_are_there(source, tmp_path):
    assert prepare(source, tmp_path / "all") == 0
    for name in NAMES[::2]:
        (source / "images" / name).unlink()
    assert prepare(source, tmp_path / "half") == 0
    for side, image_list in read_lists(tmp_path / "half").items():
        assert set(image_list.names) <= set(read_lists(tmp_path / "all")[side].names)


def test_own_lists_are_kept_and_the_store_stays(source, tmp_path):
    assert prepare(source, tmp_path) == 0
    packed = (tmp_path / "images" / "store.npy").stat()
    own = tmp_path / "own"
    for side, names in {"train": NAMES[:10], "val": NAMES[10:14], "test": NAMES[14:20]}.items():
        image_lists.write_list(own / f"{side}_list.txt", names, np.ones((len(names), 14), np.uint8))
    assert prepare(source, tmp_path, "--split", "lists", "--lists", own) == 0
    made = read_lists(tmp_path)
    assert made["val"].names == NAMES[10:14] and made["val"].labels.all()
    assert (tmp_path / "images" / "store.npy").stat().st_mtime_ns == packed.st_mtime_ns
    assert {name for name, what in read_report(tmp_path) if what == "in no list"} == set(NAMES[20:])


def test_own_lists_with_contradicting_labels_are_refused(source, tmp_path, refused):
    for side, names in {"train": NAMES[:10], "val": NAMES[10:14], "test": NAMES[14:20]}.items():
        image_lists.write_list(tmp_path / f"{side}_list.txt", names, np.ones((len(names), 14), np.uint8))
    with (tmp_path / "train_list.txt").open("a") as file:
        file.write(f"{NAMES[3]} {' '.join('0' * 14)}\n")
    message = refused(source, tmp_path / "out", "--split", "lists", "--lists", tmp_path)
    assert NAMES[3] in message and "other labels" in message


def test_own_lists_with_a_patient_on_two_sides_are_refused(source, tmp_path, refused):
    for side, names in {"train": NAMES[:11], "val": NAMES[11:14], "test": NAMES[14:20]}.items():
        image_lists.write_list(tmp_path / f"{side}_list.txt", names, np.ones((len(names), 14), np.uint8))
    assert "00000006" in refused(source, tmp_path / "out", "--split", "lists", "--lists", tmp_path)
    assert not (tmp_path / "out" / "images").exists()


@pytest.mark.parametrize("name", ["labels/train_list.txt", "labels/test_list.txt", "prepare-report.csv"])
def test_edited_list_or_report_is_not_replaced(source, tmp_path, refused, name):
    out = tmp_path / "out"
    assert prepare(source, out) == 0
    file = out / name
    file.write_text(file.read_text() + "mine\n")
    edited = store_bytes(out)
    (source / "images" / NAMES[0]).unlink()
    message = refused(source, out)
    assert str(file) in message and "not as prepare.py wrote it" in message
    assert store_bytes(out) == edited
    file.unlink()
    assert prepare(source, out) == 0


def test_hidden_files_of_others_are_kept(source, tmp_path):
    (tmp_path / "labels").mkdir()
    leftover = tmp_path / "labels" / ".train_list.txt.123.part"
    others = [tmp_path / ".film.part", tmp_path / "labels" / ".mine.1.part"]
    for path in (leftover, *others):
        path.touch()
    assert prepare(source, tmp_path) == 0
    assert not leftover.exists() and all(path.exists() for path in others)


# --- problems of single files ---


def test_unusable_files_are_reported_and_left_out_of_the_lists(source, tmp_path, capsys):
    folder = source / "images"
    content = {name: (folder / name).read_bytes() for name in NAMES}
    missing, cut, black, colour, unknown = NAMES[0], NAMES[2], NAMES[4], NAMES[6], "00000099_000.png"
    (folder / missing).unlink()
    (folder / cut).write_bytes(content[cut][:200])
    (folder / black).write_bytes(_constant(0))
    (folder / colour).write_bytes(png(6, mode="RGBA"))
    (folder / unknown).write_bytes(png(99))
    same, other = NAMES[9], NAMES[-1]
    (folder / same).write_bytes(content[NAMES[8]])
    (folder / other).write_bytes(content[NAMES[11]])
    assert prepare(source, tmp_path) == 0
    reported = {key: line["left_out"] for key, line in read_report(tmp_path).items()}
    assert reported == {
        (missing, "missing"): "yes",
        (cut, "unreadable"): "yes",
        (black, "constant"): "yes",
        (colour, "format"): "no",
        (unknown, "unlabelled"): "yes",
        (same, "copy"): "no",
        (other, "copy"): "yes",  # one picture cannot be of two patients
    }
    listed = {name for side in read_lists(tmp_path).values() for name in side.names}
    assert listed == set(NAMES) - {missing, cut, black, other}
    assert listed <= set(images.open_images(tmp_path / "images").names)
    assert "1 unreadable (left out)" in capsys.readouterr().out


def test_a_radiograph_that_is_stored_turned_is_reported_and_packed_as_stored(source, tmp_path):
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    path = source / "images" / NAMES[0]
    stored = np.asarray(Image.open(path))
    Image.fromarray(stored).save(path, exif=turned)
    assert prepare(source, tmp_path) == 0
    report = (tmp_path / "prepare-report.csv").read_text()
    assert f'{NAMES[0]},format,"L, turned by its EXIF data, read as stored",no' in report
    pixels, row = open_store(tmp_path / "images")[0], 0
    np.testing.assert_array_equal(pixels[row], images.resize(stored, pixels.shape[1]))


def test_dicom_files_are_packed_like_png_files_of_the_same_grays(source, tmp_path):
    pytest.importorskip("pydicom")
    from tests.data.dicom_files import ENCODINGS, NAME, dataset, saved

    as_dicom = tmp_path / "dicom"
    (as_dicom / "images").mkdir(parents=True)
    encodings = [encode for name, encode in ENCODINGS.items() if not name.startswith("JPEG")]
    for number, name in enumerate(NAMES):
        gray = np.asarray(Image.open(source / "images" / name))
        made = encodings[number % len(encodings)](gray, tmp_path)
        if number == 3:
            made.ViewPosition = "LL"
        if number == 5:
            made = dataset(gray, 8, NumberOfFrames="2")
        saved(made, as_dicom / "images", name.replace(".png", ".dcm"))
    write_documents(as_dicom, [name.replace(".png", ".dcm") for name in NAMES])
    assert prepare(source, tmp_path / "a") == prepare(as_dicom, tmp_path / "b") == 0
    pixels, packed = (open_store(tmp_path / part / "images") for part in ("a", "b"))
    refused = np.arange(len(NAMES)) == 5
    np.testing.assert_array_equal(pixels[0][~refused], packed[0][~refused])
    report = (tmp_path / "b" / "prepare-report.csv").read_text()
    assert f'{NAMES[3][:-4]}.dcm,format,"DICOM, lateral view, not 8-bit gray; converted",no' in report
    assert f"{NAMES[5][:-4]}.dcm,unreadable,holds 2 pictures; a radiograph is one,yes" in report
    assert NAME not in report
    archive = tmp_path / "archive"
    archive.mkdir()
    write_documents(archive, [name.replace(".png", ".dcm") for name in NAMES])
    contents = {path.name: path.read_bytes() for path in sorted((as_dicom / "images").iterdir())}
    write_zip(archive / "images.zip", contents)
    assert prepare(archive, tmp_path / "c") == 0
    assert store_bytes(tmp_path / "b") == store_bytes(tmp_path / "c")


def _constant(value):
    Image.new("L", (40, 40), value).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()
