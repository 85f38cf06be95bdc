"""What the program remembers between its runs: small JSON files in the state directory.

A file there is believed only where nobody else could have written it.  What cannot be understood counts as nothing.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..commands import command
from ..errors import ConfigError, Location
from ..ownership import fault_of, has_modes, own_users
from ..regular_file import STATE_LIMIT, FileFault, read_regular
from .locations import home_fault, state_directory, state_fault

__all__ = ["State", "read_state", "state_file"]


@dataclass(frozen=True, slots=True)
class State:
    """What a state file says.

    Attributes:
        values: the object that stands in it; empty where there is none.
        fault: why it is not believed, and what to do; None if it is, or if nothing is there.
    """

    values: dict[str, Any] = field(default_factory=dict)
    fault: tuple[str, str] | None = None


def state_file(name: str, env: Mapping[str, str]) -> str:
    """The path of a state file, whether it exists or not, to write it.

    Args:
        name: of the file.
        env: the environment, for the state directory.

    Raises:
        ConfigError: there is no state directory, or it is somebody else's.
    """
    directory = state_directory(env)
    if directory is None:
        reason, hint = home_fault(env) or ("there is no home directory", "set HOME")
        raise ConfigError(f"there is no place to remember that: {reason}", hint=hint)
    if (fault := state_fault(env)) is not None:
        raise ConfigError(
            f"the state directory is not used: {fault}",
            hint=f"{fault.hint}, or set XDG_STATE_HOME to a directory of your own",
            location=Location(directory),
        )
    return os.path.join(directory, name)


def read_state(name: str, env: Mapping[str, str]) -> State:
    """Read a state file.

    Args:
        name: of the file.
        env: the environment, for the state directory and for whose files are believed.
    """
    directory = state_directory(env)
    if directory is None:
        return State()
    path = os.path.join(directory, name)
    try:
        read = read_regular(path, STATE_LIMIT)
    except FileFault as refused:
        if refused.errno is not None:
            return State()
        return State(fault=(f"is not believed: {path} {refused.reason}", f"remove it: {command('rm', path)}"))
    if (fault := _fault(path, read.status, env)) is not None:
        return State(fault=fault)
    try:
        values = json.loads(read.content)
    except (ValueError, RecursionError):
        return State()
    return State(values if isinstance(values, dict) else {})


def _fault(path: str, status: os.stat_result, env: Mapping[str, str]) -> tuple[str, str] | None:
    """Why somebody else could have written a state file, and what to do; None if nobody could."""
    users = own_users(env)
    if users is None:
        return None  # nothing there tells
    remove = command("rm", path)
    if (fault := fault_of(path, users)) is not None:
        return f"is not believed: {fault}", f"remove it: {remove}"
    if status.st_uid not in users and has_modes(status.st_dev):  # it was put there since
        return f"is not believed: {path} belongs to another user", f"remove it: {remove}"
    if (found := state_fault(env)) is not None:
        if found.foreign:
            return f"is not believed: {found}", f"{found.hint}, or set XDG_STATE_HOME to a directory of your own"
        return (
            f"is not believed: others can write to its directory: {found}",
            f"{found.hint} and {remove}, and trust again what you trust",
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and has_modes(status.st_dev):
        return (
            f"is not believed: others can write to it (mode {stat.S_IMODE(status.st_mode):04o})",
            f"remove it with {remove}, and trust again what you trust",
        )
    return None
