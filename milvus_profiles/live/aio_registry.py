"""Which channels are open in an event loop: one for each key, opened once, shared by handles.

grpc.aio binds a channel to the loop object that it was opened in, so every loop has a table of its own.  The table
lives as long as its loop and no longer: what keeps it is a timer of the loop, which ``loop.close()`` forgets.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import math
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Hashable
from typing import TYPE_CHECKING, Any

from ..background import in_executor, start
from ..channel.aio_channel import AsyncChannelCore, AsyncGeneration, AsyncProfileChannel
from ..channel.grpc_process import open_channels
from ..errors import ForkError, ThreadStartError
from .driving import async_drive
from .registry import ChannelTable
from .shared_base import Handle, SharedChannelBase
from .spec import OpenedBase, Possessions, ReadyChannel, Slot

if TYPE_CHECKING:
    import grpc.aio

    from ..channel.lite import LiteLease


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


_A_DAY = 86_400.0

Opener = Callable[["AsyncSharedChannel | None"], Awaitable[AsyncSharedChannel]]


class _OpeningChannel:
    """A channel that is being opened by a task of its own: whoever asked first may leave, and the others still wait."""

    def __init__(self, task: asyncio.Task[AsyncSharedChannel]) -> None:
        self.task = task
        self._waiters = 0
        self._is_given_up = False
        self._is_raised = False
        # Retrieves the exception, should nobody be left to hear it.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    @property
    def is_over(self) -> bool:
        """It has ended, or was given up because nobody waited any more: there is nothing to join."""
        return self._is_given_up or self.task.done()

    async def wait(self) -> AsyncSharedChannel | None:
        """The channel; None if opening it was given up just before."""
        self._waiters += 1
        try:
            await asyncio.wait({self.task})
        finally:
            self._waiters -= 1
            if self._waiters == 0 and not self.task.done():
                self._is_given_up = True
                self.task.cancel()
        if self.task.cancelled():
            return None
        if (error := self.task.exception()) is None:
            return self.task.result()
        # Each caller gets an exception of its own: a shared one would gather everybody's traceback.
        if self._is_raised:
            raise copy.copy(error) from None
        self._is_raised = True
        try:
            raise error
        finally:
            del error, self  # the task holds the exception, whose traceback holds this frame


class LoopTable(ChannelTable[AsyncSharedChannel]):
    """The open channels of an event loop; used in that loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(contextlib.nullcontext())
        self._loop = loop
        self._opening: dict[Hashable, _OpeningChannel] = {}
        self._ending: AsyncGenerator[None, None] | None = None
        self._keep()

    def _keep(self) -> None:
        # The loop holds its timers, the timer holds this table, and the table of tables holds both weakly.
        self._loop.call_later(_A_DAY, self._keep)

    async def end_with_loop(self) -> None:
        """Have the channels closed by ``loop.shutdown_asyncgens()``, which ``asyncio.run`` calls at its end."""
        if self._ending is None:
            self._ending = _until_the_end(weakref.ref(self))
            await self._ending.__anext__()

    async def shared(self, key: Hashable, fingerprint: Hashable, opener: Opener) -> AsyncSharedChannel:
        """:meth:`.registry.Registry.shared`, awaited."""
        while True:
            shared = self._open_one(key)
            if shared is not None and shared.fingerprint == fingerprint:
                return shared
            opening = self._opening.get(key)
            if opening is None or opening.is_over:
                opening = _OpeningChannel(self._loop.create_task(self._open(key, shared, opener)))
                self._opening[key] = opening
            try:
                opened = await opening.wait()
            finally:
                if opening.is_over and self._opening.get(key) is opening:
                    del self._opening[key]
                del opening  # as in its wait()
            if opened is not None and opened.fingerprint == fingerprint:
                return opened

    async def _open(self, key: Hashable, old: AsyncSharedChannel | None, opener: Opener) -> AsyncSharedChannel:
        shared = await opener(old)
        # The same one again is in the table already, unless it was disconnected meanwhile: then it stays out.
        if shared is not old and (replaced := self._put(key, shared)) is not None:
            await replaced.retire()
        return shared

    async def disconnect(self, alias: str | None, grace: float) -> None:
        """:meth:`.registry.Registry.disconnect`, awaited."""
        await asyncio.gather(*(shared.disconnect(grace) for shared in self._of(alias)))


async def _until_the_end(table: weakref.ref[LoopTable]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        if (found := table()) is not None:
            await found.disconnect(None, 0.0)


# --- the tables of all loops -----------------------------------------------------------------------------------------

_tables: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[LoopTable]] = weakref.WeakKeyDictionary()
_guard = threading.Lock()
_is_used = False
_is_forked = False
_abandoned: list[Any] = []


def table() -> LoopTable:
    """The table of the running event loop, made if need be.

    Raises:
        ForkError: as :func:`check_fork`.
    """
    global _is_used
    check_fork()
    loop = asyncio.get_running_loop()
    with _guard:
        _is_used = True
        reference = _tables.get(loop)
        found = None if reference is None else reference()
        if found is None:
            found = LoopTable(loop)
            _tables[loop] = weakref.ref(found)
    return found


def check_fork() -> None:
    """See that asyncio's gRPC can be used in this process.

    Raises:
        ForkError: it was used before a fork, in the parent; in the child it would crash (grpcio, ``grpc.aio``).
    """
    if _is_forked:
        raise ForkError(
            "asyncio's gRPC was used before this process was forked, and cannot be used in it any more",
            hint="start child processes with multiprocessing's 'spawn', or connect after the fork only; "
            "milvus_profiles.connect(), without asyncio, works here",
        )


def _after_fork_in_child() -> None:
    global _guard, _is_forked
    _guard = threading.Lock()
    if _is_used:
        _is_forked = True
        _abandoned.extend(open_channels())  # those of pools, too, and what is being opened
        for reference in list(_tables.values()):
            if (found := reference()) is not None:
                _abandoned.extend([found, *found.abandon()])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
