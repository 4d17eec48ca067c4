"""Damage that many rows share."""

import os
from pathlib import Path

FLIPPED_BIT = 2000


def write(name: str, content: bytes | str):
    """Return a change that writes a file, in place of what was there."""

    def change(place: Path) -> None:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def edit(name: str, change_text):
    """Return a change that rewrites a text file."""

    def change(place: Path) -> None:
        path = place / name
        path.write_text(change_text(path.read_text()))

    return change


def recode(name: str, encoding: str):
    """Return a change that saves a text file in another encoding, with a letter that shows it."""

    def change(place: Path) -> None:
        path = place / name
        path.write_bytes((path.read_text() + "# é\n").encode(encoding))

    return change


def remove(name: str):
    """Return a change that removes a file."""
    return lambda place: (place / name).unlink()


def truncate(name: str, share: float):
    """Return a change that cuts a file short; one that is shared with other rows is copied first."""

    def change(place: Path) -> None:
        path = place / name
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[: int(len(content) * share)])

    return change


def folder_instead(name: str):
    """Return a change that puts a folder in a file's place."""

    def change(place: Path) -> None:
        (place / name).unlink(missing_ok=True)
        (place / name).mkdir(parents=True)

    return change


def pipe_instead(name: str):
    """Return a change that puts a named pipe in a file's place."""

    def change(place: Path) -> None:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    return change


def dangling_link_instead(name: str):
    """Return a change that puts a link to nothing in a file's place."""

    def change(place: Path) -> None:
        (place / name).unlink(missing_ok=True)
        (place / name).symlink_to(place / "nowhere")

    return change


def flags(**values):
    """Return a change that damages nothing and gives other flags; _ in a name is -."""
    return lambda place: {name.replace("_", "-"): value for name, value in values.items()}


def both(damage, **values):
    """Return a change that damages and gives other flags."""

    def change(place: Path):
        damage(place)
        return {name.replace("_", "-"): value for name, value in values.items()}

    return change
