"""Careless and hostile inputs of predict: models and their cards."""

import pytest

from tests.hostile.harness import Row, check_row
from tests.hostile.tables import flags, pipe_instead, write

CARD = "model-card.json"
PREDICT = [
    Row("predict", "no model", flags(), "there is no model"),
    Row("predict", "a model without a card", write("model.onnx", b"x"), "model card"),
    *(
        Row(
            "predict",
            f"a card that is {what}",
            lambda place, content=content: (write("model.onnx", b"x")(place), write(CARD, content)(place))[1],
            "card",
        )
        for what, content in (
            ("empty", ""),
            ("a list", "[]"),
            ("a number", "3"),
            ("nested", "[" * 100_000),
            ("binary", b"\xff\0\x80"),
            ("of another format", '{"format": 9}'),
        )
    ),
    Row(
        "predict",
        "a card that is a pipe",
        lambda place: (write("model.onnx", b"x")(place), pipe_instead(CARD)(place))[1],
        "named pipe",
    ),
    Row(
        "predict",
        "the table would replace a radiograph",
        flags(**{"": ("images/00000001_000.png",), "csv": "images/00000001_000.png"}),
        "are the same file",
    ),
]


@pytest.mark.parametrize("row", PREDICT, ids=str)
def test_predict(row, world, tmp_path, monkeypatch, capsys):
    check_row(row, world, tmp_path, monkeypatch, capsys)
