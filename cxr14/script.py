"""The start of every script: constants and flags become checked settings.

    if __name__ == "__main__":
        with script.run(TrainSettings, globals()) as settings:
            ...

No torch is imported here, so ``--help`` and a wrong flag are answered at once.
"""

import dataclasses
import io
import os
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from cxr14 import processes
from cxr14.console import robust_console
from cxr14.errors import InputError, exit_on_input_error
from cxr14.files import exclusive
from cxr14.path_checks import check_paths, output_files

LARGEST = 2**31 - 1
"""Largest number of a setting that has no limit of its own; sums and products of two fit 64 bits."""

SMALLEST_IMAGE = 32
"""Pixels of a side: the networks halve it five times."""

_ABOVE_ZERO = 1e-12
_FLAG = re.compile(r"--[\w-]+")


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may take, both ends included."""

    least: float
    most: float = LARGEST

    def __str__(self) -> str:
        least = "above 0" if self.least == _ABOVE_ZERO else f"{self.least} or more"
        return least if self.most == LARGEST else f"{least}, at most {self.most}"


PositiveInt = Annotated[int, Range(1)]
NonNegativeInt = Annotated[int, Range(0)]
Processes = Annotated[int, Range(0, 512)]
ImageSide = Annotated[int, Range(SMALLEST_IMAGE, 4096)]
PositiveFloat = Annotated[float, Range(_ABOVE_ZERO)]
NonNegativeFloat = Annotated[float, Range(0)]
Fraction = Annotated[float, Range(0, 1)]
PositiveFraction = Annotated[float, Range(_ABOVE_ZERO, 1)]


@dataclass(kw_only=True)
class ScriptSettings:
    """The base of all settings."""

    folder = Path()
    """Folder of the script, filled by `read_settings`; without a type, so that it is no setting."""


Settings = TypeVar("Settings", bound=ScriptSettings)


@contextmanager
def run(
    kind: type[Settings], script: Mapping[str, object], argv: Sequence[str] | None = None
) -> Iterator[Settings]:
    """Yield the settings of a script, and guard its work.

    Inside the block an InputError, an error of the operating system and Ctrl-C are one line on stderr
    (`exit_on_input_error`), streams and signals are those of `robust_console`, and no other process can write
    the same output files.

    Args:
        kind, script, argv: as in `read_settings`.
    """
    # Pictures go to files alone, and matplotlib cannot be imported where this names a window unknown to it.
    os.environ.pop("MPLBACKEND", None)
    with robust_console(), exit_on_input_error(), ExitStack() as locks:
        settings = read_settings(kind, script, argv)
        if processes.is_main():  # those of torchrun write as one
            for name, path in output_files(settings):
                lock = path.with_name(f".{path.name}.lock")
                locks.enter_context(exclusive(lock, f"another run writes {name} = {path}"))
        yield settings


def read_settings(
    kind: type[Settings], script: Mapping[str, object], argv: Sequence[str] | None = None
) -> Settings:
    """Fill `kind` from a script's upper-case constants, then from the command line.

    Args:
        kind: a dataclass; its field ``batch_size`` is the constant BATCH_SIZE and the flag --batch-size.
        script: the script's ``globals()``. A path among its constants is relative to the script's folder,
            one on the command line to the working folder.
        argv: the command line; None takes that of the process.

    Raises:
        InputError: a constant is unknown, of the wrong type, or missing; a number is out of range.
    """
    folder = Path(str(script["__file__"])).resolve().parent
    _require_own_clone(folder)
    constants = {name: value for name, value in script.items() if name.isupper() and not name.startswith("_")}
    fields = {entry.name.upper(): entry for entry in dataclasses.fields(kind) if entry.init}
    unknown = sorted(constants.keys() - fields.keys())
    if unknown:
        raise InputError(
            f"{unknown[0]} is not a setting of this script; known are {', '.join(sorted(fields))}."
        )
    missing = [
        name
        for name, entry in fields.items()
        if name not in constants
        and entry.default is dataclasses.MISSING
        and entry.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InputError(f"the script leaves out {', '.join(missing)}.")
    hints = typing.get_type_hints(kind)
    values = {
        name.lower(): _check_type(name, value, hints[name.lower()], folder)
        for name, value in constants.items()
    }
    description = str(script.get("__doc__") or "")
    settings = _parse(kind, kind(**values), argv, description)
    for entry in fields.values():
        value = getattr(settings, entry.name)
        if isinstance(value, Path):  # a shell leaves the ~ of --flag=~/x as it is
            setattr(settings, entry.name, _at_home(value))
        elif isinstance(value, tuple):
            setattr(settings, entry.name, tuple(_at_home(v) if isinstance(v, Path) else v for v in value))
    settings.folder = folder
    check_ranges(settings)
    check_paths(settings)
    return settings


def _require_own_clone(folder: Path) -> None:
    """Refuse a script of another clone: it would run this clone's networks under its own name."""
    for parent in (folder, folder.parent):
        package = parent / "cxr14" / "script.py"
        if package.is_file() and not package.samefile(__file__):
            raise InputError(
                f"this script belongs to the clone {parent}, but the active environment runs the code of "
                f"{Path(__file__).resolve().parent.parent}: run 'source {parent / 'setup.sh'}' first."
            )


