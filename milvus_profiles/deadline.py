"""When a piece of work has to be done: one moment that every step on the way to a connection shares.

It knows a monotonic clock, which is handed in, and nothing of what is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .errors import ParamError

__all__ = ["Clock", "Deadline", "seconds_of"]

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


def seconds_of(name: str, given: Any) -> float:
    """The seconds that a caller gave.

    Args:
        name: of the argument.
        given: what it got.

    Raises:
        ParamError: it is no number.
    """
    if hasattr(given, "__float__") and not isinstance(given, bool):
        try:
            seconds = float(given)
        except (TypeError, ValueError, OverflowError):  # an array, or an integer of a thousand digits
            seconds = float("nan")
        if seconds == seconds:
            return seconds
    raise ParamError(f"{name} is a number of seconds, not a value of the type {type(given).__name__}")
