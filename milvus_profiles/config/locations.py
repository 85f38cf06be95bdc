"""Where the files are: the user's, the project's, the one that was named, and the state directory.

platformdirs is not used, because it reads the process's own environment and puts the user file elsewhere on macOS than
the documented ``~/.config/milvus``.  A file that is found and not named is somebody's suggestion: it is read only where
it, and the directory that it is in, are this user's or root's, and nobody else can write there.

Completion asks here on every press of the tab key, so the errors are imported where they are raised.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..files.paths import (
    Fault,
    absolute_path,
    fault_below,
    fault_of,
    home_directory,
    is_absolute,
    own_users,
)
from ..text import quote

FILE_NAME = "milvus.toml"
STATE_VARIABLES = ("HOME", "USERPROFILE", "XDG_STATE_HOME", "LOCALAPPDATA", "SUDO_UID")
"""What the environment says of the state directory, and of whose it may be."""


class UnreadFile(NamedTuple):
    """A file that is there and is not read, because it could be somebody else's work.

    The reason is a whole sentence, ``"is not read: /srv belongs to another user (uid 1000)"``; the hint says what to
    do.
    """

    path: str
    reason: str
    hint: str

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


def user_file(env: Mapping[str, str]) -> str | None:
    """Path of the user's own file, whether it exists or not; None where the user has no home directory for it."""
    base = _configuration(env)
    return None if base is None else os.path.join(*base, FILE_NAME)


def user_file_fault(env: Mapping[str, str]) -> UnreadFile | None:
    """Why the user's own file is not used although it has a place; None if it is, or has none."""
    if (base := _configuration(env)) is None:
        return None
    path = os.path.join(*base, FILE_NAME)
    if (fault := fault_below(base[0], path, own_users(env))) is not None:
        return _unread(path, fault)
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        hint = "let this user look into its directory, or set XDG_CONFIG_HOME to another one"
        return UnreadFile(path, f"is not read: its directory cannot be searched: {error.strerror}", hint)
    return None


def state_directory(env: Mapping[str, str]) -> str | None:
    """Directory of what the program remembers, such as trusted files; None where the user has no home directory."""
    base = _state(env)
    return None if base is None else os.path.join(*base)


def state_fault(env: Mapping[str, str]) -> Fault | None:
    """Why the state directory could hold what somebody else put there; None if it could not, or there is none."""
    base = _state(env)
    return None if base is None else fault_below(base[0], os.path.join(*base), own_users(env))


_Base = tuple[str, str]
"""A directory that the environment names, and a path below it."""


def _configuration(env: Mapping[str, str]) -> _Base | None:
    if sys.platform == "win32":
        return _base(env, "APPDATA", os.path.join("AppData", "Roaming"))
    return _base(env, "XDG_CONFIG_HOME", ".config")


def _state(env: Mapping[str, str]) -> _Base | None:
    if sys.platform == "win32":
        return _base(env, "LOCALAPPDATA", os.path.join("AppData", "Local"))
    return _base(env, "XDG_STATE_HOME", os.path.join(".local", "state"))


def _base(env: Mapping[str, str], name: str, default: str) -> _Base | None:
    # The XDG specification says that a relative path in these variables is to be ignored.
    value = env.get(name, "")
    if is_absolute(value) and "\0" not in value:
        return value, "milvus"
    home = home_directory(env)
    return None if home is None else (home, os.path.join(default, "milvus"))


def named(file: str | None, env: Mapping[str, str]) -> str | None:
    """What a call or ``--config`` names, else ``MILVUS_PROFILES_FILE``: read instead of all files that are found."""
    return file or env.get("MILVUS_PROFILES_FILE")


def named_by(file: str | None, name: str) -> str:
    """What names the file of :func:`named`: the call or the option, by the name that it has, or the variable."""
    return name if file else "MILVUS_PROFILES_FILE"


def named_file(text: str, env: Mapping[str, str], cwd: str) -> str:
    """The path of a file that ``--config`` or ``MILVUS_PROFILES_FILE`` names; a relative one counts from ``cwd``.

    ConfigError where it can be the path of nothing, or begins with ``~`` where there is no home directory.
    """
    if not text:
        from ..errors import ConfigError

        # Often a variable that is not set: the current directory would be a surprise.
        raise ConfigError("no file is named: the path is empty", hint="give a path, or leave it out")
    # Asked for only where it counts: it is looked at for its owner and its modes.
    home = (home_directory(env) or "") if text.startswith("~") else ""
    return absolute_path(text, base=cwd, home=home)


