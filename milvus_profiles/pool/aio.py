"""The pool for asyncio: it waits, opens and closes; what is to be done is the core's decision.

There is no worker here: whoever tells the core something has the plan made on the spot, each channel is opened, tested
and closed in a task of its own, and one timer is set for when the next plan is due.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
import traceback
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import PoolError
from ..live.aio_connection import AsyncConnection
from ..live.aio_registry import check_fork
from ..profile import PoolSettings
from .base import BasePool, closed, failed, leak_message, not_taken_back, refused, timed_out
from .core import Core
from .state import Action, CheckHealth, Close, KeyState, Leak, Lease, Open, Outcome, Waiter, Wake

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..config.profiles import Profiles
    from .aio_connector import AsyncConnector

__all__ = ["ConnectionPool"]

# After the deadline of a close everything is cut off; this is for the cutting.
_LAST_MOMENTS = 2.0


class ConnectionPool(BasePool):
    """Leases on live connections, by the alias of their profile, within one event loop.

        async with mp.aio.ConnectionPool() as pool:
            async with pool.lease("prod") as conn:
                await conn.ping()

    Every channel is a TCP connection of its own.  In ``shared`` mode, the default, a lease is on the channel with the
    fewest leases, and channels are added as they fill up; in ``exclusive`` mode a channel has one lease at a time.
    Nothing connects before the first lease.  Cancelled anywhere, it leaves no lease out and no channel open.

    Args:
        settings: limits and times, for the whole pool and for each key that has none of its own.
        profiles: where profiles come from; None reads the files and the environment whenever a channel is opened.
        connector: opens something else than the connections of profiles.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: PoolSettings | None = None,
        profiles: Profiles | None = None,
        *,
        connector: AsyncConnector | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if connector is None:
            from .aio_connector import AsyncMilvusConnector

            connector = AsyncMilvusConnector(profiles)
        self._connector = connector
        self._new_lease: Callable[[], Any] = connector.lease
        super().__init__(settings, clock)
        _POOLS.add(self)

    def _start_empty(self) -> None:
        super()._start_empty()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._jobs: dict[asyncio.Task[None], Open | Close | CheckHealth] = {}
        self._ended: asyncio.Event | None = None

    def _bind(self) -> asyncio.AbstractEventLoop:
        """Belong to the running event loop; one that was closed left nothing behind."""
        check_fork()  # first: in a forked child there is no running loop either, which would not be the news
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                if not self._loop.is_closed():
                    raise PoolError(
                        "the pool belongs to another event loop", hint="use a pool of its own in each event loop"
                    )
                was_closed = self._core.is_closed
                self._start_empty()
                self._core.is_closed = was_closed
            self._loop = loop
            self._core.dropped.notify = partial(_plan_soon, loop, weakref.ref(self))
        return loop

    # --- leases --------------------------------------------------------------------------------------------------

    def lease(self, key: str, *, timeout: float | None = None) -> _Leasing:
        """A connection for the length of an ``async with`` block.

        Args:
            key: the alias of a profile.
            timeout: seconds to wait for it at most, connecting included; None takes ``max_block_wait``.

        Raises:
            PoolError, MilvusProfilesError: as :meth:`get_client`, when the block is entered.
        """
        return _Leasing(self, key, timeout)

    async def get_client(self, key: str, *, timeout: float | None = None) -> AsyncConnection:
        """Take a connection; give it back with :meth:`return_client`, or close it.

        Args:
            key: the alias of a profile.
            timeout: seconds to wait for it at most, connecting included; None takes ``max_block_wait``.

        Raises:
            PoolExhaustedError: all are in use, and no more may wait (``block_when_exhausted``, ``max_waiting``).
            PoolTimeoutError: none was to be had in time.
            ConnectFailedError: none could be opened, and there is no other that could become free.
            PoolClosedError: the pool is closed.
            PoolError: the pool belongs to another event loop.
            ForkError: the parent of this forked process used asyncio connections.
            UnknownProfileError, ConfigError, UntrustedError, InsecureTransportError: there is no such profile, or it
                must not be connected to.
        """
        self._bind()
        state = self._states.get(key) or await self._introduce(key)
        lease = self._new_lease()
        taken = self._core.take(state, lease, self._clock())
        if not taken or state.careful:
            await self._take_with_care(state, lease, timeout)
        else:
            if self._core.dirty:
                self._plan()
            if self._recorder is not None:
                self._recorder.waited(state.name, 0.0)
        lease._pool = self
        lease._link = lease.member.link
        connection: AsyncConnection = lease
        return connection

    async def return_client(self, key: str, connection: AsyncConnection) -> None:
        """Give a connection back.

        Args:
            key: what it was taken with.
            connection: from :meth:`get_client` or :meth:`lease`.

        Raises:
            PoolError: it was given back before, or is not of this pool and key.
        """
        self._give_back(self._checked(key, connection))

    def _give_back(self, lease: Lease) -> None:
        member = lease.member
        if member is None:
            not_taken_back("the connection was returned before")
        key = member.key
        if not self._is_ours(member):
            lease.member = None  # it was taken before a fork, or in a loop that was closed
            return
        now = self._clock()
        suspect = key.test_on_return and member.link.is_suspect(now)
        served = self._core.release(lease, now, suspect=suspect)
        if served is not None:
            _wake(served)
        if self._core.dirty:
            self._plan()
        if self._recorder is not None:
            self._recorder.used(key.name, now - lease.since)

    async def _introduce(self, key: str) -> KeyState:
        return self._introduced(key, *await self._connector.introduce(key))

    # --- waiting -------------------------------------------------------------------------------------------------

    async def _take_with_care(self, state: KeyState, lease: Lease, timeout: float | None) -> None:
        """Wait for a lease, and test it and note who took it where that is wanted."""
        timeout = state.settings.max_block_wait if timeout is None else timeout
        began = self._clock()
        deadline = began + timeout
        again = False
        try:
            while True:
                if lease.member is None:
                    await self._wait(state, lease, deadline, timeout, again=again)
                if not state.settings.test_on_borrow or await self._is_good(lease, deadline):
                    break
                again = True
        except BaseException:
            if lease.member is not None:
                self._give_back(lease)
            raise
        if state.settings.leak_threshold is not None:
            self._core.watch(lease, traceback.extract_stack()[:-2], self._clock())
        if self._core.dirty:
            self._plan()
        if self._recorder is not None:
            self._recorder.waited(state.name, self._clock() - began)

    async def _is_good(self, lease: Lease, deadline: float) -> bool:
        member = lease.member
        if member is None:
            return False
        now = self._clock()
        if not member.link.is_suspect(now) or await member.link.is_good(max(0.0, deadline - now)):
            return True
        self._core.discard(lease, self._clock())
        self._plan()
        return False

    async def _wait(
        self,
        state: KeyState,
        lease: Lease,
        deadline: float,
        timeout: float,
        *,
        again: bool,
    ) -> None:
        if self._core.take(state, lease, self._clock()):
            return
        loop = self._bind()
        signal: asyncio.Future[None] = loop.create_future()
        waiter = Waiter(state, lease, signal)
        answer = self._core.queue_up(waiter, self._clock(), again=again)
        if answer != "waiting":
            raise refused(self._core, state, answer)
        self._plan()
        timer = loop.call_later(max(0.0, deadline - self._clock()), _wake, waiter)
        try:
            await signal
        except BaseException:
            served = self._core.cancel(waiter, self._clock())
            if served is not None:
                _wake(served)
            self._plan()
            raise
        finally:
            timer.cancel()
        if self._core.time_out(waiter, self._clock()):
            self._plan()
            if self._recorder is not None:
                self._recorder.timed_out(state.name)
            raise timed_out(self._core, state, timeout)
        if waiter.outcome is not Outcome.GRANTED:
            raise failed(self._core, waiter)

    # --- keys ----------------------------------------------------------------------------------------------------

    async def configure(self, key: str, settings: PoolSettings) -> None:
        """Give a key settings of its own; what they leave unset is as its profile or else the pool has it.

        Args:
            key: the alias of a profile.
            settings: of ``max_total``, ``eviction_interval`` and ``drain_timeout`` the pool has one for all keys.

        Raises:
            ConfigError: a setting is one of a whole pool, or contradicts another.
            MilvusProfilesError: there is no such profile.
        """
        self._bind()
        name = (await self._introduce(key)).name
        self._core.key(name, self._configured(name, settings))
        self._plan()

    async def prepare(self, key: str, *, timeout: float | None = None) -> None:
        """Open what ``min_idle_per_key`` asks for, one connection at least, and wait for it.

        Args:
            key: the alias of a profile.
            timeout: seconds to wait at most; None waits until connecting has ended one way or the other.

        Raises:
            ConnectFailedError: one could not be opened.
            PoolTimeoutError: that takes too long; it goes on.
            PoolClosedError: the pool is closed.
        """
        loop = self._bind()
        state = self._states.get(key) or await self._introduce(key)
        signal: asyncio.Future[None] = loop.create_future()
        waiter = Waiter(state, None, signal)
        if not self._core.prepare(waiter, self._clock()):
            raise closed(self._core)
        self._plan()
        timer = None if timeout is None else loop.call_later(max(timeout, 0.0), _wake, waiter)
        try:
            await signal
        finally:
            self._core.forget(waiter)
            if timer is not None:
                timer.cancel()
        if waiter.outcome is None:
            raise timed_out(self._core, state, timeout or 0.0)
        if waiter.outcome is not Outcome.GRANTED:
            raise failed(self._core, waiter)

    async def clear(self, key: str | None = None) -> None:
        """Close the connections that are not in use.

        Args:
            key: of this key; None for all.
        """
        self._bind()
        states = (
            list(self._core.keys.values()) if key is None else [self._states.get(key) or await self._introduce(key)]
        )
        for state in states:
            self._core.clear(state, self._clock())
        self._plan()

    async def drain(self) -> None:
        """Replace every connection: no new lease is on one of those that are open now.

        They close when their last lease is returned, after ``drain_timeout`` at the latest.  Does not wait for that.
        """
        self._bind()
        self._core.drain(self._clock())
        self._plan()

    # --- the end -------------------------------------------------------------------------------------------------

    async def close(self, timeout: float | None = None) -> None:
        """Give no more leases, turn away who waits, and close all connections; nothing is left behind.

        Args:
            timeout: seconds to wait for the leases that are out; None takes ``drain_timeout``.  After that calls are
                cut off.  A connection that is still being opened is given up at once.
        """
        loop = self._bind()
        timeout = self._settings.drain_timeout if timeout is None else timeout
        deadline = self._clock() + timeout
        self._core.close(deadline)
        if self._ended is None:
            self._ended = asyncio.Event()
        for task, action in list(self._jobs.items()):
            if isinstance(action, Open):
                task.cancel()
        self._plan()
        last = loop.call_later(max(0.0, deadline - self._clock()) + _LAST_MOMENTS, self._ended.set)
        try:
            await self._ended.wait()
        finally:
            last.cancel()
        if tasks := set(self._jobs) - {asyncio.current_task()}:
            await asyncio.wait(tasks, timeout=_LAST_MOMENTS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        core: Core | None = self.__dict__.get("_core")
        if core is not None and core.total and not core.is_closed:
            # Nobody can await here: what the channels held is given back by their own finalizers.
            warnings.warn(f"{self!r} was dropped without being closed", ResourceWarning, source=self, stacklevel=2)
            if self._timer is not None:
                self._timer.cancel()

    # --- plans and jobs ------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        """Have the core say what is to be done, and do it or begin it."""
        core = self._core
        while True:
            for action in core.plan(self._clock()):
                self._perform(action)
            if not core.dirty:
                break
        if core.is_closed and not core.total and self._ended is not None:
            self._ended.set()
        self._set_timer(core.wake_at if core.total else math.inf)

    def _set_timer(self, wake_at: float) -> None:
        if wake_at == self._timer_at or self._loop is None or self._loop.is_closed():
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = wake_at
        if wake_at < math.inf:
            # The loop must not keep a pool alive that its user has dropped.
            pool: weakref.ref[ConnectionPool] = weakref.ref(self)
            self._timer = self._loop.call_later(max(0.0, wake_at - self._clock()), _due, pool)

    def _perform(self, action: Action) -> None:
        if isinstance(action, Wake):
            _wake(action.waiter)
        elif isinstance(action, Leak):
            warnings.warn(leak_message(action), ResourceWarning, stacklevel=2)
        elif self._loop is not None:
            task = self._loop.create_task(self._do(self._core, action), name="milvus-profiles pool")
            self._jobs[task] = action
            task.add_done_callback(partial(self._done, self._core))

    async def _do(self, core: Core, action: Open | Close | CheckHealth) -> None:
        member = action.member
        if isinstance(action, Open):
            link = await self._connector.open(member.key.name)
            core.opened(member, link, self._clock())
            if self._recorder is not None:
                self._recorder.created(member.key.name, self._clock() - member.born)
        elif isinstance(action, CheckHealth):
            core.tested(member, await member.link.is_good(math.inf), self._clock())
        else:
            await member.link.close(max(0.0, action.deadline - self._clock()))

    def _done(self, core: Core, task: asyncio.Task[None]) -> None:
        """A job has ended, or was cancelled, perhaps before it began: the core learns of it in any case."""
        action = self._jobs.pop(task)
        member = action.member
        cause = asyncio.CancelledError() if task.cancelled() else task.exception()
        if isinstance(action, Close):
            core.closed(member)
        elif isinstance(action, Open) and cause is not None:
            core.open_failed(member, cause.with_traceback(None), self._clock())
        elif cause is not None:
            core.tested(member, False, self._clock())
        if core is self._core:
            self._plan()

    def _forked(self) -> None:
        """In a forked child the pool starts empty: its channels are the parent's."""
        _ABANDONED.append((self._core, self._loop, self._jobs, self._timer))
        for key in self._core.keys.values():
            for member in key.members:
                if member.link is not None:
                    member.link.abandon()
        was_closed = self._core.is_closed
        self._start_empty()
        self._core.is_closed = was_closed


class _Leasing:
    """What :meth:`ConnectionPool.lease` returns."""

    __slots__ = ("_connection", "_key", "_pool", "_timeout")

    def __init__(self, pool: ConnectionPool, key: str, timeout: float | None) -> None:
        self._pool = pool
        self._key = key
        self._timeout = timeout

    async def __aenter__(self) -> AsyncConnection:
        self._connection = connection = await self._pool.get_client(self._key, timeout=self._timeout)
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        connection: Any = self._connection
        if connection.member is not None:
            self._pool._give_back(connection)


def _wake(waiter: Waiter) -> None:
    if not waiter.signal.done():
        waiter.signal.set_result(None)


def _plan_soon(loop: asyncio.AbstractEventLoop, reference: weakref.ref[ConnectionPool]) -> None:
    """A lease was dropped, in whatever thread the garbage collector runs."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(_due, reference)


def _due(reference: weakref.ref[ConnectionPool]) -> None:
    pool = reference()
    if pool is not None:
        if pool._timer is not None:
            pool._timer.cancel()
        pool._timer, pool._timer_at = None, math.inf
        pool._plan()


_POOLS: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()
_ABANDONED: list[Any] = []


def _after_fork() -> None:
    for pool in list(_POOLS):
        pool._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
