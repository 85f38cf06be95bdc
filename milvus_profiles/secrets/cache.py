"""Secrets that are kept in the process for a while, and the rule that one of a kind is fetched by one thread at a time.

A command may say until when its token is good, and a pipe can be read only once; everything else is fetched anew each
time, though callers that come while it is being fetched share the answer.  Nothing here knows how it is fetched.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Hashable

from ..errors import SecretUnavailableError
from ..masked import SecretText

__all__ = ["FOR_EVER", "Fetched", "SecretCache"]

FOR_EVER = math.inf
"""The expiry of what cannot be fetched a second time."""

# A token must outlast the call that it is sent with.
_LEEWAY = 10.0

Fetched = tuple[SecretText, float | None]
"""A secret and the time until which it may be kept: seconds since the epoch, FOR_EVER, or None for not at all."""


class _Flight:
    """One fetch, and what came of it: None as long as nothing did.

    Whoever fetches holds the lock, in a ``with`` that an interrupt ends too; then it is the turn of the next.
    """

    __slots__ = ("answer", "turn")

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.answer: SecretText | SecretUnavailableError | None = None


class SecretCache:
    """A store of secrets by key, safe for threads; the child of a fork starts with what its parent had kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[Hashable, tuple[SecretText, float]] = {}
        self._flights: dict[Hashable, _Flight] = {}
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        # The threads that held the lock or were fetching exist only in the parent.
        self._lock = threading.Lock()
        self._flights = {}

    def get(
        self, key: Hashable, fetch: Callable[[], Fetched], *, now: Callable[[], float], refresh: bool
    ) -> SecretText:
        """What is kept under the key, or what fetching gives.

        Args:
            key: all that decides what is fetched; its repr must not show a secret.
            fetch: called without a lock held, by one thread at a time per key.
            now: the clock, in seconds since the epoch.
            refresh: fetch although something is kept, unless it is kept for ever.

        Raises:
            SecretUnavailableError: fetching failed, here or in the thread whose answer is shared.
        """
        with self._lock:
            secret, until = self._values.get(key, (None, 0.0))
            if secret is not None and (until == FOR_EVER or (not refresh and now() < until - _LEEWAY)):
                return secret
            flight = self._flights.get(key)
            if flight is None or flight.answer is not None:
                flight = self._flights[key] = _Flight()
        with flight.turn:
            if flight.answer is None:
                return self._fetch(key, flight, fetch, now)
        if isinstance(flight.answer, SecretUnavailableError):
            # An exception belongs to the thread that raises it.
            raise SecretUnavailableError(flight.answer.message, hint=flight.answer.hint)
        return flight.answer

    def _fetch(
        self, key: Hashable, flight: _Flight, fetch: Callable[[], Fetched], now: Callable[[], float]
    ) -> SecretText:
        try:
            secret, until = fetch()
            moment = now()
            with self._lock:
                # Keys change when a variable does, so what has expired would otherwise stay for ever.
                self._values = {k: kept for k, kept in self._values.items() if k != key and moment < kept[1]}
                if until is not None:
                    self._values[key] = (secret, until)
            flight.answer = secret
            return secret
        except SecretUnavailableError as error:
            flight.answer = error
            raise
        finally:
            with self._lock:
                if flight.answer is not None and self._flights.get(key) is flight:
                    del self._flights[key]

    def forget(self) -> None:
        """Drop everything that is kept."""
        with self._lock:
            self._values = {}
