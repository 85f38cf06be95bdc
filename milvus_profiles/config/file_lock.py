"""The lock of a file, which keeps our own processes and threads apart: a sidecar file, locked by the operating system.

It ends with the process that holds it, however that ends.  What stands at its place is judged on the open descriptor:
another user's file, or one that a repository brought, is no lock.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..errors import ConfigError, Location, LockTimeoutError
from ..files.held_directory import HeldDirectory
from ..text import command
from .places import place, refusal, standing

__all__ = ["locked"]

_POLL = 0.02
"""Seconds between two looks at a lock that somebody else holds."""


@contextmanager
def locked(path: str, timeout: float, *, inside: str | None = None) -> Iterator[None]:
    """Hold the lock of a file: the sidecar ``REAL.lock``, beside what the path leads to.

    Creates missing directories (0700).  What a killed writer left behind is swept away, so whoever calls
    :func:`atomic.write_atomic` on a path that others lock must hold this lock too.

    Args:
        path: the file to protect, whether it exists or not; links are followed.
        timeout: seconds to wait for another holder; negative waits for ever.
        inside: as for :func:`atomic.write_atomic`.

    Raises:
        LockTimeoutError: another process or thread holds it for longer.
        ConfigError: the lock file cannot be created or opened, or something else stands there.
        UntrustedError: the path leads through a link.
    """
    descriptor = _lock(path, timeout, inside)
    try:
        yield
    finally:
        _unlock(descriptor)


def _lock(path: str, timeout: float, inside: str | None) -> int:
    lock_path = f"{path}.lock"
    try:
        with place(path, inside, make=True) as (held, name):
            lock_path = os.path.join(held.path, f"{name}.lock")
            descriptor = _open_lock(held, f"{name}.lock", path)
            try:
                if not _wait(descriptor, timeout):
                    raise LockTimeoutError(
                        f"another process is editing the file: it has held {lock_path} for more than {timeout:g} "
                        "seconds",
                        hint=f"wait until it has ended; {command('fuser', lock_path)} names it",
                        location=Location(path),
                    )
                _sweep(held, name)
            except BaseException:
                _unlock(descriptor)
                raise
            return descriptor
    except LockTimeoutError:  # an OSError too
        raise
    except OSError as error:
        raise refusal(error, path, f"cannot be edited, because {lock_path} cannot be locked") from None


def _open_lock(held: HeldDirectory, name: str, path: str) -> int:
    """The lock file, which stays for good: a process that deleted it would leave another one, which has opened it and
    waits, with the lock of a file that nobody else sees."""
    lock_path = os.path.join(held.path, name)
    try:
        descriptor = held.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        # Looked at before it is opened, and after: to open a device may do something.
        _check_lock(held, name, lock_path, path)
        descriptor = held.open(name, os.O_RDWR)
        try:
            if not os.path.samestat(os.fstat(descriptor), _check_lock(held, name, lock_path, path)):
                raise OSError(errno.EAGAIN, "somebody else replaced it") from None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor
    held.give(descriptor)
    return descriptor


def _check_lock(held: HeldDirectory, name: str, lock_path: str, path: str) -> os.stat_result:
    try:
        status = standing(held, name, lock_path)
    except ConfigError as error:
        raise ConfigError(
            f"cannot be edited, because {lock_path} cannot be locked: it {error.message}",
            hint=f"see what it is, and remove it: {command('rm', lock_path)}",
            location=Location(path),
        ) from None
    if status is None:
        raise OSError(errno.EAGAIN, "somebody else removed it")
    return status


def _wait(descriptor: int, timeout: float) -> bool:
    """Whether the lock was had in time."""
    end = time.monotonic() + timeout
    while not _try(descriptor):
        if timeout >= 0 and time.monotonic() >= end:
            return False
        time.sleep(_POLL)
    return True


if sys.platform == "win32":
    import msvcrt

    def _try(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
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
