"""Sees, before gRPC starts its threads, that there are some to be had.

gRPC starts them with the first open channel of a process and ends them with the last one.  Where it cannot, it ends the
process ("Failed to start lifeguard thread", grpcio 1.85), so nobody would learn why.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from typing import Any, Final, NamedTuple, TypeVar

from ..background import require, start

__all__ = ["closing", "need_threads", "open_channels", "opened"]

C = TypeVar("C")

_FURTHER: Final = 8
"""Threads that gRPC starts beside those for work, of which there is one for each processor, from 2 to 16; and some to
spare for who else starts threads just now."""

_GOOD_FOR: Final = 1.0
"""Seconds for which a look that found threads is believed, as long as this process has the same limits and no more
threads than then: it takes 2 ms, half as long as connecting, and a program may open one channel after the other."""

_looked: dict[bool, _Look] = {}
"""The last that found them, for asyncio and otherwise."""

_open: weakref.WeakSet[Any] = weakref.WeakSet()
"""Channels because of which gRPC's threads run.  What others opened is not among them, and then the look is for
nothing."""


def need_threads(*, for_asyncio: bool = False) -> None:
    """See that opening a channel will not end the process; ThreadStartError where there are not enough threads."""
    now = _Look.now()
    if for_asyncio and not now.follows(_looked.get(True)):  # which waits in a thread of Python's besides
        start(lambda: None, "milvus-profiles look")
        _looked[True] = now
    if not _open and not now.follows(_looked.get(False)):
        require(max(2, min(16, os.cpu_count() or 1)) + _FURTHER)
        _looked[False] = now


class _Look(NamedTuple):
    """What a look for threads depends on in this process.

    Attributes:
        at: monotonic seconds.
        limits: of processes and memory.
        threads: how many run; None where the system does not tell.
    """

    at: float
    limits: tuple[Any, ...]
    threads: int | None

    @classmethod
    def now(cls) -> _Look:
        if sys.platform == "win32":
            return cls(time.monotonic(), (), None)
        import resource

        limits = *map(resource.getrlimit, (resource.RLIMIT_NPROC, resource.RLIMIT_AS)), os.getpid()
        try:
            threads: int | None = len(os.listdir("/proc/self/task"))
        except OSError:
            threads = None
        return cls(time.monotonic(), limits, threads)

    def follows(self, last: _Look | None) -> bool:
        """Whether what the last one found still holds."""
        if last is None or last.threads is None or self.threads is None:
            return False
        return self.limits == last.limits and self.threads <= last.threads and self.at - last.at < _GOOD_FOR


def opened(channel: C) -> C:
    """Note a channel, and return it."""
    _open.add(channel)
    return channel


def closing(channel: object) -> None:
    """Note that a channel is closed now; it need not be known."""
    _open.discard(channel)


def open_channels() -> list[Any]:
    """Those that are open, for a forked child to keep: where they are dropped, gRPC closes what is the parent's."""
    return list(_open)
