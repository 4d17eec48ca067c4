"""Agreement of a training's processes: the same code, settings and lists in each."""

import hashlib
import socket
from collections.abc import Mapping
from pathlib import Path

from cxr14.errors import InputError
from cxr14.runtime.distributed import ProcessGroup

_MOST_NAMED = 5
_PACKAGE = Path(__file__).resolve().parent.parent


def hash_code(*folders: Path) -> str:
    """Return the SHA-256 of this package's Python files and of those directly in some other folders."""
    digest = hashlib.sha256()
    files = [(path.relative_to(_PACKAGE), path) for path in _PACKAGE.rglob("*.py")]
    files += [(Path(path.name), path) for folder in folders for path in folder.glob("*.py")]
    for name, path in sorted(files):
        digest.update(f"{name.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def require_agreement(group: ProcessGroup, facts: Mapping[str, object]) -> None:
    """Compare what has to be equal in all processes.

    Args:
        group: the processes.
        facts: plain values, by the name that a message has for them.

    Raises:
        InputError: they differ; in every process, with the first differences.
    """
    shares = group.gather((socket.gethostname(), dict(facts)))
    first_host, first = shares[0]
    for rank, (host, other) in enumerate(shares):
        differing = [name for name in {**first, **other} if first.get(name) != other.get(name)]
        if differing:
            named = "; ".join(
                f"{name}: {_shorten(first.get(name))} and {_shorten(other.get(name))}"
                for name in differing[:_MOST_NAMED]
            )
            raise InputError(
                f"processes 0 on {first_host} and {rank} on {host} differ in {named}. Start all of them with "
                "the same code, settings, lists and weights."
            )


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"
