"""Opening a file that somebody else may have put there: it never waits, and it never reads without end.

A FIFO in place of a file waits for a writer that never comes, a device gives bytes for ever, and to open some of them
already does something.  So whatever is read goes through here: only what is a regular file, judged once more on the
open descriptor, and only so many bytes of it.  It imports nothing of this package, since completion asks here on every
press of the tab key; the words of its one exception are for whoever calls to put into an error with a place and a
remedy.

What a shell gives in the place of a file (``/dev/stdin``, the ``/dev/fd/63`` of ``<(…)``, ``/dev/null``) is read here
too.  A pipe gives what it holds only once, and programs ask more than once: what was read is kept for the process.
"""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import sys
import threading
import time
from collections.abc import Callable

CONFIGURATION_LIMIT = 64 << 20
"""Bytes of a configuration file: 65,536 profiles take a tenth of it."""
PEM_LIMIT = 1 << 20
"""Bytes of a file of certificates or keys: all the roots of a browser take a quarter of it."""
STATE_LIMIT = 16 << 20
"""Bytes of a file in which this program remembers something."""

_CHUNK = 1 << 20
_PIECE = 1 << 12
# Without O_NONBLOCK the open itself waits for a FIFO's writer; a regular file ignores it.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class FileFault(Exception):
    """A file cannot be read, or is none.

    Args:
        reason: why, as the end of a sentence: ``"is not a file but a FIFO (a pipe)"``, ``"cannot be read: …"``.
        errno: the operating system's number of the error; None where it is none of its.
    """

    reason: str
    errno: int | None

    def __init__(self, reason: str, errno: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.errno = errno

    @property
    def sentence(self) -> str:
        """The reason as a whole sentence, for a message that has the path beside it."""
        return f"{'that' if self.reason.startswith('is not') or 'is a ' in self.reason else 'the file'} {self.reason}"


def is_pem(content: bytes) -> bool:
    """Whether a certificate or a key begins somewhere in what a file holds."""
    return b"-----BEGIN " in content


class RegularFile:
    """What was read, and what the open file itself said of its owner and its mode; it shows none of it.

    No dataclass: to import those takes longer than to read the file.

    Args:
        content: all of its bytes.
        status: as os.fstat gives it.
    """

    __slots__ = ("content", "status")

    def __init__(self, content: bytes, status: os.stat_result) -> None:
        self.content = content
        self.status = status


def read_regular(path: str, limit: int) -> RegularFile:
    """Read a regular file whole.

    Args:
        path: links are followed.
        limit: bytes that it may have.

    Raises:
        FileFault: there is none, it is no regular file, it is larger, or it cannot be read.
    """
    descriptor, status = open_file(path)
    return read_open(descriptor, limit, status)


def read_open(descriptor: int, limit: int, status: os.stat_result | None = None) -> RegularFile:
    """Read whole what is open, if it is a regular file.

    Args:
        descriptor: it is closed.
        limit: bytes that it may have.
        status: what os.fstat says of it, where that is known already, and that it is a regular file.

    Raises:
        FileFault: as :func:`read_regular`.
    """
    try:
        if status is None:
            status = os.fstat(descriptor)
            check_kind(status.st_mode)
        content = _read(descriptor, status.st_size, limit)
    finally:
        os.close(descriptor)
    if content is None:
        shown = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit >> 10} KiB"
        raise FileFault(f"is larger than {shown}")
    return RegularFile(content, status)


def open_file(path: str, *, pipes: bool = False) -> tuple[int, os.stat_result]:
    """Open a file for reading, without waiting.

    Args:
        path: links are followed.
        pipes: take a FIFO too, whose reads do not wait either, and a terminal, for the caller to refuse.

    Returns:
        The descriptor, for the caller to close, and its status.

    Raises:
        FileFault: there is none, it is of another kind, or it cannot be opened.
    """
    try:
        # Looked at before it is opened, because to open a device may do something.
        check_kind(os.stat(path).st_mode, pipes, terminals=pipes)
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        raise _fault(error) from None
    except ValueError:
        raise FileFault("is not the name of a file: it holds a character that none can have") from None
    try:
        # And after it, because there may be something else by now.
        status = os.fstat(descriptor)
        check_kind(status.st_mode, pipes, terminals=pipes and os.isatty(descriptor))
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, OSError):
            raise _fault(error) from None
        raise
    return descriptor, status


