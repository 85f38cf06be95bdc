"""One live connection: a raw gRPC channel, the token for its calls, and the count of what is in flight.

The core is what the handles of an alias share.  It can change its raw channel and its token under calls that go on;
it knows no profile and no keyring: how a secret is looked up again is handed in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..errors import ConnectionClosedError
from .channel_state import REFRESH_INTERVAL
from .core_base import CoreBase, Generation, Refresh
from .deadline import Clock
from .fork_pause import PAUSE
from .grpc_import import grpc
from .metadata import TokenHolder

__all__ = ["ChannelCore", "RawGeneration"]

RawGeneration = Generation[grpc.Channel]

_LOOK = 0.001
"""Seconds between two looks whether a call has ended that a fork waits for."""


class ChannelCore(CoreBase[RawGeneration]):
    """One live connection: a raw channel, the token for its calls, and the count of what is in flight.

    The raw channel can be replaced under the stubs that were made on it.  All methods may be called from any thread.

    Args:
        raw: the channel; the core owns it from now on.
        holder: makes the metadata of every call.
        call_timeout: seconds that a call may take which has no deadline of its own; None for any time.
        refresh: resolves the secret anew, for a call that was refused as UNAUTHENTICATED; None if there is nothing to
            resolve.  It returns None where there is no secret any more.
        refresh_interval: seconds between two calls of ``refresh`` at least.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        raw: grpc.Channel,
        holder: TokenHolder,
        *,
        call_timeout: float | None = None,
        refresh: Refresh | None = None,
        refresh_interval: float = REFRESH_INTERVAL,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(Generation(raw, holder, refresh), call_timeout, refresh_interval, clock)
        self.binding = threading.Lock()
        self._guard = threading.Lock()
        # Made by the first who waits: it takes as much memory as all else here.
        self._idle: threading.Condition | None = None
        self._subscriptions: dict[Callable[[grpc.ChannelConnectivity], None], bool] = {}
        self._refreshing = threading.Lock()
        PAUSE.add(self)

    @property
    def raw(self) -> grpc.Channel:
        """The raw channel in use now."""
        return self._current.channel

    @property
    def in_flight(self) -> int:
        """Calls that have not ended, streams and futures included."""
        with self._guard:
            return self._load()

    # --- calls ---------------------------------------------------------------------------------------------------

    def enter(self) -> RawGeneration:
        """Count a call that begins, and return the raw channel it goes to.

        Raises:
            ConnectionClosedError: the core is closed.
        """
        if (watch := self._watch) is not None:
            watch.before_call(self.clock())
        if PAUSE.pending:
            PAUSE.wait()
        with self._guard:
            if not self._is_closed:
                generation = self._current
                generation.in_flight += 1
                return generation
        raise ConnectionClosedError("the connection is closed", hint="connect again")

    def leave(self, generation: RawGeneration, code: grpc.StatusCode | None) -> None:
        """Count a call that ended.

        Args:
            generation: what :meth:`enter` returned.
            code: how it ended; None where there is no status.
        """
        with self._guard:
            generation.in_flight -= 1
            self.health.note(code, self.clock())
            if self._idle is not None and generation.in_flight == 0:
                self._idle.notify_all()
        if self._watch is not None and code is grpc.StatusCode.UNAVAILABLE:
            self._watch.after_unavailable(self.clock())

    def reauthenticate(self, refused: RawGeneration, used: int, timeout: float | None = None) -> bool:
        """Look for another token after a call was refused as UNAUTHENTICATED.

        One thread looks, and the others wait for what it finds; within the interval nobody looks again.

        Args:
            refused: the raw channel that the call went to.
            used: ``refused.holder.generation`` from before the call.
            timeout: seconds to wait for another thread that is looking; None for any time.

        Returns:
            Whether the held token is now another one than the call had: then it is worth making again.
        """
        if not self._refreshing.acquire(timeout=-1 if timeout is None else timeout):
            return False
        try:
            current = self._current
            if current is not refused:
                return True  # another channel with a token of its own was swapped in meanwhile
            holder, refresh = current.holder, current.refresh
            decision = self._pace.decide(used, holder.generation, self.clock())
            if decision != "refresh" or refresh is None:
                return decision == "again"
            try:
                token = refresh()
            except Exception as error:
                # The caller's news is that the server refused it; why no better token was to be had is the cause.
                self._refresh_failure = error.with_traceback(None)
                return False
            self._refresh_failure = None
            return token is not None and holder.set_token(token)
        finally:
            self._refreshing.release()

    # --- forks ---------------------------------------------------------------------------------------------------

    def hold(self, timeout: float) -> bool:
        """Let no call begin from now on, if none is under way; see :mod:`.fork_pause`."""
        until = time.monotonic() + timeout
        while self._guard.acquire(timeout=max(0.0, until - time.monotonic())):
            if not self._load():
                return True
            self._guard.release()
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK)
        return False

    def let_go(self) -> None:
        """Let calls begin again."""
        self._guard.release()

    # --- life ----------------------------------------------------------------------------------------------------

    def wait_idle(self, grace: float, generation: RawGeneration | None = None) -> bool:
        """Wait until no call is in flight.

        Args:
            grace: seconds to wait at most.
            generation: only the calls on this raw channel; None for all.

        Returns:
            Whether none is.
        """

        def idle() -> bool:
            return (self._load() if generation is None else generation.in_flight) == 0

        with self._guard:
            if self._idle is None:
                self._idle = threading.Condition(self._guard)
            return self._idle.wait_for(idle, grace)

    def equip(self, holder: TokenHolder, refresh: Refresh | None) -> None:
        with self._guard:
            super().equip(holder, refresh)

    def swap(
        self, raw: grpc.Channel, holder: TokenHolder | None = None, refresh: Refresh | None = None
    ) -> RawGeneration:
        """Send calls from now on to another raw channel, whatever channel their stubs were made on.

        Args:
            raw: the new channel; the core owns it from now on.
            holder: makes the metadata of its calls; None keeps the present one, and how its secret is resolved.
            refresh: resolves the secret of ``holder`` anew; None if there is nothing to resolve.

        Returns:
            The old one, still open for the calls in flight: end it with :meth:`finish`.

        Raises:
            ConnectionClosedError: the core is closed; ``raw`` stays the caller's.
        """
        with self._guard:
            self._check_open()
            if holder is None:
                holder, refresh = self._current.holder, self._current.refresh
            old = self._exchange(Generation(raw, holder, refresh))
            for callback, try_to_connect in self._subscriptions.items():
                old.channel.unsubscribe(callback)
                raw.subscribe(callback, try_to_connect)
        return old

    def finish(self, generation: RawGeneration, grace: float) -> bool:
        """Wait for the calls on a raw channel that was swapped out, then close it.

        Args:
            generation: what :meth:`swap` returned.
            grace: seconds to wait at most; calls that take longer are cancelled.

        Returns:
            Whether no call was cancelled.
        """
        drained = self.wait_idle(grace, generation)
        with self._guard:
            if generation in self._retired:
                self._retired.remove(generation)
        generation.channel.close()
        return drained

    def close(self) -> None:
        """Close the raw channels; calls in flight end as CANCELLED, new ones raise.  Closing again does nothing."""
        with self._guard:
            if self._is_closed:
                return
            self._is_closed = True
            generations = [*self._retired, self._current]
        for generation in generations:
            generation.channel.close()

    def subscribe(self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool) -> None:
        """Have the connectivity of whichever raw channel is in use reported."""
        with self._guard:
            self._subscriptions[callback] = try_to_connect
            self._current.channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        """End what :meth:`subscribe` began; an unknown callback is ignored."""
        with self._guard:
            if self._subscriptions.pop(callback, None) is not None:
                self._current.channel.unsubscribe(callback)
