"""Paths as people write them, made absolute: what ``~`` stands for, and what can be no path at all.

A home directory that is not an absolute path, or that somebody else owns or may write to, is none: ``~`` taken for a
directory of that name, or a home that others fill, would make a repository's files the user's own.  It imports nothing
of this package but the judgement of owners, since completion asks here on every press of the tab key.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from .ownership import fault_of, own_users

__all__ = ["absolute_path", "home_directory", "home_fault", "is_absent", "is_absolute", "leads_out"]

# Linux takes 4,095 bytes and Windows 32,767 characters; what is longer only takes time.
_LONGEST = 32_767 if sys.platform == "win32" else 4095


def home_directory(env: Mapping[str, str]) -> str | None:
    """The home directory that ``env`` names, else the operating system's answer; None where that is no home.

    Args:
        env: the environment.
    """
    home = _home(env)
    return home if home is not None and fault_of(home, own_users(env)) is None else None


def home_fault(env: Mapping[str, str]) -> tuple[str, str] | None:
    """Why there is no home directory, and what to do; None where there is one.

    Args:
        env: the environment.
    """
    name = _variable()
    home = _home(env)
    if home is None:
        value = env.get(name)
        if value is None:
            why = f"{name} is not set, and the system knows no home directory of this user"
        else:
            why = f"{name} is empty" if not value else f"{name} is not an absolute path"
        return why, f"set {name} to the absolute path of a directory of your own"
    if (fault := fault_of(home, own_users(env))) is not None:
        return f"the home directory {fault}", f"{fault.hint}, or set {name} to a directory of your own"
    return None


def _variable() -> str:
    return "USERPROFILE" if sys.platform == "win32" else "HOME"


def _home(env: Mapping[str, str]) -> str | None:
    home = env.get(_variable())
    if home is None:
        home = os.path.expanduser("~")
    return home if is_absolute(home) and "\0" not in home else None


def is_absolute(path: str) -> bool:
    """Whether a path means one place whatever the current directory is: on Windows it names its drive too.

    Args:
        path: any.
    """
    return os.path.isabs(path) and (sys.platform != "win32" or os.path.splitdrive(path)[0] != "")


def leads_out(path: str, directory: str) -> bool:
    """Whether a path is not below a directory, judged by their text alone.

    So it is judged where looking does harm: on Windows to look at a share (``\\\\host\\share``) sends its host the
    credentials of this user.

    Args:
        path: absolute path, in its one spelling, like the directory.
        directory: what it may be below.
    """
    path, directory = os.path.normcase(path), os.path.normcase(directory)
    try:
        return os.path.commonpath([directory, path]) != directory.rstrip(os.sep) and path != directory
    except ValueError:  # another drive
        return True


def absolute_path(path: str, *, base: str | os.PathLike[str], home: str | None = None) -> str:
    """The path with ``~`` expanded, counted from a directory, in its one spelling; links are not followed.

    Args:
        path: what was written.
        base: directory that it counts from.
        home: what ``~`` stands for; None takes the process's own home directory, and empty means that there is none.

    Raises:
        ConfigError: it can be the path of nothing, or there is no such home directory.
    """
    if len(path) > _LONGEST:
        raise _refused("a path is longer than any that a system takes", f"at most {_LONGEST} characters")
    if "\0" in path:
        raise _refused("a path holds a NUL character", "no file's name has one")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise _refused("a path is not text that a file can be called", "write it in UTF-8") from None
    if path.startswith("~"):
        path = _expanded(path, home)
    # Not realpath: the link may point elsewhere by the time that it is opened; whoever opens resolves it.
    path = os.path.abspath(os.path.join(base, path))
    # POSIX lets two leading slashes mean something else; no system here does, and one file must have one spelling.
    return path[1:] if path.startswith("//") and os.sep == "/" else path


def is_absent(path: str) -> bool:
    """Whether nothing stands at a path, be it a link that leads nowhere.

    Not os.path.lexists, for which nothing stands where one may not look.

    Args:
        path: absolute path.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        pass
    return False


def _expanded(path: str, home: str | None) -> str:
    if path == "~" or path.startswith(("~/", f"~{os.sep}")):
        why = None
        if home is None:
            why, home = home_fault(os.environ), home_directory(os.environ)
        if not home:
            reason, hint = why or ("there is no home directory", "set HOME to an absolute path")
            raise _refused(f"a path begins with ~, and there is no home directory for it: {reason}", hint)
        return home + path[1:]
    expanded = os.path.expanduser(path)
    if not is_absolute(expanded):
        raise _refused(
            "a path begins with ~ and the name of a user who has no home directory here",
            "write the path out; a file whose name begins with ~ is written ./~NAME",
        )
    return expanded


def _refused(message: str, hint: str) -> Exception:
    from ..errors import ConfigError

    return ConfigError(message, hint=hint)
