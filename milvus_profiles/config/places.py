"""Where a file is to be written: the directory that it goes into, held open, what stands there, and the file's lock.

A link on the way is its maker's word.  In a project that nobody trusted no link below the project's directory is
followed, and nothing leaves that directory by one.  Elsewhere links are followed that are this user's own.

The lock is a sidecar file, locked by the operating system until the process ends.  It stands beside the file, since the
state directory is another one for another user, HOME or container.  Whoever holds it takes it away again, so whoever
waited for it looks whether what it has locked still stands there, and begins anew where it does not.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from ..errors import ConfigError, Location, LockTimeoutError, UntrustedError
from ..files.held_directory import HeldDirectory, is_link
from ..files.paths import has_modes, own_users
from ..files.regular_file import FileFault, check_kind
from ..text import command, counted, milvus_profiles, removal
from .locations import FILE_NAME

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
    """What to do about an error of the operating system; ``default`` for those that have no remedy of their own."""
    return _HINTS.get(number or 0, default)


def system_fault(error: OSError, path: str, what: str) -> ConfigError:
    """An error of the operating system as one of ours; ``what`` cannot be done begins its sentence."""
    return ConfigError(
        f"{what}: {error.strerror or type(error).__name__}",
        hint=hint_for(error.errno, "choose another file with --config"),
        location=Location(path),
    )


def real_path(path: str) -> str:
    """Where a path leads, links followed, whether something is there or not; ConfigError where it can be no path."""
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
    """Hold the directory that a file stands in, or is to be written in; yields it and the name of the file in it.

    Args:
        path: the file, whether it exists or not.
        inside: the directory of a project that is not trusted: a link below it is an UntrustedError.  None follows
            links, but not one that another user put in the place of the file.
        make: make the directories that are missing (0700).
        follow: False takes the path itself, and a link there is the caller's business.
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
            held = stack.enter_context(_opened(HeldDirectory, directory))
            break
        except FileNotFoundError:
            if not make:
                raise
            directory, name = os.path.split(directory)
            missing.append(name)
    for name in reversed(missing):
        held = stack.enter_context(held.made(name, 0o700))
    return held


def _opened(enter: Callable[..., HeldDirectory], directory: str) -> HeldDirectory:
    try:
        return enter(directory)
    except PermissionError:
        # It may be one that lets files be made in it and does not show them.
        return enter(directory, passing=True)


