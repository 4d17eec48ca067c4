"""User errors: one line on stderr and exit status 2."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 128 + signal.SIGINT
"""Exit status of a program that Ctrl-C ended, as shells have it."""


class InputError(Exception):
    """Something outside the code is wrong; the message is one sentence that says what, and what to do."""


@contextmanager
def exit_on_input_error() -> Iterator[None]:
    """Print an InputError as one line on stderr and exit with status 2.

    Errors of the operating system, a lack of memory and a missing package end in the same way, Ctrl-C with
    status 130. In Python's development mode (``python -X dev``) they keep their traceback.
    """
    try:
        yield
    except InputError as error:
        _exit(str(error))
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        message = _message(error)
        if message is None or sys.flags.dev_mode:
            raise
        _exit(message)


def one_line(text: str) -> str:
    """Return text on one line, without characters that would control a terminal.

    File names and the messages of libraries may hold both; they are shown as Python's escapes.
    """
    words = " ".join(text.split())
    return "".join(letter if letter.isprintable() else escaped(letter) for letter in words)


def escaped(text: str) -> str:
    """Return text in ASCII, anything else as Python's escapes."""
    return text.encode("unicode_escape", "backslashreplace").decode()


def _message(error: Exception) -> str | None:
    # torch reports a lack of memory by errors of its own, which cannot be imported here.
    name, text = type(error).__name__, str(error)
    if isinstance(error, MemoryError) or name == "OutOfMemoryError" or "can't allocate memory" in text:
        return (
            "the memory is not large enough; a smaller batch, image size or number of processes needs less."
        )
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("cxr14"):
        return (
            f"the Python module {error.name} is missing in {sys.prefix}: run 'source setup.sh' in the "
            "repository's folder first, and leave a script in the folder of its model.py."
        )
    if isinstance(error, OSError):
        reason = error.strerror or text or name
        return f"{error.filename}: {reason}." if error.filename is not None else f"{reason}."
    return None


def _exit(message: str) -> None:
    print(f"error: {one_line(message)}", file=sys.stderr)
    sys.exit(2)
