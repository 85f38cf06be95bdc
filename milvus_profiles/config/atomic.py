"""The one place that writes files: a reader, a crash or a second writer never meets half of one.

A temporary file takes the place of the old one in a single step.  Where a file is, what may stand
there, and the lock that keeps two of our own processes apart, :mod:`places` has.  This module sees bytes and paths
only: what stands in a file, and whether it may be written, others decide.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from ..errors import ConfigError, Location, MilvusProfilesError
from ..files.held_directory import HeldDirectory, copy_attributes
from ..files.paths import has_modes
from ..files.regular_file import CONFIGURATION_LIMIT, FileFault, read_open, read_regular
from ..text import command
from .places import hint_for, place, standing, system_fault

_NO_SECOND_NAMES = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def read_bytes(path: str, *, inside: str | None = None) -> bytes | None:
    """The content of a file, links followed, or None where there is none; ``inside`` is as for :func:`write_atomic`.

    What is a directory, a FIFO or a device, is larger than any configuration, or cannot be read is a ConfigError.
    """
    try:
        if inside is None:
            return read_regular(path, CONFIGURATION_LIMIT).content
        with place(path, inside) as (held, name):
            if standing(held, name, path) is None:
                return None
            return read_open(held.open(name, os.O_RDONLY), CONFIGURATION_LIMIT).content
    except FileNotFoundError:
        return None
    except OSError as error:
        raise system_fault(error, path, "cannot be read") from None
    except FileFault as fault:
        if fault.errno == errno.ENOENT:
            return None
        if fault.errno in (errno.EACCES, errno.EPERM):
            hint = "make it readable for this user"
        else:
            hint = hint_for(fault.errno, "name a file, such as milvus.toml")
        raise ConfigError(fault.sentence, hint=hint, location=Location(path)) from None


def write_atomic(
    path: str,
    content: bytes,
    *,
    mode: int | None = None,
    new_mode: int = 0o600,
    inside: str | None = None,
    last_look: Callable[[], None] | None = None,
) -> str | None:
    """Put new content in the place of a file's old one, in one step that survives a crash.

    It takes no lock: see :func:`places.locked`.  Links are followed, and stay; missing directories are created (0700).

    Args:
        mode: permissions; None keeps those of the old file, or takes ``new_mode``, from which the umask takes.
        inside: the directory of a project that is not trusted: no link below it is followed, and none leads out.
        last_look: called just before the old content is replaced; raises to leave it.

    Returns:
        What is to be told all the same, although it was written; None for nothing.

    Raises:
        ConfigError: it cannot be written, or is no file.  The old content is still there.
        UntrustedError: the path leads through a link of an untrusted project.
    """
    try:
        with place(path, inside, make=True) as (held, name):
            old = _changeable(held, name, path)
            temporary, lost = _write_beside(held, name, content, old, mode, new_mode)
            _rename(held, temporary, name, last_look)
            told = [f"{path} {' and '.join(lost)}"] if lost else []
            return "; ".join([*told, *_synced(held)]) or None
    except OSError as error:
        raise system_fault(error, path, "cannot be written") from None


def write_in(held: HeldDirectory, name: str, content: bytes) -> None:
    """Write a private file (0600) into a directory that is held, in place of what stands there; OSError leaves that."""
    _rename(held, _write_beside(held, name, content, None, None, 0o600)[0], name)
    held.sync()


def _changeable(held: HeldDirectory, name: str, path: str) -> os.stat_result | None:
    """As :func:`standing`; what its owner made read-only is refused too, although its directory lets it be replaced."""
    old = standing(held, name, path)
    if old is not None and not old.st_mode & stat.S_IWUSR and has_modes(old.st_dev):
        raise ConfigError(
            f"is read-only (mode {stat.S_IMODE(old.st_mode):04o})",
            hint=f"if it may be changed, run {command('chmod', 'u+w', path)}",
            location=Location(path),
        )
    return old


def _rename(held: HeldDirectory, temporary: str, name: str, last_look: Callable[[], None] | None = None) -> None:
    try:
        if last_look is not None:
            last_look()
        held.replace(temporary, name)
    except BaseException:
        with suppress(OSError):
            held.remove(temporary)
        raise


def check_writable(path: str, *, inside: str | None = None) -> None:
    """See that a file could be written, its directory being there, without touching it; errors as when it is."""
    try:
        with place(path, inside) as (held, name):
            _changeable(held, name, path)
            temporary, _ = _write_beside(held, name, b"", None, None, 0o600)
            with suppress(FileNotFoundError):  # another process, which holds the lock, swept it away
                held.remove(temporary)
    except OSError as error:
        raise system_fault(error, path, "cannot be written") from None


@dataclass(frozen=True, slots=True)
class Created:
    """A file that was created: its path, ``inside`` as for :func:`write_atomic`, and its status, to know it again."""

    path: str
    inside: str | None
    status: os.stat_result

    def remove(self) -> bool:
        """Take it back, if it still is the file that was created; whether it is gone."""
        try:
            with place(self.path, self.inside, follow=False) as (held, name):
                now, then = held.status(name), self.status
                # The number of a file that was removed may be the next one's.
                if os.path.samestat(now, then) and (now.st_mtime_ns, now.st_size) == (then.st_mtime_ns, then.st_size):
                    held.remove(name)
                return True
        except FileNotFoundError:
            return True
        except (OSError, MilvusProfilesError):
            return False


def create_file(path: str, content: bytes, *, mode: int = 0o600, inside: str | None = None) -> Created | None:
    """Write a file where nothing stands; None where something does, be it a link that leads nowhere, and is left alone.

    Missing directories are created (0700); the umask takes from the mode.  Errors are those of :func:`write_atomic`.
    """
    try:
        with place(path, inside, make=True, follow=False) as (held, name):
            temporary, _ = _write_beside(held, name, content, None, None, mode)
            try:
                status = held.status(temporary)
                _settle(held, temporary, name)
            except FileExistsError:
                return None
            finally:
                with suppress(OSError):
                    held.remove(temporary)
            # A file that is not there after a power failure is one that the caller's own file may name in vain.
            held.sync()
            return Created(path, inside, status)
    except OSError as error:
        raise system_fault(error, path, "cannot be written") from None


def _settle(held: HeldDirectory, temporary: str, name: str) -> None:
    """Give a file its name where nothing stands; FileExistsError where something does."""
    try:
        held.link(temporary, name)
    except OSError as error:
        if error.errno not in _NO_SECOND_NAMES:
            raise
        # Some file systems have no second names: there an empty file takes the place first.
        os.close(held.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        held.replace(temporary, name)


def remove_file(path: str, *, inside: str | None = None, last_look: Callable[[], None] | None = None) -> str | None:
    """Remove a file; of a link, what it leads to.  The rest is as for :func:`write_atomic`."""
    try:
        with place(path, inside) as (held, name):
            _changeable(held, name, path)
            if last_look is not None:
                last_look()
            held.remove(name)
            return next(_synced(held), None)
    except OSError as error:
        raise system_fault(error, path, "cannot be removed") from None


def _write_beside(
    held: HeldDirectory, name: str, content: bytes, old: os.stat_result | None, mode: int | None, new_mode: int
) -> tuple[str, list[str]]:
    """Write a temporary file into a file's directory; its name, and what the old file has that it has not, in words."""
    lost: list[str] = []
    temporary = f".{name}.{os.urandom(8).hex()}.tmp"
    fresh = new_mode if old is None and mode is None else 0o600
    descriptor = held.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, fresh)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if old is None:
                held.give(descriptor)
            if old is not None or mode is not None:
                _set_owner_and_mode(descriptor, old, mode)
            if old is not None and (names := copy_attributes(held, name, descriptor, access=mode is None)):
                lost.append(f"has lost its extended attributes {', '.join(names)}")
            os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            held.remove(temporary)
        raise
    if old is not None and old.st_nlink > 1:
        lost.append("has other names (hard links), which still lead to the old text")
    return temporary, lost


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


def _synced(held: HeldDirectory) -> Iterator[str]:
    """Have the change survive a power failure; what is to be told where that is not sure: it was made all the same."""
    try:
        held.sync()
    except OSError as error:
        yield f"the change in {held.path} was made, but may not survive a power failure: {error.strerror}"
