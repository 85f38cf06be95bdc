"""What the worker of a pool has others do, and what others have it do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from ..background import Latch
from ..errors import PoolError, ThreadStartError
from .core import Core
from .state import CheckHealth, Close, Member, Open

__all__ = ["LOST", "CoreCall", "Event", "Job", "closed", "open_failed"]

Event = Callable[[Core, float], Any]
"""Tells the core something; the second argument is the time."""

LOST = 1.0
"""Seconds after which a job that has not begun is taken to have lost its thread."""


class Job:
    """An action that a thread of its own carries out.

    Args:
        action: what.
        work: does it, and returns what the core is to be told.
        inbox: the worker's, which is woken at the end.

    Attributes:
        begun: its thread runs, or ran.
    """

    __slots__ = ("_asked", "_inbox", "_report", "_running", "_work", "action", "begun")

    def __init__(self, action: Open | Close | CheckHealth, work: Callable[[], Event], inbox: SimpleQueue[None]) -> None:
        self.action = action
        self.begun = False
        self._work = work
        self._inbox = inbox
        self._running = threading.Lock()
        self._report: Event | None = None
        self._asked = time.monotonic()

    def run(self) -> None:
        """Carry it out; once, however often it is begun."""
        try:
            with self._running:
                if not self.begun:
                    self.begun = True
                    self._report = self._work()
        finally:
            self._inbox.put(None)

    def is_lost(self) -> bool:
        """Whether it is to be begun again: its thread was ended before it began, or before it had closed a channel."""
        if self._report is not None or self._running.locked() or time.monotonic() < self._asked + LOST:
            return False
        if self.begun and not isinstance(self.action, Close):
            return False
        self._asked = time.monotonic()
        self.begun = False
        return self._report is None

    def not_started(self, error: ThreadStartError) -> None:
        """There is no thread for it."""
        member = self.action.member
        # Without a test it is as good as it was.
        untested = isinstance(self.action, CheckHealth)
        self._report = (lambda core, now: core.tested(member, True, now)) if untested else open_failed(member, error)
        self.begun = True
        self._inbox.put(None)

    def outcome(self) -> Event | None:
        """What the core is to be told; None as long as it goes on."""
        if self._report is not None or not self.begun or self._running.locked():
            return self._report
        if self._report is not None:
            return self._report  # just now
        # Its thread ended without a word: it failed, or somebody threw an exception into it.
        member = self.action.member
        if isinstance(self.action, Open):
            return open_failed(member, PoolError("opening the connection was interrupted", hint="try again"))
        if isinstance(self.action, CheckHealth):
            return lambda core, now: core.tested(member, False, now)
        return None  # closing is begun again


def open_failed(member: Member, cause: BaseException) -> Event:
    """Tells that a channel could not be opened."""
    return lambda core, now: core.open_failed(member, cause, now)


def closed(member: Member) -> Event:
    """Tells that a channel is closed."""
    return lambda core, _: core.closed(member)


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
        """Tell the core; the lock is held.

        Returns:
            Whether that came to its end.
        """
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