def _step(stack: ExitStack, held: HeldDirectory, name: str, inside: str, make: bool) -> HeldDirectory:
    _refuse_link(held, name, inside)
    try:
        return stack.enter_context(_opened(held.enter, name))
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
    if held.leads_away(name):
        trust = milvus_profiles("trust", os.path.join(inside, FILE_NAME))
        raise UntrustedError(
            "is a symbolic link, and the project is not trusted, so nothing is written where it leads",
            hint=f"see where it leads, and remove it, or trust the project: {trust}",
            location=Location(os.path.join(held.path, name)),
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
    """What stands in a directory under a name, which errors call ``path``; None where nothing does.

    A link, a directory, a FIFO or a device, or what is another user's, is a ConfigError.
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


_POLL = 0.02
"""Seconds between two looks at a lock that somebody else holds."""
_NAMED = "" if sys.platform == "win32" else "; {} names it"


@contextmanager
def locked(path: str, timeout: float, *, inside: str | None = None) -> Iterator[None]:
    """Hold the lock of a file: the sidecar ``REAL.lock``, beside what the path leads to.

    Creates missing directories (0700).  What a killed writer left behind is swept away, so whoever calls
    :func:`atomic.write_atomic` on a path that others lock must hold this lock too.

    LockTimeoutError where another process or thread holds it for longer than so many seconds; negative waits for ever.
    ConfigError where the lock file cannot be opened, or something else stands there; the rest is as for :func:`place`.
    """
    with ExitStack() as stack:
        held, name, descriptor = _lock(path, timeout, inside, stack)
        try:
            yield
        finally:
            _release(held, name, descriptor)


def _lock(path: str, timeout: float, inside: str | None, stack: ExitStack) -> tuple[HeldDirectory, str, int]:
    """The directory, held as long as the stack, the name of the lock in it, and the lock."""
    lock_path = f"{path}.lock"
    end = time.monotonic() + timeout
    try:
        held, name = stack.enter_context(place(path, inside, make=True))
        lock_path = os.path.join(held.path, f"{name}.lock")
        while (descriptor := _try_lock(held, f"{name}.lock", path)) is None:
            if timeout >= 0 and time.monotonic() >= end:
                raise LockTimeoutError(
                    f"another process is editing the file: it has held {lock_path} for more than "
                    f"{counted(timeout, 'second')}",
                    hint=f"wait until it has ended{_NAMED.format(command('fuser', lock_path))}",
                    location=Location(path),
                )
            time.sleep(_POLL)
        try:
            _sweep(held, name)
        except BaseException:
            _unlock(descriptor)
            raise
        return held, f"{name}.lock", descriptor
    except LockTimeoutError:  # an OSError too
        raise
    except OSError as error:
        raise system_fault(error, path, f"cannot be edited, because {lock_path} cannot be locked") from None


def _try_lock(held: HeldDirectory, name: str, path: str) -> int | None:
    """The lock, where nobody has it and its file is still the one that stands there."""
    try:
        descriptor = held.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        held.give(descriptor)
    except FileExistsError:
        # Looked at before it is opened, and after: to open a device may do something.
        if not _check_lock(held, name, path):
            return None
        try:
            descriptor = held.open(name, os.O_RDWR)
        except FileNotFoundError:  # its holder took it away meanwhile
            return None
    try:
        ours = _check_lock(held, name, path) and _stands(held, name, descriptor)
        if ours and _try(descriptor) and _stands(held, name, descriptor):
            return descriptor
    except BaseException:
        _unlock(descriptor)
        raise
    _unlock(descriptor)
    return None


def _stands(held: HeldDirectory, name: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), held.status(name))
    except FileNotFoundError:
        return False


def _release(held: HeldDirectory, name: str, descriptor: int) -> None:
    """Take the file of a lock away that is held, and let it go; one with something in it is somebody's."""
    try:
        ours = os.fstat(descriptor).st_size == 0 and _stands(held, name, descriptor)
    except OSError:
        ours = False
    if sys.platform == "win32":
        # A file that is open cannot be removed there, be it by another process: that one takes the lock over then.
        _unlock(descriptor)
        if ours:
            with suppress(OSError):
                held.remove(name, retry=False)
        return
    if ours:
        with suppress(OSError):
            held.remove(name)
    _unlock(descriptor)


def _check_lock(held: HeldDirectory, name: str, path: str) -> bool:
    """Refuse what is no lock; whether anything stands there."""
    lock_path = os.path.join(held.path, name)
    try:
        return standing(held, name, lock_path) is not None
    except ConfigError as error:
        raise ConfigError(
            f"cannot be edited, because {lock_path} cannot be locked: it {error.message}",
            hint=f"see what it is, and {removal(lock_path)}",
            location=Location(path),
        ) from None


if sys.platform == "win32":
    import msvcrt

    def _try(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:  # of a network drive not always a PermissionError
            return False
        return True

    def _unlock(descriptor: int) -> None:
        with suppress(OSError):
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        os.close(descriptor)

else:
    import fcntl

    def _try(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        # In words, since a child that was forked meanwhile has the file open too.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _sweep(held: HeldDirectory, name: str) -> None:
    ours = re.compile(re.escape(f".{name}.") + r"[0-9a-f]{16}\.tmp")
    with suppress(OSError), held.names() as names:
        for found in names:
            if ours.fullmatch(found):
                # Only what this program makes: a repository may hold anything by that name.
                with suppress(OSError, ConfigError):
                    standing(held, found, found)
                    held.remove(found)
