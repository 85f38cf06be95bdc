"""The pool for asyncio: it waits, opens and closes; what is to be done is the core's decision.

There is no worker here: whoever tells the core something has the plan made on the spot, each channel is opened, checked
and closed in a task of its own, and one timer is set for when the next plan is due.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import MilvusProfilesError, PoolError
from ..live.aio_connecting import AsyncConnection
from ..live.aio_registry import check_fork
from ..names import seconds_of
from ..pool_settings import PoolSettings
from ..profile import Profile
from .base import BasePool, Check, Leasing, Plan, Wait, wrong_keyword
from .core import Core, Event
from .reports import leak_message, not_on_lease, tell_leak
from .state import Action, CheckHealth, KeyState, Leak, Lease, Open, Waiter, Wake, Work

if TYPE_CHECKING:
    from typing_extensions import Never, Self

    from ..config.profiles import Profiles
    from ..live.aio_connecting import AsyncConnection
    from .aio_connector import AsyncConnector

_LAST_MOMENTS = 2.0
"""Seconds that cutting off what is left may take after the deadline of a close."""


class ConnectionPool(BasePool):
    """As :class:`milvus_profiles.ConnectionPool`, within one event loop.

        async with mp.aio.ConnectionPool() as pool:
            async with pool.lease("prod") as conn:
                await conn.ping()

    Cancelled anywhere, it leaves no lease out and no channel open.

    Args:
        settings, profiles, connector, clock: as for :class:`milvus_profiles.ConnectionPool`.
    """

    _guard = _lock = contextlib.nullcontext()

    def __init__(
        self,
        settings: PoolSettings | None = None,
        profiles: Profiles | None = None,
        *,
        connector: AsyncConnector | None = None,
        clock: Callable[[], float] = time.monotonic,
        **wrong: Never,
    ) -> None:
        if wrong:
            raise wrong_keyword("aio.ConnectionPool(…)", wrong)
        if connector is None:
            from .aio_connector import AsyncMilvusConnector

            connector = AsyncMilvusConnector(profiles)
        super().__init__(settings, connector, clock)

    def _start_empty(self) -> None:
        super()._start_empty()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._jobs: dict[asyncio.Task[Any], Work] = {}
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
                self._restart()
            self._loop = loop
            self._core.dropped.notify = partial(_plan_soon, loop, weakref.ref(self))
        return loop

    # --- leases --------------------------------------------------------------------------------------------------

    def lease(self, key: str | Profile, *, timeout: float | None = None) -> AsyncLeasing:
        """A connection for the length of an ``async with`` block.

        Args:
            key: the alias of a profile, or the profile itself.
            timeout: seconds to wait for it at most, connecting included; None takes ``max_block_wait``.

        Raises:
            PoolError, MilvusProfilesError: as :meth:`get_client`, when the block is entered.
        """
        leasing = AsyncLeasing()
        leasing._pool, leasing._key, leasing._timeout = self, key, timeout
        return leasing

    async def get_client(self, key: str | Profile, *, timeout: float | None = None) -> AsyncConnection:
        """Take a connection; give it back with :meth:`return_client`, or close it.

        Args:
            key: the alias of a profile, or the profile itself.
            timeout: seconds to wait for it at most, connecting included; None takes ``max_block_wait``.

        Raises:
            PoolError: the pool belongs to another event loop.
            ForkError: the parent of this forked process used asyncio connections.
            PoolExhaustedError, PoolTimeoutError, ConnectFailedError, PoolClosedError, ...: as for threads.
        """
        try:
            return self._take_at_once(key) or await self._take(key, timeout)
        except MilvusProfilesError as error:
            error.__traceback__ = None
            raise error

    def _take_at_once(self, key: str | Profile) -> AsyncConnection | None:
        """A connection, where that takes nothing but to take it; None says nothing else than that."""
        loop = asyncio._get_running_loop()
        if loop is None or loop is not self._loop:
            return None
        try:
            state = self._states[key]
        except (KeyError, TypeError):  # TypeError of what has no hash
            return None
        if state.extra_steps or state.queue:
            return None
        lease = self._new_lease()
        if not self._core.grant(state, lease, self._clock()):
            return None
        if self._core.dirty:
            self._plan()
        if self._recorder is not None:
            self._recorder.took("wait_time", state.name, 0.0)
        return self._filled(lease)

    async def _take(self, key: str | Profile, timeout: float | None) -> AsyncConnection:
        state = await self._key(key)
        lease = self._new_lease()
        lease.entry = None
        waiter = Waiter(state, lease)
        await self._carry_out(waiter, self._acquire(waiter, lease, timeout))
        return self._filled(lease)

    def _filled(self, lease: Any) -> AsyncConnection:
        lease._pool = self
        lease._pooled = lease.entry.channel
        connection: AsyncConnection = lease
        return connection

    async def return_client(self, key: str | Profile, connection: AsyncConnection) -> None:
        """Give a connection back, as :meth:`milvus_profiles.ConnectionPool.return_client` does."""
        self._give_back(self._lease_of(key, connection))

    def _give_back(self, lease: Lease) -> None:
        entry = lease.entry
        if entry is None:
            not_on_lease()
        if not self._is_ours(entry):
            lease.entry = lease.reference = None
            return
        key = entry.key
        now = self._clock()
        served = self._core.release(lease, now, check=key.test_on_return and entry.channel.needs_check(now))
        if served is not None:
            self._wake(served.signal)
        if self._core.dirty:
            self._plan()
        if self._recorder is not None:
            self._recorder.took("use_time", key.name, now - lease.since)

    async def _carry_out(self, waiter: Waiter, plan: Plan) -> None:
        try:
            step = next(plan)
            while True:
                if isinstance(step, Check):
                    step = plan.send(await step.channel.is_healthy(step.timeout))
                else:
                    await self._sleep(waiter, step)
                    step = next(plan)
        except StopIteration as end:
            error = end.value
        except BaseException:
            self._give_up(waiter)
            raise
        if error is not None:
            try:
                raise error
            finally:
                del error  # which would keep its traceback, and with it the caller's leases

    async def _sleep(self, waiter: Waiter, wait: Wait) -> None:
        timer = None
        if wait.deadline < math.inf:
            seconds = max(0.0, wait.deadline - self._clock())
            timer = asyncio.get_running_loop().call_later(seconds, self._wake, waiter.signal)
        try:
            await waiter.signal
        finally:
            if timer is not None:
                timer.cancel()

    def _new_signal(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def _wake(self, signal: asyncio.Future[None]) -> None:
        if not signal.done():
            signal.set_result(None)

    def _notify(self) -> None:
        if self._core.dirty:
            self._plan()

    _notify_if_possible = _notify  # pyright: ignore[reportAssignmentType]  # bound when it is called

    def _tell(self, event: Event) -> Any:
        answer = event(self._core, self._clock())
        self._plan()
        return answer

    # --- keys ----------------------------------------------------------------------------------------------------

    async def _key(self, key: str | Profile) -> KeyState:
        self._bind()
        return self._state_of(key) or await self._introduce(key)

    async def _introduce(self, key: str | Profile) -> KeyState:
        return self._introduced(key, *await self._connector.introduce(key))

    async def configure(self, key: str | Profile, settings: PoolSettings) -> None:
        """Give a key settings of its own, as :meth:`milvus_profiles.ConnectionPool.configure` does."""
        self._bind()
        self._configure((await self._introduce(key)).name, settings)

    async def prepare(self, key: str | Profile, *, timeout: float | None = None) -> None:
        """Open what ``min_idle_per_key`` asks for, one connection at least, and wait for it.

        Args:
            key: the alias of a profile, or the profile itself.
            timeout: seconds to wait at most; None waits until connecting has ended one way or the other.
        """
        waiter = Waiter(await self._key(key), None, self._new_signal())
        await self._carry_out(waiter, self._await_prepared(waiter, timeout))

    async def clear(self, key: str | Profile | None = None) -> None:
        """Close the connections of a key that are not in use, as :meth:`milvus_profiles.ConnectionPool.clear` does."""
        self._bind()
        state = None if key is None else await self._key(key)
        self._tell(lambda core, now: core.clear(state, now))

    async def drain(self) -> None:
        """Replace every connection; those that are open now close when their last lease is returned."""
        self._bind()
        self._tell(lambda core, now: core.drain(now))

    # --- the end -------------------------------------------------------------------------------------------------

    async def close(self, timeout: float | None = None) -> None:
        """Give no more leases, turn away who waits, and close all connections; nothing is left behind.

        Args:
            timeout: seconds to wait for the leases that are out; None takes ``drain_timeout``.  After that calls are
                cut off.  A connection that is still being opened is given up at once.
        """
        loop = self._bind()
        deadline = self._clock() + (
            self._settings.drain_timeout if timeout is None else seconds_of("timeout=", timeout)
        )
        if self._ended is None:
            self._ended = asyncio.Event()
        for task, action in list(self._jobs.items()):
            if isinstance(action, Open):
                task.cancel()
        self._tell(lambda core, _: core.close(deadline))
        last = loop.call_later(max(0.0, deadline - self._clock()) + _LAST_MOMENTS, self._ended.set)
        try:
            await self._ended.wait()
        finally:
            last.cancel()
        if tasks := set(self._jobs) - {asyncio.current_task()}:
            await asyncio.wait(tasks, timeout=_LAST_MOMENTS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
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
        self._timer, self._timer_at = None, wake_at
        if wake_at < math.inf:
            # The loop must not keep a pool alive that its user has dropped.
            pool: weakref.ref[ConnectionPool] = weakref.ref(self)
            self._timer = self._loop.call_later(max(0.0, wake_at - self._clock()), _due, pool)

    def _perform(self, action: Action) -> None:
        if isinstance(action, Wake):
            self._wake(action.signal)
        elif isinstance(action, Leak):
            tell_leak(action)
            warnings.warn(leak_message(action), ResourceWarning, stacklevel=2)
        elif self._loop is not None:
            task = self._loop.create_task(self._work(action), name="milvus-profiles pool")
            self._jobs[task] = action
            task.add_done_callback(partial(self._done, self._core))

    async def _work(self, action: Work) -> Any:
        entry = action.entry
        if isinstance(action, Open):
            channel = await self._connector.open(entry.key.name)
            if self._recorder is not None:
                self._recorder.took("create_time", entry.key.name, self._clock() - entry.born)
            return channel
        if isinstance(action, CheckHealth):
            return await entry.channel.is_healthy(math.inf)
        return await entry.channel.close(max(0.0, action.deadline - self._clock()))

    def _done(self, core: Core, task: asyncio.Task[Any]) -> None:
        """A job has ended, or was cancelled, perhaps before it began."""
        action = self._jobs.pop(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        result = None if error is not None else task.result()
        core.done(action, result, None if error is None else error.with_traceback(None), self._clock())
        if core is self._core:
            self._plan()


def _plan_soon(loop: asyncio.AbstractEventLoop, reference: weakref.ref[ConnectionPool]) -> None:
    """A lease was dropped, in whatever thread the garbage collector runs."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(_due, reference)


def _due(reference: weakref.ref[ConnectionPool]) -> None:
    pool = reference()
    if pool is not None:
        pool._set_timer(math.inf)
        pool._plan()


class AsyncLeasing(Leasing):
    """A connection for the length of an ``async with`` block."""

    __slots__ = ()

    async def __aenter__(self) -> AsyncConnection:
        try:
            connection: AsyncConnection = self._pool._take_at_once(self._key) or await self._pool._take(
                self._key, self._timeout
            )
        except MilvusProfilesError as error:
            error.__traceback__ = None  # who reads it sees the caller's line and this one
            raise error
        self._connection = connection
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connection.entry is not None:
            self._pool._give_back(self._connection)
