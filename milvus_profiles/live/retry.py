"""When connecting is tried again; without gRPC, for who only waits for a test of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..errors import DatabaseInUseError, ServerNotReadyError, UnreachableError

_PAUSE, _PAUSE_MAX = 0.1, 1.0


class RetryUntilReady:
    """When to try again while a server is starting, or cannot be reached yet, and there is time to wait.

    Args:
        wait_ready: seconds to wait; None or 0 tries once.
        clock: monotonic seconds.
    """

    def __init__(self, wait_ready: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._wait_ready = wait_ready
        self._clock = clock
        self._until = clock() + (wait_ready or 0.0)
        self._pause = _PAUSE

    def pause_after(self, error: ServerNotReadyError | UnreachableError) -> float | None:
        """Seconds until the next try; None if this one was the last, and then ``error`` says how long was waited."""
        pause = self._pause
        if isinstance(error, DatabaseInUseError) or self._clock() + pause >= self._until:
            if self._wait_ready:
                error.message = f"{error.message} (waited {self._wait_ready:g} s)"
            return None
        self._pause = min(pause * 1.6, _PAUSE_MAX)
        return pause
