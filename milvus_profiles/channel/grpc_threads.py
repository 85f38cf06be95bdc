"""Sees, before gRPC starts its threads, that there are some to be had.

gRPC starts them with the first open channel of a process and ends them with the last one.  Where it cannot, it ends the
process ("Failed to start lifeguard thread", grpcio 1.85), so nobody would learn why.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import Any, Final, TypeVar

from ..background import require, start
from ..files.regular_file import FileFault, read_regular

__all__ = ["closing", "need_threads", "open_channels", "opened"]

C = TypeVar("C")

_FURTHER: Final = 8
"""Threads that gRPC starts beside those for work, of which there is one for each processor, from 2 to 16; and some to
spare for who else starts threads just now."""

_open: weakref.WeakSet[Any] = weakref.WeakSet()
"""Channels because of which gRPC's threads run."""

_TASKS: Final = "/proc/self/task"
_NAMED: Final = 64
"""Threads whose names are read at most, the youngest; each costs a few microseconds."""


def need_threads(*, for_asyncio: bool = False) -> None:
    """See that opening a channel will not end the process; ThreadStartError where there are not enough threads."""
    if for_asyncio:  # which waits in a thread of Python's besides
        start(lambda: None, "milvus-profiles look")
    if not _open and not _run():
        require(max(2, min(16, os.cpu_count() or 1)) + _FURTHER)


def _run() -> bool:
    """Whether gRPC's threads run because of a channel that others opened, where the system (Linux) tells."""
    with contextlib.suppress(OSError):
        for task in sorted(os.listdir(_TASKS), key=int)[-_NAMED:]:
            with contextlib.suppress(FileFault):  # it has ended meanwhile
                if read_regular(f"{_TASKS}/{task}/comm", 64).content == b"lifeguard\n":
                    return True
    return False


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
