"""A look at a server that begins before there is anybody to see what comes of it.

What a look waits for is the network, so it can wait while the program still imports what will judge it.
"""

from __future__ import annotations

import queue
from contextlib import suppress

from ..background import Pending
from ..deadline import Deadline
from ..errors import ThreadStartError
from .sockets import Resolution, Route, TCPOutcome, connect_first, resolve

__all__ = ["EarlyLook"]

_GRACE = 1.0
"""Seconds for a thread to say that its time is over, on a busy machine."""
_STALE = 5.0
"""Seconds after its end at which a look says nothing about now."""


class EarlyLook:
    """Name resolution and TCP on a route, begun at once in a thread of its own; no byte is sent.

    Args:
        route: where to.
        seconds: the time for it, from when the thread runs.

    Attributes:
        deadline: when that is over.

    Raises:
        ThreadStartError: no thread can be started.
    """

    def __init__(self, route: Route, seconds: float) -> None:
        self.deadline = Deadline.after(seconds)
        self._for = route, seconds
        resolved: queue.SimpleQueue[Resolution] = queue.SimpleQueue()
        self._resolved = resolved

        def look() -> tuple[TCPOutcome, ...] | None:
            # Anew: while much is imported a thread may wait for its turn, and that takes nothing from anybody's time.
            deadline = self.deadline = Deadline.after(seconds)
            resolution = resolve(route, deadline)
            resolved.put(resolution)
            return connect_first(resolution.addresses, deadline)

        self._pending: Pending[tuple[TCPOutcome, ...] | None] = Pending(look, lambda _: None, "milvus-profiles look")

    def fits(self, route: Route, seconds: float) -> bool:
        """Whether it is the look that somebody wants now who allows it so many seconds."""
        return self._for == (route, seconds) and self.deadline.clock() < self.deadline.at + _STALE

    def resolution(self) -> Resolution | None:
        """What the name resolution said, given once; None where nothing is known."""
        with suppress(queue.Empty):
            return self._resolved.get(timeout=self.deadline.remaining + _GRACE)
        return None

    def attempts(self) -> tuple[TCPOutcome, ...] | None:
        """What became of the attempts to connect, given once; None where nothing is known."""
        with suppress(TimeoutError, ThreadStartError):
            return self._pending.wait(self.deadline.remaining + _GRACE)
        return None
