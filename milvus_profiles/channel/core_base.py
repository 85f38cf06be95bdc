"""What a live connection is, whether threads or an event loop use it: its raw channels, its token, its health."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ..deadline import Clock
from ..errors import ConnectionClosedError
from ..masked import SecretText
from .channel_state import FileWatch, Health, RefreshPace
from .metadata import TokenHolder

__all__ = ["CoreBase", "Generation", "Refresh"]

Refresh = Callable[[], "SecretText | None"]
"""Resolves a secret anew; it may block.  None where there is no secret any more."""

C = TypeVar("C")


class Generation(Generic[C]):
    """One raw channel of a core, from the moment that it came into use until it is closed.

    The token belongs to it, not to the core: where a channel to another address is swapped in, no call may carry the
    token of the one to the other.

    Attributes:
        channel: the raw channel.
        holder: makes the metadata of its calls.
        refresh: resolves its secret anew; None if there is nothing to resolve.
    """

    __slots__ = ("channel", "holder", "refresh")

    def __init__(self, channel: C, holder: TokenHolder, refresh: Refresh | None) -> None:
        self.channel = channel
        self.holder = holder
        self.refresh = refresh

    @property
    def in_flight(self) -> int:
        """Calls on it that have not ended; guarded by the core."""
        raise NotImplementedError


G = TypeVar("G", bound="Generation[Any]")


class CoreBase(Generic[G]):
    """What both kinds of core remember; they add how one counts and waits.

    Args:
        first: the raw channel in use; the core owns it from now on.
        call_timeout: seconds that a call may take which has no deadline of its own; None for any time.
        refresh_interval: seconds between two looks at a refused secret at least.
        clock: monotonic seconds.

    Attributes:
        health: how the calls went on the raw channel in use now; another one after a swap.
        replace: has the raw channel replaced, as its state is unknown since a call on it was interrupted; returns at
            once whether somebody is at it.  None where nobody can.
    """

    def __init__(self, first: G, call_timeout: float | None, refresh_interval: float, clock: Clock) -> None:
        self.call_timeout = call_timeout
        self.clock = clock
        self._current = first
        self._retired: list[G] = []
        self._is_closed = False
        self.health = Health()
        self._pace = RefreshPace(refresh_interval)
        self._refresh_failure: Exception | None = None
        self._watch: FileWatch | None = None
        self.replace: Callable[[], bool] | None = None

    @property
    def holder(self) -> TokenHolder:
        """Makes the metadata of the calls on the raw channel in use now."""
        return self._current.holder

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_closed

    @property
    def consecutive_unavailable(self) -> int:
        """Calls that ended UNAVAILABLE since the last one that the server answered."""
        return self.health.consecutive_unavailable

    @property
    def last_success(self) -> float | None:
        """When the server last answered, by ``clock``; None if it never did."""
        return self.health.last_success

    @property
    def refresh_failure(self) -> Exception | None:
        """Why the last look at the secret failed; None if it did not."""
        return self._refresh_failure

    def watch(self, look: Callable[[], None] | None) -> None:
        """Have somebody look, now and then, whether the raw channel is still the right one.

        Args:
            look: called now and then before a call, and after one that ended UNAVAILABLE; it returns at once, and sees
                to it that the channel is swapped if, say, the certificate files have changed.  None for nobody.
        """
        self._watch = None if look is None else FileWatch(look)

    def equip(self, holder: TokenHolder, refresh: Refresh | None) -> None:
        """Give the raw channel in use another token from the next call on.

        Args:
            holder: makes the metadata of its calls.
            refresh: resolves the secret anew; None if there is nothing to resolve.
        """
        # First: a refused call that meets the new function must not give what it finds to the old holder.
        self._current.refresh = None
        self._current.holder = holder
        self._current.refresh = refresh

    def _load(self) -> int:
        return self._current.in_flight + sum(generation.in_flight for generation in self._retired)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ConnectionClosedError("the connection is closed", hint="connect again")

    def _exchange(self, new: G) -> G:
        """Make another raw channel the one in use; the old one is retired."""
        old, self._current = self._current, new
        self.health = Health()
        self._retired.append(old)
        return old
