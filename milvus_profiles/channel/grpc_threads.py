"""Sees, before gRPC starts its threads, that there are some to be had.

gRPC starts them with the first open channel of a process and ends them with the last one.  Where it cannot, it ends the
process ("Failed to start lifeguard thread", grpcio 1.85), so nobody would learn why.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from typing import Any, Final, TypeVar

from ..background import require, start_new

__all__ = ["closing", "need_threads", "open_channels", "opened"]

C = TypeVar("C")

_FURTHER: Final = 8
"""Threads that gRPC starts beside those for work, of which there is one for each processor, from 2 to 16; and some to
spare for who else starts threads just now."""

_Ground = tuple[int, tuple[Any, ...]]

_GOOD_FOR: Final = 1.0
"""Seconds for which a look that found threads is believed, as long as this process has the same limits and no more
threads than then: it takes 2 ms, half as long as connecting, and a program may open one channel after the other."""

_looked: dict[bool, tuple[float, _Ground | None]] = {}
"""When they were found last, for asyncio and otherwise, and on what that stood."""

_open: weakref.WeakSet[Any] = weakref.WeakSet()
"""Channels because of which gRPC's threads run.  What others opened is not among them, and then the look is for
nothing."""


def need_threads(*, for_asyncio: bool = False) -> None:
    """See that opening a channel will not end the process; ThreadStartError where there are not enough threads."""
    ground = _ground()
    if for_asyncio and not _holds(True, ground):  # which waits in a thread of Python's besides
        start_new(lambda: None, "milvus-profiles look")
        _looked[True] = time.monotonic(), ground
    if not _open and not _holds(False, ground):
        require(max(2, min(16, os.cpu_count() or 1)) + _FURTHER)
        _looked[False] = time.monotonic(), ground


def _ground() -> _Ground | None:
    """What a look depends on in this process: how many threads run, and its limits; None where that is not known."""
    if sys.platform == "win32":
        return None
    import resource

    try:
        threads = len(os.listdir("/proc/self/task"))
    except OSError:
        return None
    return threads, (os.getpid(), resource.getrlimit(resource.RLIMIT_NPROC), resource.getrlimit(resource.RLIMIT_AS))


def _holds(for_asyncio: bool, ground: _Ground | None) -> bool:
    """Whether what the last look found still holds."""
    at, last = _looked.get(for_asyncio, (0.0, None))
    if last is None or ground is None:
        return False
    return ground[1] == last[1] and ground[0] <= last[0] and time.monotonic() - at < _GOOD_FOR


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
