"""Replacing a file so that a reader, a crash or a second writer never meets half of it.

A sidecar lock keeps our own processes apart; a temporary file that takes the old one's place in a single step does the
rest.  This module sees bytes and paths only: what stands in a file, and whether it may be written, others decide.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ..commands import command
from ..errors import ConfigError, Location, LockTimeoutError
from ..regular_file import CONFIGURATION_LIMIT, FileFault, read_regular

__all__ = ["locked", "read_bytes", "real_path", "write_atomic"]

_HINTS = {
    errno.EACCES: "make the file and its directory writable for this user",
    errno.EPERM: "make the file and its directory writable for this user",
    errno.EROFS: "the file system is mounted read-only: choose another file with --config",
    errno.ENOSPC: "make room on the file system",
    errno.EDQUOT: "make room: the disk quota is used up",
    errno.ELOOP: "remove the symbolic link, or choose another file with --config",
    errno.ENOTDIR: "a part of the path is a file: choose another path",
    errno.EEXIST: "a part of the path is a file: choose another path",
}
# Some network and FUSE file systems do not know how to sync a directory; they order renames by themselves.
_NO_DIRECTORY_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
_O_EXTRA = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def _refusal(error: OSError, path: str, what: str) -> ConfigError:
    return ConfigError(
        f"{what}: {error.strerror or type(error).__name__}",
        hint=_HINTS.get(error.errno or 0, "choose another file with --config"),
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


def read_bytes(path: str) -> bytes | None:
    """The content of a file, or None where there is none.

    Args:
        path: links are followed.

    Raises:
        ConfigError: it is a directory, a FIFO or a device, is larger than any configuration, or cannot be read.
    """
    try:
        return read_regular(path, CONFIGURATION_LIMIT).content
    except FileFault as fault:
        if fault.errno == errno.ENOENT:
            return None
        if fault.errno in (errno.EACCES, errno.EPERM):
            hint = "make it readable for this user"
        else:
            hint = _HINTS.get(fault.errno or 0, "name a file, such as milvus.toml")
        raise ConfigError(fault.reason, hint=hint, location=Location(path)) from None


def _check_regular(mode: int, path: str) -> None:
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "not a file (but a FIFO, a socket or a device)"
        raise ConfigError(f"is {kind}", hint="name a file, such as milvus.toml", location=Location(path))


@contextmanager
def locked(path: str, timeout: float) -> Iterator[None]:
    """Hold the lock of a file: the sidecar ``REAL.lock``, beside what the path leads to.

    Creates missing directories (0700).  What a killed writer left behind is swept away, so whoever calls
    :func:`write_atomic` on a path that others lock must hold this lock too.

    Args:
        path: the file to protect, whether it exists or not; links are followed.
        timeout: seconds to wait for another holder; negative waits for ever.

    Raises:
        LockTimeoutError: another process or thread holds it for longer.
        ConfigError: the lock file cannot be created or opened.
    """
    from filelock import FileLock, Timeout

    real = real_path(path)
    lock_path = f"{real}.lock"
    try:
        _make_directories(os.path.dirname(real))
        _create_lock_file(lock_path)
        # The lock file stays for good: a process that deleted it would leave another one, which has opened it and
        # waits, with the lock of a file that nobody else sees.
        lock = FileLock(lock_path, mode=0o600)
        lock.acquire(timeout=timeout, poll_interval=0.02)
    except Timeout:
        raise LockTimeoutError(
            f"another process is editing the file: it has held {lock_path} for more than {timeout:g} seconds",
            hint=f"wait until it has ended; {command('fuser', lock_path)} names it",
            location=Location(path),
        ) from None
    except (OSError, NotImplementedError) as error:
        cause = error if isinstance(error, OSError) else OSError(errno.ENOSYS, "the file system has no locks")
        raise _refusal(cause, path, f"cannot be edited, because {lock_path} cannot be locked") from None
    try:
        _sweep(real)
        yield
    finally:
        lock.release()


def _make_directories(directory: str) -> None:
    missing = []
    while not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for path in reversed(missing):
        # One by one: os.makedirs gives its mode to the last of them only.
        os.makedirs(path, mode=0o700, exist_ok=True)
        _sync_directory(os.path.dirname(path))


def _create_lock_file(lock_path: str) -> None:
    try:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _O_EXTRA, 0o600)
    except FileExistsError:
        if os.path.islink(lock_path):
            # Older versions of filelock follow the link and truncate what it leads to.
            raise OSError(errno.ELOOP, "it is a symbolic link") from None
        return
    try:
        # Under sudo the lock must not shut out the user in whose directory it stands.
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            owner = os.stat(os.path.dirname(lock_path))
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)


def _sweep(real: str) -> None:
    directory, name = os.path.split(real)
    ours = re.compile(re.escape(f".{name}.") + r"[0-9a-f]{16}\.tmp")
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name):
                with suppress(OSError):
                    os.unlink(entry.path)


def write_atomic(
    path: str, content: bytes, *, mode: int | None = None, last_look: Callable[[], None] | None = None
) -> None:
    """Put new content in the place of a file's old one, in one step that survives a crash.

    It takes no lock: see :func:`locked`.

    Args:
        path: links are followed, and stay; missing directories are created (0700).
        content: the whole new content.
        mode: permissions; None keeps those of the old file, or means 0600 for a new one.
        last_look: called just before the old content is replaced; raises to leave it.

    Raises:
        ConfigError: it cannot be written, or is no file.  The old content is still there, unless the message says
            that it was replaced.
    """
    real = real_path(path)
    directory, name = os.path.split(real)
    try:
        _make_directories(directory)
        old = _status(real)
        temporary = os.path.join(directory, f".{name}.{os.urandom(8).hex()}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _O_EXTRA, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                _set_owner_and_mode(descriptor, old, mode)
                os.fsync(descriptor)
            if last_look is not None:
                last_look()
            os.replace(temporary, real)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise _refusal(error, path, "cannot be written") from None
    try:
        _sync_directory(directory)
    except OSError as error:
        raise _refusal(error, path, "was replaced, but the new content may not survive a power failure") from None


def _status(real: str) -> os.stat_result | None:
    try:
        status = os.stat(real)
    except FileNotFoundError:
        return None
    _check_regular(status.st_mode, real)
    return status


def _set_owner_and_mode(descriptor: int, old: os.stat_result | None, mode: int | None) -> None:
    """A file that is replaced keeps its owner, group and mode, as far as this user may give them."""
    wanted = mode if mode is not None else 0o600 if old is None else stat.S_IMODE(old.st_mode) & 0o777
    if old is not None and hasattr(os, "fchown"):
        new = os.fstat(descriptor)
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            for owner in (old.st_uid, -1):
                with suppress(PermissionError):
                    os.fchown(descriptor, owner, old.st_gid)
                    break
            else:
                # What the old group was allowed is not for the group that the file has now.
                wanted &= 0o707
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, wanted)


def _sync_directory(directory: str) -> None:
    if os.name == "nt":
        return  # Windows opens no directories
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(descriptor)
