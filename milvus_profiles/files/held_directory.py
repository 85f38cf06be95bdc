"""A directory that is held open: what is looked at, made and removed in it is in what was opened, wherever its path
leads by now.

Directories below it are entered one by one, so that no link is followed that was not asked for.  Extended attributes,
access control lists among them, are copied here where the system has them.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from .regular_file import flags

_DIRECTORY = os.O_RDONLY | flags("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC")
_FILE = flags("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
# Windows opens no directories: there they are named by their paths, and looked at before they are entered.
_HAS_DESCRIPTORS = os.open in os.supports_dir_fd and os.scandir in os.supports_fd
# Some network and FUSE file systems do not know how to sync a directory; they order renames by themselves.  EBADF is
# for a directory that may be passed through and not read.
_NO_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
_RETRIED_FOR = 1.0
"""Seconds for which Windows is asked again to replace or remove a file that another process is reading."""
_NAME_SURROGATE = 0x20000000
"""The bit in the tags of reparse points that lead elsewhere (Microsoft's ``IsReparseTagNameSurrogate``)."""


class HeldDirectory:
    """A directory that is held open; its ``path`` is without links.

    Args:
        path: where it is.
        parent: the directory that ``path``'s last part is in, where that may be no link; None follows links.
        passing: only to enter what is in it, which takes no permission to read its names.

    Raises:
        OSError: it is not there, is no directory, or is a link.
    """

    def __init__(self, path: str, parent: HeldDirectory | None = None, *, passing: bool = False) -> None:
        self.path = path if parent is not None else os.path.realpath(path)
        self._descriptor: int | None = None
        how = _DIRECTORY | (flags("O_PATH") if passing else 0)
        if not _HAS_DESCRIPTORS:
            status = os.lstat(self.path)
            if is_link(status) or not stat.S_ISDIR(status.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        elif parent is None:
            self._descriptor = os.open(self.path, how)
        else:
            self._descriptor = os.open(os.path.basename(path), how, dir_fd=parent._descriptor)

    def _at(self, name: str) -> str:
        return name if self._descriptor is not None else os.path.join(self.path, name)

    def enter(self, name: str, *, passing: bool = False) -> HeldDirectory:
        """Hold a directory in it, which may be no link; ``passing`` and errors are as for the class."""
        return HeldDirectory(os.path.join(self.path, name), self, passing=passing)

    def status(self, name: str) -> os.stat_result:
        """What stands in it under a name; of a link the link itself.  OSError where nothing does."""
        return os.stat(self._at(name), dir_fd=self._descriptor, follow_symlinks=False)

    def leads_away(self, name: str) -> bool:
        """Whether a link stands in it under a name."""
        with suppress(FileNotFoundError):
            return is_link(self.status(name))
        return False

    def open(self, name: str, how: int, mode: int = 0o600) -> int:
        """A descriptor of a file in it, which may be no link; opening waits for nobody."""
        return os.open(self._at(name), how | _FILE, mode, dir_fd=self._descriptor)

    def give(self, descriptor: int) -> None:
        """Give what root made in another user's directory to that user, whom it would shut out otherwise.

        The descriptor is of a new file, or of a directory with nothing in it.
        """
        if sys.platform != "win32" and os.geteuid() == 0 and (owner := self.own_status).st_uid != 0:
            with suppress(OSError):  # some file systems give nothing away
                os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def make(self, name: str, mode: int = 0o777) -> None:
        """Make a directory in it; OSError where it cannot be made, or something stands there."""
        os.mkdir(self._at(name), mode, dir_fd=self._descriptor)

    def replace(self, old: str, new: str) -> None:
        """Give what stands under one name another one, in place of a file or link that stands there.

        OSError where it cannot be; on Windows also where another process has it open for longer than a second.
        """
        at = self._descriptor
        _retried(lambda: os.replace(self._at(old), self._at(new), src_dir_fd=at, dst_dir_fd=at))

    def link(self, old: str, new: str) -> None:
        """Give a file a second name; OSError where something stands there, or the file system has no second names."""
        if sys.platform == "win32":
            os.link(self._at(old), self._at(new))
        else:
            at = self._descriptor
            os.link(self._at(old), self._at(new), src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)

    def remove(self, name: str, *, retry: bool = True) -> None:
        """Remove a file, or of a link the link itself; errors and ``retry`` are as for :meth:`replace`."""
        if not retry:
            return os.unlink(self._at(name), dir_fd=self._descriptor)
        return _retried(lambda: os.unlink(self._at(name), dir_fd=self._descriptor))

    @contextmanager
    def names(self) -> Iterator[Iterator[str]]:
        """The names of what stands in it, in no order."""
        with os.scandir(self.path if self._descriptor is None else self._descriptor) as entries:
            yield (entry.name for entry in entries)

    @property
    def is_empty(self) -> bool:
        with self.names() as names:
            return next(names, None) is None

    def made(self, name: str, mode: int) -> HeldDirectory:
        """Hold a directory in it, which is made where there is none; the rest is as for :meth:`make`."""
        try:
            self.make(name, mode)
        except FileExistsError:
            return self.enter(name)
        self.sync()
        held = self.enter(name)
        # Whoever may write here may have put another one there meanwhile.
        if held._descriptor is not None and held.is_empty:
            self.give(held._descriptor)
        return held

    @property
    def own_status(self) -> os.stat_result:
        return os.stat(self.path if self._descriptor is None else self._descriptor)

    def sync(self) -> None:
        """Have what was made, renamed or removed in it survive a power failure, where its file system can."""
        if self._descriptor is None:
            return
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            if error.errno not in _NO_SYNC:
                raise

    def close(self) -> None:
        """Let it go; doing it twice does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> HeldDirectory:  # noqa: PYI034  # Self is not in Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_link(status: os.stat_result) -> bool:
    """Whether it leads elsewhere: a symbolic link, or what Windows has of that kind, such as a junction.

    A file or directory that OneDrive keeps is a reparse point there too, and leads nowhere.
    """
    return stat.S_ISLNK(status.st_mode) or bool(getattr(status, "st_reparse_tag", 0) & _NAME_SURROGATE)


def _retried(change: Callable[[], None]) -> None:
    """Do it; on Windows again and again while another process has the file open, which keeps it in its place."""
    until = time.monotonic() + _RETRIED_FOR
    while True:
        try:
            return change()
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() >= until:
                raise
        time.sleep(0.01)


_ACCESS = "system.posix_acl_access"
# The kernel's own words about the content.
_OF_THE_CONTENT = frozenset({"security.ima", "security.evm"})


def copy_attributes(held: HeldDirectory, name: str, target: int, *, access: bool) -> list[str]:
    """Give a new file the extended attributes of the one whose place it takes; the names of those that it lost.

    It has the owner and mode already.  ``access`` is for the access control list, as long as both have the same owner
    and group.
    """
    if sys.platform != "linux":
        return []
    try:
        source = held.open(name, os.O_RDONLY)
    except OSError:
        return []  # what cannot be read has been edited by nobody
    lost = []
    try:
        ours, theirs = os.fstat(target), os.fstat(source)
        same = (ours.st_uid, ours.st_gid) == (theirs.st_uid, theirs.st_gid)
        names: list[str] = []
        with suppress(OSError):  # the file system has none
            names = sorted(set(os.listxattr(source)) - _OF_THE_CONTENT)
        for one in names:
            if one == _ACCESS and not (access and same):
                lost += [one] if access else []
                continue
            try:
                value = os.getxattr(source, one)
                if one not in os.listxattr(target) or os.getxattr(target, one) != value:
                    os.setxattr(target, one, value)
            except OSError:
                lost.append(one)
    finally:
        os.close(source)
    return lost
