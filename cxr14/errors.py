"""User errors: one line on stderr and exit status 2."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(Exception):
    """Something outside the code is wrong; the message is one sentence that says what, and what to do."""


@contextmanager
def exit_on_input_error() -> Iterator[None]:
    """Print an InputError as one line on stderr and exit with status 2."""
    try:
        yield
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
