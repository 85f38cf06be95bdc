"""What the program remembers between its runs: small JSON files in the state directory.

A file there is believed only where nobody else could have written it.  What cannot be read or understood counts as
nothing; before it is written anew, it is set aside.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError, Location
from ..files.paths import fault_of, has_modes, home_fault, own_users
from ..files.regular_file import STATE_LIMIT, FileFault, read_regular
from ..text import removal
from .locations import state_directory, state_fault

_LOCK_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class State:
    """What a state file says: the object in it, empty where there is none; or why it is not believed (``fault``) or
    cannot be read (``unread``) and what to do; or what stands there where that cannot be understood (``garbled``)."""

    values: dict[str, Any] = field(default_factory=dict)
    fault: tuple[str, str] | None = None
    unread: tuple[str, str] | None = None
    garbled: bytes | None = field(default=None, repr=False)


def state_file(name: str, env: Mapping[str, str]) -> str:
    """The path of a state file, whether it exists or not, to write it.

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
    """Read a state file of this name."""
    directory = state_directory(env)
    if directory is None:
        return State()
    path = os.path.join(directory, name)
    try:
        read = read_regular(path, STATE_LIMIT)
    except FileFault as refused:
        if refused.errno in (errno.ENOENT, errno.ENOTDIR):
            return State()
        if refused.errno is not None:
            return State(unread=(refused.reason, f"make it readable for this user, or move it away: {path}"))
        return State(fault=(f"is not believed: {path} {refused.reason}", removal(path)))
    if (fault := _fault(path, read.status, env)) is not None:
        return State(fault=fault)
    try:
        values = json.loads(read.content)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        return State(garbled=read.content)
    return State(values)


def update_state(
    name: str, env: Mapping[str, str], what: str, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> tuple[str, str | None]:
    """Change a state file, under its lock, so that what another process wrote meanwhile stays.

    Errors call it ``what``: ``"the list of trusted files"``.

    Returns:
        The path of the file, and what is to be told although it was written.

    Raises:
        ConfigError: there is no place for it, it is not believed or not understood, or it cannot be written.
        LockTimeoutError: another process writes it for too long.
    """
    from .atomic import create_file, write_atomic
    from .places import locked

    path = state_file(name, env)
    try:
        with locked(path, _LOCK_TIMEOUT):
            state = read_state(name, env)
            fault = state.fault or state.unread
            if fault is None:
                if state.garbled:
                    create_file(f"{path}.{hashlib.sha256(state.garbled).hexdigest()[:8]}.broken", state.garbled)
                # A gated field of the wrong type may be a date, which JSON does not know.
                content = json.dumps(change(state.values), indent=1, sort_keys=True, default=str) + "\n"
                return path, write_atomic(path, content.encode("utf-8"), mode=0o600)
    except ConfigError as error:
        hint = "make its directory writable for this user, or set XDG_STATE_HOME to one that is"
        raise ConfigError(f"{what} cannot be written: {error.message}", hint=hint, location=Location(path)) from None
    # Written anew it would look like ours, with what somebody else put into it, or without what was in it.
    raise ConfigError(f"{what} {fault[0]}", hint=fault[1], location=Location(path))


def _fault(path: str, status: os.stat_result, env: Mapping[str, str]) -> tuple[str, str] | None:
    """Why somebody else could have written a state file, and what to do; None if nobody could."""
    users = own_users(env)
    if users is None:
        return None  # nothing there tells
    remove = removal(path)
    if (fault := fault_of(path, users)) is not None:
        return f"is not believed: {fault}", remove
    if status.st_uid not in users and has_modes(status.st_dev):  # it was put there since
        return f"is not believed: {path} belongs to another user", remove
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
            f"{remove}, and trust again what you trust",
        )
    return None
