"""One live connection: a raw gRPC channel, the token for its calls, and the count of what is in flight.

The core is what the handles of an alias share.  It can change its raw channel and its token under calls that go on;
it knows no profile and no keyring: how a secret is looked up again is handed in.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from _thread import LockType
from collections.abc import Callable
from typing import Any, Union

from ..background import Latch, Pending, is_ours
from ..errors import ThreadStartError
from ..log import log
from .core_base import CoreBase, Generation, Refresh
from .grpc_process import PAUSE, close_dropped, closed, closing, grpc, let_go, prepare
from .metadata import TokenHolder

_LOOK = 0.001
"""Seconds between two looks whether a call has ended that a fork waits for."""

_IDLE_LOOK = 0.25
"""Seconds between two looks whether a raw channel is idle, for who was not told."""

_CLOSING = 1.0
"""Seconds that closing a raw channel may take: gRPC waits in it for calls of which an interrupt made it lose sight."""

Call = Union[LockType, "weakref.ref[Any]"]
"""A call under way: held by who waits for it, or a reference to the stream or future."""


class RawGeneration(Generation[grpc.Channel]):
    """One raw channel of a core.

    What is in flight is not counted but seen, so that no interrupt can make it wrong: a call that its caller waits for
    holds a lock in a ``with``, which ends whatever happens; a stream or a future is there and not done.

    Attributes:
        is_damaged: a call on it was interrupted within gRPC; see :mod:`.grpc_process`.
    """

    __slots__ = ("calls", "is_damaged")

    def __init__(self, channel: grpc.Channel, holder: TokenHolder, refresh: Refresh | None) -> None:
        close_dropped()
        prepare(channel)
        super().__init__(channel, holder, refresh)
        self.calls: set[Call] = set()
        self.is_damaged = False

    @property
    def in_flight(self) -> int:
        self.calls = {call for call in self.calls if _goes_on(call)}
        return len(self.calls)

    def close(self) -> None:
        """Close the raw channel; calls in flight end as CANCELLED."""
        closing(self.channel)
        close_dropped()
        channel = self.channel

        def close() -> None:
            channel.close()
            closed(channel)

        if is_ours() and not self.is_damaged:
            close()
            return
        # Beside the caller's thread: an interrupt within leaves gRPC's lock held, and it may wait for ever.
        try:
            pending = Pending(close, lambda _: None, "milvus-profiles close")
        except ThreadStartError:
            if not self.is_damaged:  # of that one it may wait for ever
                close()
            return
        with contextlib.suppress(TimeoutError):
            pending.wait(_CLOSING)


def _goes_on(call: Call) -> bool:
    if isinstance(call, weakref.ref):
        return (rpc := call()) is not None and not _is_done(rpc)
    return call.locked()


def _is_done(rpc: Any) -> bool:
    # Not done(): that takes gRPC's lock of the call, which whoever was interrupted may hold for ever, and the core's
    # own is held here.
    state = getattr(rpc, "_state", None)
    return bool(rpc.done() if state is None else state.code is not None)


class ChannelCore(CoreBase[RawGeneration]):
    """A core that may be used from any thread.

    Attributes:
        binding: held while a method is registered with a raw channel.
    """

    _generation = RawGeneration

    def _begin(self) -> None:
        self.binding = threading.Lock()
        self._guard = threading.Lock()
        self._idle: Latch | None = None
        self._subscriptions: dict[Callable[[grpc.ChannelConnectivity], None], bool] = {}
        self._refreshing = threading.Lock()
        PAUSE.add(self)

    @property
    def is_damaged(self) -> bool:
        """Whether a call on the raw channel in use was interrupted within gRPC."""
        return self._current.is_damaged

    # --- calls ---------------------------------------------------------------------------------------------------

    def enter(self, call: LockType) -> RawGeneration:
        """Count a call that begins, and return the raw channel it goes to.

        The lock is held as long as the call goes on, by a ``with`` around all of it.
        """
        if (watch := self._watch) is not None:
            watch.before_call(self.clock())
        while True:
            if PAUSE.pending:
                PAUSE.wait()
            with self._guard:
                if self._is_closed:
                    self._check_open()
                if PAUSE.pending:
                    continue  # a fork was asked for meanwhile
                generation = self._current
                generation.calls.add(call)
                if not generation.is_damaged:
                    return generation
            if self.replace is not None:
                self.replace()
            return generation

    def follow(self, generation: RawGeneration, call: LockType, rpc: Any) -> None:
        """Count a call that was begun until it is done; held weakly, so that one whose owner drops it is cancelled."""
        reference = weakref.ref(rpc)
        with self._guard:
            generation.calls.add(reference)
            generation.calls.discard(call)

        def ended() -> None:
            found = reference()
            self.leave(generation, reference, None if found is None else found.code())

        if not rpc.add_callback(ended):
            self.leave(generation, reference, rpc.code())

    def leave(self, generation: RawGeneration, call: Call, code: grpc.StatusCode | None) -> None:
        """Note how a call ended; None where there is no status."""
        with self._guard:
            generation.calls.discard(call)
            failed = self.health.note(code, self.clock())
            if (idle := self._idle) is not None and not generation.in_flight:
                self._idle = None
                idle.set()
        if failed:
            log("reconnected", failed=failed)
        if self._watch is not None and code is grpc.StatusCode.UNAVAILABLE:
            self._watch.after_unavailable(self.clock())

    def interrupted(self, generation: RawGeneration, error: BaseException) -> None:
        """Set right what an exception in the middle of a call, with its traceback, may have left behind."""
        if let_go(error):
            generation.is_damaged = True
            if self.replace is not None:
                self.replace()

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
        is_new = False
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
            is_new = token is not None and holder.set_token(token)
            return is_new
        finally:
            self._refreshing.release()
            if is_new:
                log("token")

    # --- forks ---------------------------------------------------------------------------------------------------

    def wait_for_fork(self, timeout: float) -> None:
        """Wait until no call is under way; none begins while a fork is pending.  See :class:`.ForkPause`."""
        until = time.monotonic() + timeout
        while self.in_flight and time.monotonic() < until:
            time.sleep(_LOOK)

    def forked(self) -> None:
        """In the child: whoever held the lock is not here."""
        self._guard = threading.Lock()

    # --- life ----------------------------------------------------------------------------------------------------

    def wait_idle(self, grace: float, generation: RawGeneration | None = None) -> bool:
        """Wait some seconds at most until no call is in flight, on one raw channel or all; whether none is."""
        until = time.monotonic() + grace
        while True:
            with self._guard:
                if not (self._load() if generation is None else generation.in_flight):
                    return True
                if (latch := self._idle) is None:
                    latch = self._idle = Latch()
            left = until - time.monotonic()
            if left <= 0:
                return False
            latch.wait(min(left, _IDLE_LOOK))

    def _swapped(self, old: RawGeneration) -> None:
        for callback, try_to_connect in self._subscriptions.items():
            old.channel.unsubscribe(callback)
            self._current.channel.subscribe(callback, try_to_connect)

    def finish(self, generation: RawGeneration, grace: float) -> bool:
        """Wait some seconds at most for the calls on a raw channel that was swapped out, then close it.

        Returns:
            Whether no call was cancelled.
        """
        drained = self.wait_idle(grace, generation)
        self._dismiss(generation)
        generation.close()
        return drained

    def close(self) -> None:
        """Close the raw channels; calls in flight end as CANCELLED, new ones raise.  Closing again does nothing."""
        with self._guard:
            self._is_closed = True
            generations = [*self._retired, self._current]
        # Each time: whoever did it first may have been interrupted.
        for generation in generations:
            generation.close()

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
