"""Standard streams and Ctrl-C of a script, made safe for long work."""

import codecs
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from cxr14.errors import INTERRUPTED, escaped, one_line

_PLAIN = {
    "–": "-",
    "—": "-",
    "−": "-",
    "─": "-",
    "×": "x",
    "…": "...",
    "’": "'",
    "“": '"',
    "”": '"',
    "█": "#",
}
"""What a terminal without these characters shows instead."""


@contextmanager
def robust_console() -> Iterator[None]:
    """Make the standard streams and Ctrl-C safe within the block.

    A reader that goes away (``train-model.py | head``) or a full disk behind a stream stops the output, not
    the work. Characters that a terminal lacks are replaced. Ctrl-C while modules are imported ends the
    process at once: an extension module may turn the KeyboardInterrupt into an error of its own.
    """
    codecs.register_error("plain", _plain)
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_RobustStream, streams)
    handler = signal.getsignal(signal.SIGINT)
    threading.excepthook = _report_thread
    is_default = handler is signal.default_int_handler  # a background job of a shell ignores Ctrl-C
    if is_default:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = streams
        threading.excepthook = threading.__excepthook__
        if is_default:
            signal.signal(signal.SIGINT, handler)


class _RobustStream:
    def __init__(self, stream: TextIO | None) -> None:
        # A process may be started without a standard stream.
        self._stream = stream or open(os.devnull, "w")  # noqa: SIM115, PTH123
        if hasattr(self._stream, "reconfigure"):
            try:
                self._stream.reconfigure(errors="plain")
            except OSError as error:  # it writes what was printed before
                self._drop(error)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError) and sys.stderr is not self:
            print(f"warning: the output is lost from here on ({error.strerror}).", file=sys.stderr)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wanted = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character) or escaped(character) for character in wanted), error.end


def _report_thread(error: threading.ExceptHookArgs) -> None:
    """Show an error of the operating system in a thread, such as TensorBoard's writer, on one line."""
    if isinstance(error.exc_value, OSError):
        print(f"warning: {one_line(str(error.exc_value))}", file=sys.stderr)
    else:
        threading.__excepthook__(error)


def _interrupt(number: int, frame: FrameType | None) -> None:
    place = frame
    while place is not None:
        if place.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, b"stopped.\n")
            os._exit(INTERRUPTED)
        place = place.f_back
    raise KeyboardInterrupt
