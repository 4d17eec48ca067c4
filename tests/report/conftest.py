"""A report of three runs, made once by the real script."""

import pytest

from tests.conftest import run_python
from tests.report.common import save_trio


@pytest.fixture(scope="package")
def trio(tmp_path_factory):
    """Results of a teacher, a student and the student taught, and what compare-results.py printed."""
    folder = tmp_path_factory.mktemp("results")
    save_trio(folder)
    done = run_python("compare-results.py", "--results-dir", folder, "--resamples", 200)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout
