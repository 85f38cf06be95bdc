"""What a channel remembers between calls, and what it decides from that: no threads, no waiting, time passed in.

The threaded channel and the asyncio channel share this; each guards it in its own way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from .grpc_import import grpc

__all__ = ["REFRESH_INTERVAL", "WATCH_INTERVAL", "FileWatch", "Health", "RefreshPace"]

REFRESH_INTERVAL = 5.0
"""Seconds that pass at least between two looks at a secret that the server refused."""

WATCH_INTERVAL = 30.0
"""Seconds between two looks at the certificate files of a channel whose calls go well."""

# The server, or what stands before it, answered these itself; a cancelled or expired call says nothing either way.
_SILENT = frozenset({grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN})


class Health:
    """How the calls of a channel went, for whoever decides to replace it.

    Attributes:
        consecutive_unavailable: calls that ended UNAVAILABLE since the last one that the server answered.
        last_success: when the server last answered, by the channel's clock; None if it never did.
    """

    __slots__ = ("consecutive_unavailable", "last_success")

    def __init__(self) -> None:
        self.consecutive_unavailable = 0
        self.last_success: float | None = None

    def note(self, code: grpc.StatusCode | None, now: float) -> None:
        """Count a call that ended.

        Args:
            code: its status; None where there is none, because the call never left or was interrupted.
            now: the time.
        """
        if code is grpc.StatusCode.OK:
            self.consecutive_unavailable = 0
            self.last_success = now
        elif code is grpc.StatusCode.UNAVAILABLE:
            self.consecutive_unavailable += 1
        elif code is not None and code not in _SILENT:
            # An error that the server gives is an answer: the way to it is good.
            self.consecutive_unavailable = 0
            self.last_success = now


class RefreshPace:
    """Whether a call that was refused as UNAUTHENTICATED is worth a look at the secret, or worth another try.

    Args:
        interval: seconds between two looks at least.
    """

    __slots__ = ("_interval", "_last")

    def __init__(self, interval: float = REFRESH_INTERVAL) -> None:
        self._interval = interval
        self._last: float | None = None

    def decide(self, used: int, current: int, now: float) -> Literal["again", "refresh", "give up"]:
        """What to do about the refused call; "refresh" counts as done.

        Args:
            used: generation of the token that the call went out with.
            current: generation of the token that is held now.
            now: the time.
        """
        if used != current:
            return "again"
        if self._last is not None and now - self._last < self._interval:
            return "give up"
        self._last = now
        return "refresh"


class FileWatch:
    """When a channel looks whether the files that it was opened with are still the same.

    Args:
        look: looks; returns at once.
        interval: seconds between two looks while calls go well.
        suspicious: seconds between two looks while they end UNAVAILABLE.
    """

    __slots__ = ("_interval", "_look", "_looked", "_since", "_suspicious")

    def __init__(
        self, look: Callable[[], None], interval: float = WATCH_INTERVAL, suspicious: float = REFRESH_INTERVAL
    ) -> None:
        self._look = look
        self._interval = interval
        self._suspicious = suspicious
        self._since: float | None = None
        self._looked: float | None = None

    def before_call(self, now: float) -> None:
        """Look if it is time; the first call only starts the count, since the channel was opened just before."""
        if self._since is None:
            self._since = now
        elif now - self._since >= self._interval:
            self._look_at(now)

    def after_unavailable(self, now: float) -> None:
        """Look, unless that was just done."""
        if self._looked is None or now - self._looked >= self._suspicious:
            self._look_at(now)

    def _look_at(self, now: float) -> None:
        self._since = self._looked = now
        self._look()
