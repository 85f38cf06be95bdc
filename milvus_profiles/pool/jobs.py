"""What the worker of a pool has others do, and what others have it do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple

from ..background import Latch
from ..errors import PoolError, ThreadStartError
from .core import Core, Event
from .state import CheckHealth, Close, Open

__all__ = ["LOST", "CoreCall", "Job", "Result"]

LOST = 1.0
"""Seconds after which a job that has not begun is taken to have lost its thread."""


class Result(NamedTuple):
    """What came of an action; see :meth:`Core.done`."""

    value: Any = None
    error: BaseException | None = None


class Job:
    """An action that a thread of its own carries out.

    Args:
        action: what.
        work: does it.
        inbox: the worker's, which is woken at the end.

    Attributes:
        begun: its thread runs, or ran.
    """

    __slots__ = ("_asked", "_inbox", "_result", "_running", "_work", "action", "begun")

    def __init__(
        self,
        action: Open | Close | CheckHealth,
        work: Callable[[Open | Close | CheckHealth], Result],
        inbox: SimpleQueue[None],
    ) -> None:
        self.action = action
        self.begun = False
        self._work = work
        self._inbox = inbox
        self._running = threading.Lock()
        self._result: Result | None = None
        self._asked = time.monotonic()

    def run(self) -> None:
        """Carry it out; once, however often it is begun."""
        try:
            with self._running:
                if not self.begun:
                    self.begun = True
                    self._result = self._work(self.action)
        finally:
            self._inbox.put(None)

    def is_lost(self) -> bool:
        """Whether it is to be begun again: its thread was ended before it began, or before it had closed a channel."""
        if self._result is not None or self._running.locked() or time.monotonic() < self._asked + LOST:
            return False
        if self.begun and not isinstance(self.action, Close):
            return False
        self._asked = time.monotonic()
        self.begun = False
        return self._result is None

    def not_started(self, error: ThreadStartError) -> None:
        """There is no thread for it."""
        # Without a health check it is as good as it was.
        self._result = Result(True) if isinstance(self.action, CheckHealth) else Result(error=error)
        self.begun = True
        self._inbox.put(None)

    def result(self) -> Result | None:
        """What came of it; None as long as it goes on."""
        if self._result is not None or not self.begun or self._running.locked():
            return self._result
        if self._result is not None:
            return self._result  # just now
        # Its thread ended without a word: it failed, or somebody threw an exception into it.
        if isinstance(self.action, Close):
            return None  # it is begun again
        return Result(error=PoolError("opening the connection was interrupted", hint="try again"))


class CoreCall:
    """An event that the worker tells the core on behalf of another thread.

    Attributes:
        ended: it was told.
    """

    def __init__(self, event: Event) -> None:
        self.ended = Latch()
        self._event = event
        self._answer: Any = None
        self._error: Exception | None = None

    def run(self, core: Core, now: float) -> bool:
        """Tell the core, whose lock is held; False if that did not come to its end."""
        try:
            self._answer = self._event(core, now)
        except Exception as error:
            self._error = error
            return False
        return True

    def result(self) -> Any:
        """What the core answered; None if it was not told."""
        if self._error is not None:
            raise self._error
        return self._answer
