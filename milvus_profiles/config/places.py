"""Where a file is to be written: the directory that it goes into, held open, and what stands there under its name.

A link on the way is its maker's word.  In a project that nobody trusted it is somebody else's, so there no link below
the project's directory is followed, and nothing leaves that directory by one.  Elsewhere links are followed that are
this user's own, as those of people who keep their settings in a repository are.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from ..errors import ConfigError, Location, UntrustedError
from ..files.held_directory import HeldDirectory, is_link
from ..files.ownership import has_modes, own_users
from ..files.regular_file import FileFault, check_kind
from ..text import milvus_profiles
from .locations import FILE_NAME

__all__ = ["hint_for", "place", "real_path", "refusal", "standing"]

_NOT_PERMITTED = "make the file and its directory writable for this user"
if sys.platform == "win32":
    _NOT_PERMITTED += ", and close whatever has the file open"
_HINTS = {
    errno.EACCES: _NOT_PERMITTED,
    errno.EPERM: _NOT_PERMITTED,
    errno.EROFS: "the file system is mounted read-only: choose another place, such as another file with --config",
    errno.EBUSY: "it is mounted by itself, and what is mounted cannot be replaced: mount its directory in its place",
    errno.ENOSPC: "make room on the file system",
    errno.EDQUOT: "make room: the disk quota is used up",
    errno.ELOOP: "remove the symbolic link, or choose another file with --config",
    errno.ENOTDIR: "a part of the path is a file: choose another path",
    errno.EEXIST: "a part of the path is a file: choose another path",
}


def hint_for(number: int | None, default: str) -> str:
    """What to do about an error of the operating system.

    Args:
        number: its errno.
        default: for those that have no remedy of their own.
    """
    return _HINTS.get(number or 0, default)


def refusal(error: OSError, path: str, what: str) -> ConfigError:
    """An error of the operating system as one of ours.

    Args:
        error: what it said.
        path: the file.
        what: what cannot be done, as the beginning of a sentence.
    """
    return ConfigError(
        f"{what}: {error.strerror or type(error).__name__}",
        hint=hint_for(error.errno, "choose another file with --config"),
        location=Location(path),
    )


def real_path(path: str) -> str:
    """Where a path leads, links followed, whether something is there or not.

    Raises:
        ConfigError: it can be no path.
    """
    try:
        return os.path.realpath(path)
    except ValueError:
        raise ConfigError(
            "is not the name of a file", hint="a name holds no NUL character", location=Location(path)
        ) from None


@contextmanager
def place(
    path: str, inside: str | None, *, make: bool = False, follow: bool = True
) -> Iterator[tuple[HeldDirectory, str]]:
    """Hold the directory that a file stands in, or is to be written in.

    Args:
        path: the file, whether it exists or not.
        inside: the directory of a project that is not trusted: no part of a path below it may be a link.  None follows
            links, but not one that another user put in the place of the file.
        make: make the directories that are missing (0700).
        follow: False takes the path itself, and a link there is the caller's business.

    Yields:
        The directory, and the name of the file in it.

    Raises:
        UntrustedError: the path leads through a link of an untrusted project.
        ConfigError: it can be no path, or is another user's link.
        OSError: there is no such directory, or it cannot be made or opened.
    """
    with ExitStack() as stack:
        below = None if inside is None else _below(path, inside)
        if inside is None or below is None:
            if follow:
                _refuse_foreign_link(path)
                path = real_path(path)
            directory, name = os.path.split(path)
            directory = real_path(directory)
            yield _hold(stack, directory, make), name
            return
        base, parts = below
        held = _hold(stack, os.path.realpath(base), make=False)
        for part in parts[:-1]:
            held = _step(stack, held, part, inside, make)
        if follow:
            _refuse_link(held, parts[-1], inside)
        yield held, parts[-1]


def _hold(stack: ExitStack, directory: str, make: bool) -> HeldDirectory:
    missing: list[str] = []
    while True:
        try:
            held = stack.enter_context(_open(directory))
            break
        except FileNotFoundError:
            if not make:
                raise
            directory, name = os.path.split(directory)
            missing.append(name)
    for name in reversed(missing):
        held = stack.enter_context(held.made(name, 0o700))
    return held


def _open(directory: str) -> HeldDirectory:
    try:
        return HeldDirectory(directory)
    except PermissionError:
        # It may be one that lets files be made in it and does not show them.
        return HeldDirectory(directory, passing=True)


def _step(stack: ExitStack, held: HeldDirectory, name: str, inside: str, make: bool) -> HeldDirectory:
    _refuse_link(held, name, inside)
    try:
        return stack.enter_context(held.enter(name))
    except PermissionError:
        return stack.enter_context(held.enter(name, passing=True))
    except FileNotFoundError:
        if not make:
            raise
        return stack.enter_context(held.made(name, 0o700))


def _below(path: str, inside: str) -> tuple[str, list[str]] | None:
    """A project's directory as the path spells it, and the parts from there on; None where it is not in it."""
    try:
        project = os.stat(inside)
    except OSError:
        return None
    parts: list[str] = []
    found = None
    at = os.path.abspath(path)
    while True:
        # By what it is and not by its name: a link of the user's own may lead to the project.
        with suppress(OSError, ValueError):
            if parts and os.path.samestat(os.stat(at), project):
                found = at, parts[::-1]
        above, name = os.path.split(at)
        if above == at:
            return found
        parts.append(name)
        at = above


