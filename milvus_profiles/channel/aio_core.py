"""One live connection of an event loop: what :mod:`.core` is for threads, on ``grpc.aio``.

It is used from one event loop only, so nothing here locks; only the look at the secret, which may block, runs in a
thread of the loop's executor.
"""

from __future__ import annotations

import asyncio
import contextlib

from ..background import in_executor
from ..log import log
from . import aio_fork as aio_fork  # acts on its import
from .core_base import CoreBase, Generation, Refresh
from .grpc_import import grpc
from .grpc_threads import closing
from .metadata import TokenHolder

__all__ = ["AsyncChannelCore", "AsyncGeneration"]


class AsyncGeneration(Generation[grpc.aio.Channel]):
    """One raw channel of a core.

    Attributes:
        is_severed: it was closed with calls in flight: what ends them is not their caller's cancellation.
    """

    __slots__ = ("calls", "is_severed")

    def __init__(self, channel: grpc.aio.Channel, holder: TokenHolder, refresh: Refresh | None) -> None:
        super().__init__(channel, holder, refresh)
        self.is_severed = False
        self.calls = 0

    @property
    def in_flight(self) -> int:
        return self.calls

    async def close(self) -> None:
        """Close the raw channel; calls in flight end as CANCELLED."""
        self.is_severed = True
        closing(self.channel)
        await self.channel.close(None)


class AsyncChannelCore(CoreBase[AsyncGeneration]):
    """A core of the running event loop."""

    _generation = AsyncGeneration

    def _begin(self) -> None:
        self._guard = contextlib.nullcontext()
        self._idle_waiters: set[asyncio.Future[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    # --- calls ---

    def enter(self) -> AsyncGeneration:
        """Count a call that begins, and return the raw channel it goes to."""
        self._check_open()
        if self._watch is not None:
            self._watch.before_call(self.clock())
        generation = self._current
        generation.calls += 1
        return generation

    def leave(self, generation: AsyncGeneration) -> None:
        """Count a call that ended on the raw channel that :meth:`enter` returned."""
        generation.calls -= 1
        if generation.calls == 0 and self._idle_waiters:
            for waiter in self._idle_waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def note(self, code: grpc.StatusCode | None) -> None:
        """Remember how a call ended; None where there is no status."""
        now = self.clock()
        if failed := self.health.note(code, now):
            log("reconnected", failed=failed)
        if self._watch is not None and code is grpc.StatusCode.UNAVAILABLE:
            self._watch.after_unavailable(now)

    async def reauthenticate(self, refused: AsyncGeneration, used: int, timeout: float | None = None) -> bool:
        """:meth:`.core.ChannelCore.reauthenticate`, awaited; one task looks, and the others wait for what it finds."""
        deadline = None if timeout is None else self.clock() + timeout
        while not self._is_closed:
            if self._current is not refused:
                return True  # another channel with a token of its own was swapped in meanwhile
            if self._looking is None:
                decision = self._pace.decide(used, refused.holder.generation, self.clock())
                if decision != "refresh" or refused.refresh is None:
                    return decision == "again"
                # A task of its own: who asked first may be cancelled, and the others still wait for it.
                self._looking = asyncio.create_task(self._look(refused.holder, refused.refresh))
            left = None if deadline is None else max(0.0, deadline - self.clock())
            done, _ = await asyncio.wait({self._looking}, timeout=left)
            if not done:
                return False
        return False

    async def _look(self, holder: TokenHolder, refresh: Refresh) -> None:
        try:
            token = await in_executor(refresh)
            self._refresh_failure = None
            if token is not None and holder.set_token(token):
                log("token")
        except Exception as error:
            # The caller's news is that the server refused it; why no better token was to be had is the cause.
            self._refresh_failure = error.with_traceback(None)
        finally:
            self._looking = None

    # --- life ---

    async def wait_idle(self, grace: float, generation: AsyncGeneration | None = None) -> bool:
        """:meth:`.core.ChannelCore.wait_idle`, awaited."""
        deadline = self.clock() + grace

        def busy() -> bool:
            return (self.in_flight if generation is None else generation.in_flight) > 0

        while busy():
            left = deadline - self.clock()
            if left <= 0:
                return False
            waiter = asyncio.get_running_loop().create_future()
            self._idle_waiters.add(waiter)
            try:
                # The loop adds the time to its clock and hands it to the system: keep it within what that takes.
                await asyncio.wait({waiter}, timeout=min(left, 86_400.0))
            finally:
                self._idle_waiters.discard(waiter)
        return True

    async def finish(self, generation: AsyncGeneration, grace: float) -> bool:
        """Wait for the calls on a raw channel that was swapped out, then close it, whatever happens."""
        try:
            return await self.wait_idle(grace, generation)
        finally:
            self._dismiss(generation)
            await generation.close()

    async def close(self) -> None:
        """Close the raw channels; calls in flight end, new ones raise.  Closing again does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._looking is not None:
            self._looking.cancel()
        for generation in (*self._retired, self._current):
            await generation.close()
