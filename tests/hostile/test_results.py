"""Careless and hostile inputs of test, compare, verify, explain and export: results, weights, tables."""

import pytest

from tests.hostile import weights
from tests.hostile.damaged_predictions import RUN, TAMPERED, UNREADABLE
from tests.hostile.harness import Row, check_row
from tests.hostile.tables import both, edit, flags, folder_instead, pipe_instead, write

VAL, TEST = "labels/val_list.txt", "labels/test_list.txt"

COMPARE = [
    Row("compare", "no results", flags(results_dir="images"), "no predictions below"),
    Row("compare", "no folder", flags(results_dir="nowhere"), "no predictions below"),
    *(
        Row(
            "compare",
            f"predictions that are {what}",
            change,
            words if what != "missing" and "dir" not in what else "no predictions",
            leaves=("results/report.html", "results/comparison*"),
        )
        for what, change, words in UNREADABLE
    ),
    *(
        Row(
            "compare",
            f"predictions with {what}",
            change,
            words,
            *status,
            leaves=("results/report.html", "results/comparison*"),
        )
        for what, change, words, *status in TAMPERED
    ),
]

TESTS = [
    *(
        Row("test", f"{what} as checkpoint", both(make, ckpt_path="x.pth"), words)
        for what, make, words in weights.WRONG_FILES
    ),
    *(
        Row("test", f"checkpoint with {what}", weights.altered("x.pth", change, "ckpt-path"), words)
        for what, change, words in weights.WRONG_METADATA[:8]
    ),
    Row(
        "test",
        "a student's checkpoint",
        weights.altered("x.pth", lambda content: content["about"].update(teacher="3-CheXNet"), "ckpt-path"),
        "taught by 3-CheXNet",
    ),
    Row("test-kd", "a checkpoint without a teacher", flags(), "taught by labels alone"),
    Row("test", "the training list", flags(test_image_list="labels/train_list.txt"), "were used to train"),
    Row("test", "the validation list twice", flags(test_image_list=VAL), "patients are in both"),
    Row(
        "test",
        "a test list with a patient of the training",
        edit(TEST, lambda text: text + "00000003_007.png" + " 0" * 14),
        "00000003",
    ),
    Row("test", "an empty log beside the checkpoint", write("model1.log.csv", ""), "log", leaves=("out/*",)),
    Row(
        "test",
        "a binary log beside the checkpoint",
        write("model1.log.csv", b"\xff\0\x80"),
        "log",
        leaves=("out/*",),
    ),
    Row("test", "a log of another table", write("model1.log.csv", 'a,b\n1,2,3\n"'), "log", leaves=("out/*",)),
    Row("test", "a folder as log", folder_instead("model1.log.csv"), "", leaves=("out/*",), status=0),
]

VERIFY = [
    Row("verify", "no results", flags(results_dir="images"), "no predictions below"),
    Row("verify", "results of another list", write(f"{RUN}/operating-points.json", "{}"), "operating points"),
    *(
        Row(
            "verify",
            f"operating points that are {what}",
            write(f"{RUN}/operating-points.json", content),
            "operating points",
        )
        for what, content in (
            ("empty", ""),
            ("no JSON", "{"),
            ("a list", "[]"),
            ("a number", "1"),
            ("nested", "[" * 100_000),
            ("binary", b"\xff\xfe\0\x80"),
            ("of another format", '{"format": "x"}'),
        )
    ),
    Row(
        "verify",
        "operating points that are a pipe",
        pipe_instead(f"{RUN}/operating-points.json"),
        "operating points",
    ),
]

EXPLAIN = [
    Row(
        "explain",
        "a list of other radiographs",
        edit(TEST, lambda text: text.replace("0000001", "0000009")),
        "are not in DATA_DIR",
    ),
    Row(
        "explain",
        "a published file",
        both(lambda place: weights.WRONG_FILES[8][1](place), ckpt_path="x.pth"),
        "",
    ),
    Row("explain", "an unknown finding", flags(findings_shown="Happiness"), "findings-shown"),
    *(
        Row(
            "explain",
            f"a box list that is {what}",
            both(write("boxes.csv", content), box_list="boxes.csv"),
            words,
        )
        for what, content, words in (
            ("empty", "", "is empty"),
            ("binary", b"\x89PNG\r\n\0\xff", "not text in UTF-8"),
            ("of other columns", "a,b\n1,2\n", "columns"),
            ("of an unknown finding", "h\na.png,Hope,1,2,3,4\n", "'Hope'"),
            ("without numbers", "h\na.png,Mass,x,2,3,4\n", "no valid box"),
            ("of infinite boxes", "h\na.png,Mass,1,2,inf,4\n", "no valid box"),
            ("of one field of a megabyte", "h\n" + "x" * 1_000_000, "box list"),
        )
    ),
    Row("export", "results of another network", flags(), ""),
    Row("export", "no radiographs", flags(data_dir="nowhere"), "there is no folder"),
    Row(
        "export",
        "a checkpoint with code",
        both(lambda place: weights.WRONG_FILES[-3][1](place), ckpt_path="x.pth"),
        "dangerous",
    ),
]


@pytest.mark.parametrize("row", [*COMPARE, *TESTS, *VERIFY, *EXPLAIN], ids=str)
def test_results(row, world, tmp_path, monkeypatch, capsys):
    check_row(row, world, tmp_path, monkeypatch, capsys)
