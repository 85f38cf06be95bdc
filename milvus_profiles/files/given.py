"""What a shell puts in the place of a file: ``/dev/stdin``, the ``/dev/fd/63`` of ``<(…)``, ``/dev/null``.

A pipe gives what it holds only once, and programs ask more than once: what was read is kept for the process.
"""

from __future__ import annotations

import os
import re
import select
import stat
import sys
import threading
import time
from collections.abc import Callable

from .regular_file import FileFault, RegularFile, open_file, read_open

__all__ = ["is_given", "read_given"]

_GIVEN = re.compile(r"/dev/(?:stdin|null|fd/\d+)|/proc/(?:self|thread-self|\d+)/fd/\d+")
_NOTHING = ("nul", "\\\\.\\nul")
"""How Windows calls the null device, and as an absolute path."""
_CHUNK = 1 << 16

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
            read = _read(path, limit, seconds)
            _KEPT[key] = lambda: read
            return read

    def _read(path: str, limit: int, seconds: float) -> RegularFile:
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
