"""The end of a test that nobody wants any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Cancellation", "Cancelled"]


class Cancelled(Exception):
    """Whoever asked for the test wants it no more."""


class Cancellation:
    """Ends a test from another thread: nothing new begins, and what waits for the server is closed."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._guard = threading.Lock()
        self._close: Callable[[], None] | None = None

    def cancel(self) -> None:
        """End the test, now or as soon as it can."""
        self._wanted.set()
        with self._guard:
            close, self._close = self._close, None
        if close is not None:
            close()

    def check(self) -> None:
        """Raise Cancelled if somebody cancelled."""
        if self._wanted.is_set():
            raise Cancelled

    def pause(self, seconds: float) -> None:
        """Wait; raise Cancelled if somebody cancels meanwhile."""
        self._wanted.wait(seconds)
        self.check()

    @contextmanager
    def closing(self, close: Callable[[], None]) -> Iterator[None]:
        """Have something closed at once when the test is cancelled: from any thread, and beside the one that ends the
        test in order."""
        with self._guard:
            self._close = close
        try:
            self.check()
            yield
        finally:
            with self._guard:
                self._close = None