def _parse(kind: type[Settings], default: Settings, argv: Sequence[str] | None, description: str) -> Settings:
    import tyro  # slow to import; Ctrl-C is handled by now

    box = io.StringIO()
    try:
        with redirect_stderr(box):
            return tyro.cli(kind, default=default, args=argv, description=description)
    except SystemExit as ended:
        if ended.code in (None, 0):  # --help
            raise
    raise InputError(f"{_sentence(box.getvalue())}; --help lists all.")


def _sentence(box: str) -> str:
    """Return tyro's message without the frame around it and without the help text below it."""
    parts: list[list[str]] = [[]]
    lines = [line for line in box.splitlines() if line.strip()]
    for line in lines[1:] or lines:  # the first line is a title, which repeats the message
        text = line.strip("│╰╯ ")
        if text.strip("─-"):
            parts[-1].append(text)
        else:
            parts.append([])
    message, *others = (" ".join(part) for part in parts if part)
    similar = [flag for text in others if text.startswith("Perhaps") for flag in _FLAG.findall(text)]
    return message.rstrip(".") + (f"; similar is {', '.join(similar)}" if similar else "")


def check_ranges(settings: object) -> None:
    """Raise an InputError where a field of a dataclass lies outside the `Range` of its type."""
    for name, hint in typing.get_type_hints(type(settings), include_extras=True).items():
        value = getattr(settings, name)
        for allowed in _ranges(hint):
            if isinstance(value, int | float) and not allowed.least <= value <= allowed.most:
                raise InputError(f"{name.upper()} = {value} is out of range; {allowed} is expected.")


def as_plain(settings: ScriptSettings) -> dict[str, object]:
    """Return the settings as numbers and strings, for a checkpoint or a JSON file."""
    return {
        entry.name: _as_plain(getattr(settings, entry.name))
        for entry in dataclasses.fields(settings)
        if entry.init
    }


def _as_plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_as_plain(member) for member in value]
    return str(value) if isinstance(value, Path) else value


def _check_type(name: str, value: object, hint: object, folder: Path) -> object:
    from typeguard import TypeCheckError, check_type  # slow to import; Ctrl-C is handled by now

    if isinstance(value, str) and _accepts(hint, Path) and value not in _words(hint):
        return (folder / _at_home(Path(value))).resolve()
    if isinstance(value, list | tuple) and typing.get_origin(hint) is tuple:
        return tuple(_check_type(name, member, typing.get_args(hint)[0], folder) for member in value)
    if type(value) is int and _accepts(hint, float):
        return float(value)
    # bool is an int to Python, but BATCH_SIZE = True is a mistake.
    wrong = isinstance(value, bool) and not _accepts(hint, bool)
    try:
        check_type(value, hint)
    except TypeCheckError:
        wrong = True
    if wrong:
        raise InputError(f"{name} = {value!r} is of the wrong type; {_type_name(hint)} is expected.")
    return value


def _at_home(path: Path) -> Path:
    """Return a path with the home folder in place of a ~ at its beginning; ~name is a name like others."""
    if path.parts[:1] != ("~",):
        return path
    try:
        return path.expanduser()
    except RuntimeError:
        raise InputError(f"{path} begins with ~, but the home folder is not known; write it out.") from None


def _ranges(hint: object) -> list[Range]:
    direct = [entry for entry in getattr(hint, "__metadata__", ()) if isinstance(entry, Range)]
    return direct + [entry for part in typing.get_args(hint) for entry in _ranges(part)]


def _words(hint: object) -> tuple[object, ...]:
    """Return what a hint such as ``Literal["auto"] | Path`` accepts by its letters."""
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)
    return tuple(word for part in typing.get_args(hint) for word in _words(part))


def _accepts(hint: object, kind: type) -> bool:
    # Path | None is a types.UnionType; with an annotated Path it is a typing.Union.
    is_union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    parts = typing.get_args(hint) if is_union else (hint,)
    return kind in parts


def _type_name(hint: object) -> str:
    if isinstance(hint, type):
        return hint.__name__
    return str(hint).replace("pathlib.", "").replace("typing.", "")
