"""Sees, before gRPC starts its threads, that there are some to be had.

gRPC starts them with the first open channel of a process and ends them with the last one.  Where it cannot, it ends the
process ("Failed to start lifeguard thread", grpcio 1.85), so nobody would learn why.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, Final, TypeVar

from ..background import require, start

__all__ = ["closing", "need_threads", "open_channels", "opened"]

C = TypeVar("C")

_FURTHER: Final = 8
"""Threads that gRPC starts beside those for work, of which there is one for each processor, from 2 to 16; and some to
spare for who else starts threads just now."""

_open: weakref.WeakSet[Any] = weakref.WeakSet()
"""Channels because of which gRPC's threads run.  What others opened is not among them, and then the look is for
nothing."""


def need_threads(*, for_asyncio: bool = False) -> None:
    """See that opening a channel will not end the process; ThreadStartError where there are not enough threads."""
    if for_asyncio:  # which waits in a thread of Python's besides
        start(lambda: None, "milvus-profiles look")
    if not _open:
        require(max(2, min(16, os.cpu_count() or 1)) + _FURTHER)


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
