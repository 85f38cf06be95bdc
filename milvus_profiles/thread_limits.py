"""Whether there are threads to be had, for what would end badly without: it is an error with a remedy then."""

from __future__ import annotations

import _thread
import os
import threading
import time

from .errors import ThreadStartError
from .text import counted

_ENDING = 0.0002
"""Seconds between two looks whether a thread has ended."""

_ENDS = 5.0
"""Seconds that the threads which were started for a look may take to end."""


def none_left(what: str) -> ThreadStartError:
    """The error for who gets no thread; ``what`` was wanted."""
    return ThreadStartError(
        what,
        hint="end some processes or threads, or raise the limit of them (ulimit -u, the container's pids limit) or "
        "of memory (ulimit -v); at the end of the interpreter there are no new ones",
    )


def require(count: int) -> None:
    """See that so many threads can be started at once, for a library that would end the process otherwise.

    Raises:
        ThreadStartError: they cannot.
    """
    if has_threads(count):
        return
    if own := threading.stack_size():  # a library's threads have the system's stacks
        threading.stack_size(0)
        try:
            if has_threads(count):
                return
        finally:
            threading.stack_size(own)
    raise none_left(f"gRPC needs {counted(count, 'thread')}, and the system gives fewer")


def has_threads(count: int) -> bool:
    """Whether so many threads can be started at once; those that were for a look are gone then."""
    gate = threading.Lock()
    begun: list[str] = []
    ended: list[None] = []

    def stand() -> None:
        begun.append(f"/proc/self/task/{threading.get_native_id()}")
        with gate:
            pass
        ended.append(None)

    started = 0
    try:
        with gate:
            for _ in range(count):
                _thread.start_new_thread(stand, ())
                started += 1
    except (RuntimeError, MemoryError):
        pass
    # They need the interpreter to end, which a library's function that is called next may hold all the time.
    until = time.monotonic() + _ENDS
    while (len(ended) < started or any(map(os.path.exists, begun))) and time.monotonic() < until:
        time.sleep(_ENDING)
    return started == count
