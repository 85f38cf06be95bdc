"""When a piece of work has to be done: one moment that every step on the way to a connection shares.

It knows a monotonic clock, which is handed in, and nothing of what is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Clock", "Deadline"]

Clock = Callable[[], float]
"""Tells seconds from an arbitrary beginning, never backwards: ``time.monotonic``, or a test's own."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a monotonic clock.

    Attributes:
        at: the moment, in seconds of ``clock``.
        clock: what tells the time.
    """

    at: float
    clock: Clock = field(default=time.monotonic, repr=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """The moment some seconds from now."""
        return cls(clock() + seconds, clock)

    @property
    def remaining(self) -> float:
        """Seconds that are left; 0 once it has passed, never below."""
        return max(0.0, self.at - self.clock())

    @property
    def has_passed(self) -> bool:
        """Whether nothing is left."""
        return self.remaining == 0.0

    def sooner(self, seconds: float) -> Deadline:
        """This moment, or the one some seconds from now if that comes before it."""
        return Deadline(min(self.at, self.clock() + seconds), self.clock)
