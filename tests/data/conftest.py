"""A made folder as NIH ships it, and a preparation that is refused."""

import pytest

from tests.data.preparation import NAMES, prepare
from tests.nih_folder import (
    write_documents,
    write_images,
)


@pytest.fixture
def source(tmp_path):
    """A folder as NIH ships it."""
    folder = tmp_path / "source"
    write_images(folder / "images", NAMES)
    write_documents(folder, NAMES)
    return folder


@pytest.fixture
def refused(capsys):
    """Run prepare.py, check that it ends with one line and exit status 2, and return the line."""

    def refused(source, out, *flags):
        capsys.readouterr()
        assert prepare(source, out, *flags) == 2
        message = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(message) == 1
        return message[0]

    return refused