def _refuse_link(held: HeldDirectory, name: str, inside: str) -> None:
    with suppress(FileNotFoundError):
        if is_link(held.status(name)):
            raise _link_of_project(os.path.join(held.path, name), inside)


def _link_of_project(path: str, inside: str) -> UntrustedError:
    file = os.path.join(inside, FILE_NAME)
    return UntrustedError(
        "is a symbolic link, and the project is not trusted, so nothing is written where it leads",
        hint=f"see where it leads, and remove it, or trust the project: {milvus_profiles('trust', file)}",
        location=Location(path),
    )


def _refuse_foreign_link(path: str) -> None:
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return
    users = own_users(os.environ)
    if is_link(status) and users is not None and status.st_uid not in users and has_modes(status.st_dev):
        raise ConfigError(
            f"is a symbolic link of another user (uid {status.st_uid}), so nothing is written where it leads",
            hint="remove it, or name the file that it leads to",
            location=Location(path),
        )


def standing(held: HeldDirectory, name: str, path: str) -> os.stat_result | None:
    """What stands in a directory under a name; None where nothing does.

    Args:
        held: the directory.
        name: the name.
        path: how errors call it.

    Raises:
        ConfigError: it is a link, a directory, a FIFO or a device, or another user's.
        OSError: it cannot be looked at.
    """
    try:
        status = held.status(name)
    except FileNotFoundError:
        return None
    if is_link(status):
        reason, hint = "is a symbolic link", "remove it, or choose another file"
    elif (kind := _other_kind(status)) is not None:
        reason, hint = kind, "name a file, such as milvus.toml"
    elif _is_foreign(held, status):
        reason = f"belongs to another user (uid {status.st_uid})"
        hint = "choose a file of your own, or run this as its owner"
    else:
        return status
    raise ConfigError(reason, hint=hint, location=Location(path))


def _other_kind(status: os.stat_result) -> str | None:
    try:
        check_kind(status.st_mode)
    except FileFault as fault:
        return fault.reason
    return None


def _is_foreign(held: HeldDirectory, status: os.stat_result) -> bool:
    users = own_users(os.environ)
    if sys.platform == "win32" or users is None or status.st_uid in users or not has_modes(status.st_dev):
        return False
    # Root may put another user's directory in order, and its own: what is in there keeps its owner.
    around = held.own_status
    return os.geteuid() != 0 or (
        around.st_uid != status.st_uid and bool(around.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    )
