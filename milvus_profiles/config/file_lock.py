"""The lock of a file, which keeps our own processes and threads apart: a sidecar file, locked by the operating system.

It ends with the process that holds it, however that ends.  What stands at its place is judged on the open descriptor:
another user's file, or one that a repository brought, is no lock.

It stands beside the file and not in the state directory, since that is another one for another user, another HOME or
another container, and none where there is no home: they would not keep each other apart.  Whoever holds it takes it
away again, so that no repository gets one.  A process that waited for one that is gone holds the lock of a file that
nobody else sees: so it looks whether what it has locked still stands there, and begins anew where it does not.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from ..errors import ConfigError, Location, LockTimeoutError
from ..files.held_directory import HeldDirectory
from ..text import command, counted, removal
from .places import place, refusal, standing

__all__ = ["locked"]

_POLL = 0.02
"""Seconds between two looks at a lock that somebody else holds."""
_NAMED = "" if sys.platform == "win32" else "; {} names it"


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
        raise refusal(error, path, f"cannot be edited, because {lock_path} cannot be locked") from None


def _try_lock(held: HeldDirectory, name: str, path: str) -> int | None:
    """The lock, where nobody has it and its file is still the one that stands there."""
    descriptor = _open_lock(held, name, path)
    if descriptor is None:
        return None
    try:
        if _try(descriptor) and _stands(held, name, descriptor):
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
                held.remove(name, patient=False)
        return
    if ours:
        with suppress(OSError):
            held.remove(name)
    _unlock(descriptor)


def _open_lock(held: HeldDirectory, name: str, path: str) -> int | None:
    """The lock file; None where its holder took it away meanwhile."""
    lock_path = os.path.join(held.path, name)
    try:
        descriptor = held.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        # Looked at before it is opened, and after: to open a device may do something.
        if not _check_lock(held, name, lock_path, path):
            return None
        try:
            descriptor = held.open(name, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            if _check_lock(held, name, lock_path, path) and _stands(held, name, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None
    held.give(descriptor)
    return descriptor


def _check_lock(held: HeldDirectory, name: str, lock_path: str, path: str) -> bool:
    """Refuse what is no lock; whether anything stands there."""
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
