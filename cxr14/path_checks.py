"""Checks of a script's paths before any work is done.

The settings say which paths are read and which are written, by the types `InputPath`, `OutputFile` and
`OutputFolder`.
"""

import dataclasses
import os
import stat
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cxr14.errors import InputError


@dataclasses.dataclass(frozen=True)
class PathRole:
    """What a script does with a path."""

    is_output: bool
    is_folder: bool = False
    """An output that is a folder, or an input whose folder no output may be."""
    is_deep: bool = False
    """An input whose subfolders are read too."""
    companions: tuple[str, ...] = ()
    """Names of the files that are read with an input, from the same folder."""
    beside: tuple[str, ...] = ()
    """Endings, in place of its own, of the files that are written beside an output file."""


InputPath = Annotated[Path, PathRole(is_output=False)]
RadiographFolder = Annotated[Path, PathRole(is_output=False, is_folder=True)]
OutputFile = Annotated[Path, PathRole(is_output=True)]
OutputFolder = Annotated[Path, PathRole(is_output=True, is_folder=True)]


def check_paths(settings: object) -> None:
    """Check the paths of a settings dataclass.

    Raises:
        InputError: an output is an input or another output, by its real path; pictures would be written among
            the radiographs that are read; an output cannot be written: a folder
            in place of a file or the other way round, a folder without permission, a name that is too long;
            or an input is a named pipe or a device, which has no end.
    """
    known: dict[Path, str] = {}
    radiographs: list[tuple[str, Path, PathRole]] = []
    for name, path, role in _paths(settings):
        if not role.is_output:
            _require_finite(name, path)
            known[_real(path, name)] = name
            for companion in role.companions:
                known[_real(path.parent / companion, name)] = f"the {companion} of {name}"
            if role.is_folder:
                radiographs.append((name, _real(path, name), role))
    for name, path, role in _paths(settings):
        if role.is_output:
            _require_writable(name, path, role)
            if role.is_folder:
                _require_apart(name, path, radiographs)
    for name, path in output_files(settings):
        real = _real(path, name)
        if real in known:
            raise InputError(
                f"{name} and {known[real]} are the same file, {path}, which would be overwritten; give "
                f"{name} another name."
            )
        known[real] = name


def output_files(settings: object) -> list[tuple[str, Path]]:
    """Return the output files of a settings dataclass, each with the name of its setting.

    Among them are the files that are written beside one.
    """
    return [
        (name, file)
        for name, path, role in _paths(settings)
        if role.is_output and not role.is_folder
        for file in (path, *map(path.with_suffix, role.beside))
    ]


def _paths(settings: object) -> Iterator[tuple[str, Path, PathRole]]:
    for name, hint in typing.get_type_hints(type(settings), include_extras=True).items():
        role, value = _role(hint), getattr(settings, name)
        if role is not None:
            paths = value if isinstance(value, tuple) else (value,)  # a setting may also be a word or None
            yield from ((name.upper(), path, role) for path in paths if isinstance(path, Path))


def _role(hint: object) -> PathRole | None:
    for entry in (*getattr(hint, "__metadata__", ()), *typing.get_args(hint)):
        role = entry if isinstance(entry, PathRole) else _role(entry)
        if role is not None:
            return role
    return None


def _real(path: Path, name: str) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name with a null byte
        raise InputError(f"{name} = {str(path)!r} is no usable path ({error}).") from None


def _require_apart(name: str, path: Path, radiographs: list[tuple[str, Path, PathRole]]) -> None:
    real = _real(path, name)
    for other, folder, role in radiographs:
        if real == folder or (role.is_deep and folder in real.parents):
            raise InputError(
                f"{name} = {path} is in {other} = {folder}, so that what is written would lie among the "
                f"radiographs; give {name} another folder."
            )


def _require_finite(name: str, path: Path) -> None:
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError):
        return  # whoever reads it says what is missing
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise InputError(f"{name} = {path} is a named pipe or a device; a file or a folder is expected.")


def _require_writable(name: str, path: Path, role: PathRole) -> None:
    try:
        if path.is_dir() and not role.is_folder:
            raise InputError(f"{name} = {path} is a folder; the name of a file is expected.")
        if path.exists() and not path.is_file() and not role.is_folder:
            raise InputError(f"{name} = {path} is a named pipe or a device; the name of a file is expected.")
        if path.exists() and not path.is_dir() and role.is_folder:
            raise InputError(f"{name} = {path} is a file; a folder is expected.")
        folder = path if path.is_dir() else path.parent
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir():
            raise InputError(f"{name} = {path} cannot be made, because {folder} is a file.")
        longest = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    except OSError as error:
        raise InputError(f"{name} = {path} cannot be written ({error.strerror or error}).") from None
    # Unfinished files have a longer name than the file itself.
    longest -= len(".last.before.pth") + len("..4194304.part")
    if len(os.fsencode(path.name)) > longest:
        raise InputError(f"the name of {name} = {path} is too long; {longest} bytes are possible.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{name} = {path} cannot be written: no permission to write into {folder}.")