def current_directory() -> str:
    """The process's current directory; ConfigError where it was deleted."""
    try:
        return os.getcwd()
    except OSError as error:
        from ..errors import ConfigError

        raise ConfigError(
            f"the current directory cannot be read: {error.strerror}", hint="change to a directory that exists"
        ) from None


def find_project_file(cwd: str, env: Mapping[str, str]) -> tuple[str | None, tuple[UnreadFile, ...]]:
    """The nearest ``milvus.toml`` from a directory upwards that may be read, and those passed over.

    The directory that holds ``.git`` and the home directory are the last ones searched.  The user's own file is not a
    project file, even where the search meets it.  What could be somebody else's work is passed over, and hides none
    above.  A directory that cannot be looked into is a ConfigError.
    """
    users = None
    passed: list[UnreadFile] = []
    for directory in _searched(cwd, env):
        candidate = os.path.join(directory, FILE_NAME)
        try:
            os.lstat(candidate)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError) as error:
            raise _unsearchable(candidate, error) from None
        else:
            users = users or own_users(env)
            if (fault := _project_fault(candidate, directory, users)) is not None:
                passed.append(_unread(candidate, fault))
            elif _is_project_file(candidate, env):
                return candidate, tuple(passed)
    return None, tuple(passed)


def project_candidates(cwd: str, env: Mapping[str, str], found: str | None) -> Iterator[str]:
    """The paths whose being there, or not, decides which project file is in force; without that one (``found``)."""
    for directory in _searched(cwd, env):
        candidate = os.path.join(directory, FILE_NAME)
        if candidate == found:
            return
        yield from (candidate, f"{directory}/.git")


def _searched(cwd: str, env: Mapping[str, str]) -> Iterator[str]:
    """The directories that are searched for a project file, the nearest first."""
    home = None
    directory = cwd
    while True:
        yield directory
        parent = os.path.dirname(directory)
        if parent == directory or os.path.lexists(f"{directory}/.git"):
            return
        # Every connect comes here, so links are followed only where it has to be known.
        home = home or _identity(home_directory(env) or os.sep) or ()
        if _identity(directory) == home:
            return
        directory = parent


def _is_project_file(candidate: str, env: Mapping[str, str]) -> bool:
    try:
        os.stat(candidate)
    except FileNotFoundError:
        return False  # a link that leads nowhere
    except OSError as error:
        raise _unsearchable(candidate, error) from None
    own = user_file(env)
    return own is None or _identity(candidate) != _identity(own)


def _identity(path: str) -> tuple[int, int] | None:
    """What stands at a path, whatever it is called: macOS and Windows have names in any case."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _project_fault(candidate: str, directory: str, users: frozenset[int] | None) -> Fault | None:
    if sys.platform == "win32":
        from ..files.held_directory import is_link

        if is_link(os.lstat(candidate)):
            # It may lead to a share, whose host would be sent this user's credentials when it is looked at.
            return Fault(candidate, "is a link, which may lead to another machine", "put a file in its place", True)
    for path in (directory, candidate):
        if (fault := fault_of(path, users)) is not None:
            return fault
    if os.path.islink(candidate):
        return fault_of(os.path.dirname(os.path.realpath(candidate)), users)
    return None


def _unread(path: str, fault: Fault) -> UnreadFile:
    return UnreadFile(
        path,
        f"is not read: {'it' if fault.path == path else fault.path} {fault.reason}",
        f"{fault.hint}, or name the file: --config or MILVUS_PROFILES_FILE={quote(path)}",
    )


def _unsearchable(candidate: str, error: Exception) -> Exception:
    from ..errors import ConfigError, Location

    return ConfigError(
        f"cannot look for a project file: {getattr(error, 'strerror', None) or 'the directory is not a path'}",
        hint="name the file with --config or MILVUS_PROFILES_FILE",
        location=Location(candidate),
    )
