"""Which channels are open in an event loop: one for each key, opened once, shared by handles.

grpc.aio binds a channel to the loop object that it was opened in, so every loop has a table of its own.  The table
lives as long as its loop and no longer: what keeps it is a timer of the loop, which ``loop.close()`` forgets.
"""

from __future__ import annotations

import asyncio
import copy
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterable
from typing import Any

from ..errors import ForkError
from ..profile import fold_alias
from .aio_shared_channel import AsyncSharedChannel
from .registry import ConnectionInfo

__all__ = ["LoopTable", "check_fork", "table"]

_A_DAY = 86_400.0

Opener = Callable[["AsyncSharedChannel | None"], Awaitable[AsyncSharedChannel]]


class _OpeningChannel:
    """A channel that is being opened, by a task of its own: whoever asked first may leave, and the others still wait.

    Attributes:
        task: opens it.
    """

    def __init__(self, task: asyncio.Task[AsyncSharedChannel]) -> None:
        self.task = task
        self._waiters = 0
        self._is_given_up = False
        self._is_raised = False
        # Retrieves the exception, should nobody be left to hear it.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to join: it has ended, or was given up because nobody waited any more."""
        return self._is_given_up or self.task.done()

    async def wait(self) -> AsyncSharedChannel | None:
        """The channel; None if opening it was given up just before.

        Raises:
            MilvusProfilesError: it cannot be opened.
        """
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
        if not self._is_raised:
            self._is_raised = True
            raise error
        # Each caller gets an exception of its own: a shared one would gather everybody's traceback.
        raise copy.copy(error) from None


class LoopTable:
    """The open channels of an event loop; used in that loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._shared: dict[Hashable, AsyncSharedChannel] = {}
        self._opening: dict[Hashable, _OpeningChannel] = {}
        self._dedicated: dict[int, AsyncSharedChannel] = {}
        self._retired: dict[int, AsyncSharedChannel] = {}
        self._ending: AsyncGenerator[None, None] | None = None
        self._keep()

    def _keep(self) -> None:
        # The loop holds its timers, the timer holds this table, and the table of tables holds both weakly.
        self._loop.call_later(_A_DAY, self._keep)

    async def end_with_loop(self) -> None:
        """Have the channels closed by ``loop.shutdown_asyncgens()``, which ``asyncio.run`` calls at its end."""
        if self._ending is None:
            self._ending = self._until_the_end()
            await self._ending.__anext__()

    async def _until_the_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.disconnect(None, 0.0)

    # --- opening ---

    async def shared(self, key: Hashable, fingerprint: Hashable, opener: Opener) -> AsyncSharedChannel:
        """The channel of a key, opened if need be, once for all that ask meanwhile.

        Args:
            key: what channels are shared by.
            fingerprint: what the open one must have.
            opener: opens it, given the channel that is open but has another fingerprint, if there is one.  It gives
                that one the new fingerprint and returns it, or returns another, and then the first retires.

        Raises:
            MilvusProfilesError: what ``opener`` raises, in every caller that waited for it.
        """
        while True:
            live = self._shared.get(key)
            if live is not None and live.fingerprint == fingerprint:
                return live
            opening = self._opening.get(key)
            if opening is None or opening.is_over:
                opening = _OpeningChannel(self._loop.create_task(self._open(key, live, opener)))
                self._opening[key] = opening
            try:
                opened = await opening.wait()
            finally:
                if opening.is_over and self._opening.get(key) is opening:
                    del self._opening[key]
            if opened is not None and opened.fingerprint == fingerprint:
                return opened

    async def _open(self, key: Hashable, old: AsyncSharedChannel | None, opener: Opener) -> AsyncSharedChannel:
        live = await opener(old)
        # The same one again is in the table already, unless it was disconnected meanwhile: then it stays out.
        if live is not old:
            replaced = self._shared.get(key)
            self._shared[key] = live
            if replaced is not None:
                self._retired[id(replaced)] = replaced
                await replaced.retire()
        return live

    async def dedicated(self, opener: Callable[[], Awaitable[AsyncSharedChannel]]) -> AsyncSharedChannel:
        """A channel that is shared with nobody; the errors are those of :meth:`shared`."""
        live = await opener()
        self._dedicated[id(live)] = live
        return live

    # --- what is open ---

    def infos(self) -> list[ConnectionInfo]:
        """All open channels, in the order of their aliases."""
        return sorted((live.info for live in self._all()), key=lambda info: (info.alias, str(info.endpoint)))

    def _all(self) -> Iterable[AsyncSharedChannel]:
        yield from self._shared.values()
        yield from self._dedicated.values()
        yield from self._retired.values()

    # --- closing ---

    def forget(self, live: AsyncSharedChannel) -> None:
        """Drop a channel that is closing."""
        self._dedicated.pop(id(live), None)
        self._retired.pop(id(live), None)
        for key in [key for key, other in self._shared.items() if other is live]:
            del self._shared[key]

    async def disconnect(self, alias: str | None, grace: float) -> None:
        """Close the channels of an alias, or all; returns when they are closed.

        Args:
            alias: any spelling of it; None for all.
            grace: seconds that calls in flight are waited for.
        """
        folded = None if alias is None else fold_alias(alias)
        lives = [live for live in self._all() if folded is None or fold_alias(live.info.alias) == folded]
        for live in lives:
            self.forget(live)
        await asyncio.gather(*(live.disconnect(grace) for live in lives))

    def abandon(self) -> list[Any]:
        """In a forked child: the channels are the parent's.

        Returns:
            What must never be collected, since that would close them.
        """
        lives = list(self._all())
        for live in lives:
            live.abandoned = True
        return [self, *lives, *(live.core for live in lives)]


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
        for reference in list(_tables.values()):
            if (found := reference()) is not None:
                _abandoned.extend(found.abandon())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
