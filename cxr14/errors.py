"""How a run speaks to the person who can mend it: one sentence on stderr, exit status 2."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(Exception):
    """Something outside the code is wrong; the message is one sentence that says what, and what to do."""


@contextmanager
def spoken_errors() -> Iterator[None]:
    """Turn an InputError into its sentence on stderr and exit status 2."""
    try:
        yield
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
