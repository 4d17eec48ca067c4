"""Checks of a script's paths before any work is done.

The settings say which paths are read and which are written, by the types `InputPath`, `OutputFile` and
`OutputFolder`.
"""

import dataclasses
import os
import typing
from pathlib import Path
from typing import Annotated

from cxr14.errors import InputError


@dataclasses.dataclass(frozen=True)
class PathRole:
    """What a script does with a path."""

    is_output: bool
    is_folder: bool = False


InputPath = Annotated[Path, PathRole(is_output=False)]
OutputFile = Annotated[Path, PathRole(is_output=True)]
OutputFolder = Annotated[Path, PathRole(is_output=True, is_folder=True)]


def check_paths(settings: object) -> None:
    """Check the paths of a settings dataclass.

    Raises:
        InputError: an output is an input, by its real path; or it cannot be written: a folder in place of a
        file
            or the other way round, a folder without permission, a name that is too long.
    """
    inputs: dict[Path, str] = {}
    outputs: dict[str, tuple[Path, PathRole]] = {}
    for name, hint in typing.get_type_hints(type(settings), include_extras=True).items():
        value, role = getattr(settings, name), _role(hint)
        if value is None or role is None:
            continue
        for path in value if isinstance(value, tuple) else (value,):
            if role.is_output:
                outputs[name.upper()] = (path, role)
            else:
                inputs[_real(path, name.upper())] = name.upper()
    for name, (path, role) in outputs.items():
        same = inputs.get(_real(path, name))
        if same and not role.is_folder:
            raise InputError(
                f"{name} and {same} are the same file, {path}, which would be overwritten; give {name} "
                "another name."
            )
        _require_writable(name, path, role)


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


def _require_writable(name: str, path: Path, role: PathRole) -> None:
    try:
        if path.is_dir() and not role.is_folder:
            raise InputError(f"{name} = {path} is a folder; the name of a file is expected.")
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
