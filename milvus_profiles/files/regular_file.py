"""Opening a file that somebody else may have put there: it never waits, and it never reads without end.

A FIFO waits for a writer that never comes, a device gives bytes for ever, and to open some of them already does
something.  So only what is a regular file is read, judged once more on the open descriptor, and only so many bytes; and
what a shell gives in the place of one (``/dev/stdin``, the ``/dev/fd/63`` of ``<(…)``, ``/dev/null``), which is kept
for the process, since a pipe gives what it holds only once.  It imports nothing of this package, since completion asks
here on every press of the tab key.
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


def flags(*names: str) -> int:
    """The flags of os.open by these names, as far as the system has them."""
    return sum(getattr(os, name, 0) for name in names)


CONFIGURATION_LIMIT = 64 << 20
"""Bytes of a configuration file: 65,536 profiles take a tenth of it."""
PEM_LIMIT = 1 << 20
"""Bytes of a file of certificates or keys: all the roots of a browser take a quarter of it."""
STATE_LIMIT = 16 << 20
"""Bytes of a file in which this program remembers something."""

_CHUNK = 1 << 20
_PIECE = 1 << 12
# Without O_NONBLOCK the open itself waits for a FIFO's writer; a regular file ignores it.
_FLAGS = os.O_RDONLY | flags("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")


class FileFault(Exception):
    """A file cannot be read, or is none.

    The reason is the end of a sentence: ``"is not a file but a FIFO (a pipe)"``, ``"cannot be read: …"``.
    """

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
    """All bytes that were read, and what the open file itself said of its owner and its mode; it shows none of it.

    No dataclass: to import those takes longer than to read the file.
    """

    __slots__ = ("content", "status")

    def __init__(self, content: bytes, status: os.stat_result) -> None:
        self.content = content
        self.status = status


def read_regular(path: str, limit: int) -> RegularFile:
    """Read a regular file whole; links are followed.

    Raises:
        FileFault: there is none, it is no regular file, it has more bytes than the limit, or it cannot be read.
    """
    descriptor, status = open_file(path)
    return read_open(descriptor, limit, status)


def read_open(descriptor: int, limit: int, status: os.stat_result | None = None) -> RegularFile:
    """Read whole what is open, if it is a regular file, and close it.

    ``status`` is what os.fstat says of it, where that is known already, and that it is a regular file.  Errors are
    those of :func:`read_regular`.
    """
    try:
        if status is None:
            status = os.fstat(descriptor)
            check_kind(status.st_mode)
        if status.st_size > limit:
            raise _too_large(limit)
        return RegularFile(_read(descriptor, status.st_size, limit), status)
    finally:
        os.close(descriptor)


def open_file(path: str, *, pipes: bool = False) -> tuple[int, os.stat_result]:
    """Open a file for reading, without waiting; links are followed, and the caller closes the descriptor.

    ``pipes`` takes a FIFO too, whose reads do not wait either, and a terminal, for the caller to refuse.

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


def _read(descriptor: int, size: int, limit: int, deadline: float | None = None) -> bytes:
    """All that there is; of what a deadline is for, waiting until it for each piece."""
    parts: list[bytes] = []
    total = 0
    while True:
        if deadline is not None:
            wait_readable(descriptor, deadline)
        try:
            # By what comes and not by the size: a file may be growing, and those of /proc have none.
            # In pieces of the size all the same, which need no more memory than there is to read.
            part = os.read(descriptor, min(_CHUNK, max(size - total, 0) + _PIECE, limit + 1 - total))
        except BlockingIOError:
            raise FileFault("is not a file that has an end") from None  # /proc/kmsg and its like
        except OSError as error:
            raise _fault(error) from None
        if not part:
            return parts[0] if len(parts) == 1 else b"".join(parts)
        parts.append(part)
        total += len(part)
        if total > limit:
            raise _too_large(limit)


def _too_large(limit: int) -> FileFault:
    return FileFault(f"is larger than {f'{limit >> 20} MiB' if limit >= 1 << 20 else f'{limit >> 10} KiB'}")


def _fault(error: OSError) -> FileFault:
    return FileFault(f"cannot be read: {error.strerror or type(error).__name__}", error.errno)


def check_kind(mode: int, pipes: bool = False, *, terminals: bool = False) -> None:
    """Refuse what is no regular file, by its mode; FIFOs and devices (``terminals``) may be let pass.

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
    """Whether an absolute path stands for what this process was started with, and for no file that could be written."""
    if sys.platform == "win32":
        return path.lower() in _NOTHING  # nothing else of that kind has a path there
    return _GIVEN.fullmatch(path) is not None


def read_given(path: str, limit: int, seconds: float = 30.0) -> RegularFile:
    """Read whole what a process was given (:func:`is_given`), or what was read of it before.

    FileFault where there is none, it is a terminal or a device, it is larger, or a pipe does not end in so many
    seconds.
    """
    if sys.platform == "win32":
        return RegularFile(b"", os.stat(os.devnull))
    with _LOCK:
        try:
            status = os.stat(path)
        except OSError as error:
            raise _fault(error) from None
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
        content = _read(descriptor, limit, limit, time.monotonic() + seconds)
    except TimeoutError:
        raise FileFault("is a pipe whose writer does not end") from None
    finally:
        os.close(descriptor)
    return RegularFile(content, status)


def wait_readable(descriptor: int, deadline: float) -> None:
    """Until there is something to read, or the end; TimeoutError where neither comes in time."""
    remaining = deadline - time.monotonic()
    if remaining <= 0 or sys.platform == "win32":  # where nothing can be waited for
        raise TimeoutError
    waiting = select.poll()  # not select.select, which refuses descriptors from 1024 on
    waiting.register(descriptor, select.POLLIN)
    if not waiting.poll(remaining * 1000):
        raise TimeoutError