def _read(descriptor: int, size: int, limit: int) -> bytes | None:
    """All that there is; None if that is more than the limit."""
    if size > limit:
        return None
    parts: list[bytes] = []
    total = 0
    try:
        # By what comes and not by the size: a file may be growing, and those of /proc have none.
        # In pieces of the size all the same, which need no more memory than there is to read.
        while part := os.read(descriptor, min(_CHUNK, max(size - total, 0) + _PIECE, limit + 1 - total)):
            parts.append(part)
            total += len(part)
            if total > limit:
                return None
    except BlockingIOError:
        raise FileFault("is not a file that has an end") from None  # /proc/kmsg and its like
    except OSError as error:
        raise _fault(error) from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _fault(error: OSError) -> FileFault:
    return FileFault(f"cannot be read: {error.strerror or type(error).__name__}", error.errno)


def check_kind(mode: int, pipes: bool = False, *, terminals: bool = False) -> None:
    """Refuse what is no regular file.

    Args:
        mode: what os.stat says of it.
        pipes: let a FIFO pass.
        terminals: let a device pass.

    Raises:
        FileFault: it is of another kind.
    """
    if stat.S_ISREG(mode) or (pipes and stat.S_ISFIFO(mode)) or (terminals and stat.S_ISCHR(mode)):
        return
    if stat.S_ISDIR(mode):
        raise FileFault("is a directory", errno.EISDIR)
    if stat.S_ISFIFO(mode):
        kind = "a FIFO (a pipe)"
    elif stat.S_ISSOCK(mode):
        kind = "a socket"
    else:
        kind = "a device"
    raise FileFault(f"is not a file but {kind}")


_GIVEN = re.compile(r"/dev/(?:stdin|null|fd/\d+)|/proc/(?:self|thread-self|\d+)/fd/\d+")
_NOTHING = ("nul", "\\\\.\\nul")
"""How Windows calls the null device, and as an absolute path."""


_LOCK = threading.Lock()
_KEPT: dict[tuple[str, int, int], Callable[[], RegularFile]] = {}


def is_given(path: str) -> bool:
    """Whether a path stands for what this process was started with, and for no file that could be written.

    Args:
        path: absolute path.
    """
    if sys.platform == "win32":
        return path.lower() in _NOTHING  # nothing else of that kind has a path there
    return _GIVEN.fullmatch(path) is not None


def read_given(path: str, limit: int, seconds: float = 30.0) -> RegularFile:
    """Read whole what a process was given, or what was read of it before.

    Args:
        path: one of those that :func:`is_given` knows.
        limit: bytes that it may have.
        seconds: how long a pipe may take to give all of it.

    Raises:
        FileFault: there is none, it is a terminal or a device, it is larger, or it does not end in time.
    """
    if sys.platform == "win32":
        return RegularFile(b"", os.stat(os.devnull))
    else:  # noqa: RET505  # mypy looks for no name where it knows the platform
        return _read_given(path, limit, seconds)


if sys.platform != "win32":

    def _read_given(path: str, limit: int, seconds: float) -> RegularFile:
        with _LOCK:
            try:
                status = os.stat(path)
            except OSError as error:
                raise FileFault(f"cannot be read: {error.strerror}", error.errno) from None
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == os.stat(os.devnull).st_rdev:
                return RegularFile(b"", status)
            key = (path, status.st_dev, status.st_ino)
            if (known := _KEPT.get(key)) is not None:
                return known()
            read = _read_once(path, limit, seconds)
            _KEPT[key] = lambda: read
            return read

    def _read_once(path: str, limit: int, seconds: float) -> RegularFile:
        descriptor, status = open_file(path, pipes=True)
        if stat.S_ISREG(status.st_mode):
            return read_open(descriptor, limit, status)
        try:
            if os.isatty(descriptor):
                raise FileFault("is a terminal")
            return RegularFile(_drained(descriptor, limit, time.monotonic() + seconds), status)
        finally:
            os.close(descriptor)

    def _drained(descriptor: int, limit: int, deadline: float) -> bytes:
        content = bytearray()
        waiting = select.poll()  # not select.select, which refuses descriptors from 1024 on
        waiting.register(descriptor, select.POLLIN)
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not waiting.poll(remaining * 1000):
                raise FileFault("is a pipe whose writer does not end")
            part = os.read(descriptor, _CHUNK)
            if not part:
                return bytes(content)
            content += part
            if len(content) > limit:
                raise FileFault(f"is larger than {limit >> 20} MiB")
