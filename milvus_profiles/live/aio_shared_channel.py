"""A shared channel for an event loop: what :mod:`.shared_channel` is for threads."""

from __future__ import annotations

import asyncio
import contextlib
import math
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ..background import in_executor, start
from ..channel.aio_channel import AsyncProfileChannel
from ..channel.aio_core import AsyncChannelCore, AsyncGeneration
from ..errors import ThreadStartError
from .driving import async_drive
from .limit import Slot
from .opened import OpenedBase, Possessions, ReadyChannel
from .shared_base import Handle, SharedChannelBase

if TYPE_CHECKING:
    import grpc.aio

    from ..channel.lite import LiteLease

__all__ = ["AsyncOpenedChannel", "AsyncSharedChannel", "give_back", "release_soon"]


async def give_back(lite: LiteLease | None) -> None:
    """Release a Milvus Lite, which blocks when it is the last to do so, in a thread."""
    if lite is not None:
        try:
            await in_executor(lite.release)
        except ThreadStartError:
            lite.release()  # it blocks the loop, which is better than a database that stays open


def release_soon(lite: LiteLease) -> None:
    """Release a Milvus Lite where nothing can be awaited."""
    with contextlib.suppress(ThreadStartError):  # the end of the process stops it
        start(lite.release, "milvus-profiles close")


class AsyncOpenedChannel(OpenedBase[AsyncChannelCore]):
    """A channel on which nothing has been called yet."""

    __slots__ = ()

    async def close(self) -> None:
        """Give everything back."""
        await self.core.close()
        await give_back(self.lite)


def _left_behind(held: Possessions) -> None:
    """The event loop ended without closing anything, and the channel was collected: its own end closes its socket."""
    held.slot.release()
    lite, held.lite = held.lite, None
    if lite is not None:
        release_soon(lite)


class AsyncSharedChannel(SharedChannelBase[AsyncChannelCore]):
    """An open channel of the running event loop with its handles, kept by the loop's table or by a pool."""

    def __init__(
        self,
        ready: ReadyChannel[AsyncChannelCore],
        *,
        slot: Slot,
        dedicated: bool,
        forget: Callable[[AsyncSharedChannel], None],
        renew: Callable[[AsyncSharedChannel], Awaitable[None]],
    ) -> None:
        super().__init__(ready, contextlib.nullcontext(), slot=slot, dedicated=dedicated)
        self._loop = asyncio.get_running_loop()
        self._forget = forget
        self._renew = renew
        self._renewing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._end = weakref.finalize(self, _left_behind, self._held)
        self._end.atexit = False

    def _background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = self._loop.create_task(work())
        # The loop itself holds tasks weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def channel(self, gate: Callable[[], None], on_close: Callable[[], Awaitable[None]]) -> grpc.aio.Channel:
        return AsyncProfileChannel(self.core, gate=gate, on_close=on_close)

    async def ping(self, channel: grpc.aio.Channel, timeout: float) -> None:
        """:meth:`.shared_channel.SharedChannel.ping`, awaited."""
        await async_drive(*self._pinging(channel, timeout))

    # --- handles ---

    async def release(self, connection: Handle[Any]) -> None:
        """Take a handle back."""
        self._give_back(connection)
        await self._dropped()

    def _drop_soon(self) -> None:
        # The garbage collector may run in any thread.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._background, self._dropped)

    async def _dropped(self) -> None:
        if not self._closed and self._ends_with_handles():
            await self._close()

    # --- moving under living handles ---

    def _drain(self, leaving: AsyncGeneration, lite: LiteLease | None) -> None:
        self._background(lambda: self._finish(leaving, lite))

    async def _finish(self, leaving: AsyncGeneration, lite: LiteLease | None) -> None:
        try:
            await self.core.finish(leaving, math.inf)
        finally:
            await give_back(lite)

    def _look(self) -> None:
        if self._renewing is None and self._is_outdated:
            self._renewing = self._loop.create_task(self._renew_once())

    async def _renew_once(self) -> None:
        try:
            await self._renew(self)
        finally:
            self._renewing = None

    # --- closing ---

    async def retire(self) -> None:
        """Close once the last handle is gone."""
        self._retired = True
        await self._dropped()

    async def disconnect(self, grace: float) -> None:
        """Take no new call, wait for those in flight, then close all handles and the channel.

        Whoever is cancelled here does not wait any longer, and the channel is closed all the same.
        """
        if self._closed:
            return
        self.refuse()
        try:
            await self.core.wait_idle(grace)
        finally:
            await self._close()

    async def _close(self) -> None:
        self._forget(self)
        self._tell_closed()
        self._end.detach()
        self._held.slot.release()
        lite, self._held.lite = self._held.lite, None
        if self._renewing is not None:
            self._renewing.cancel()
        try:
            await self.core.close()
            for own in self._end_clients():
                with contextlib.suppress(Exception):
                    await own.close()
        finally:
            await give_back(lite)
