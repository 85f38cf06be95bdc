"""The pool for threads, as its users see it: it takes leases and waits for them; what is to be done is the core's.

A borrower takes the lock of the pool for a few assignments, twice for each lease.  Everything that takes time happens
elsewhere (see :mod:`.worker`).
"""

from __future__ import annotations

import math
import os
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..live.connection import Connection
from ..profile import PoolSettings
from .base import BasePool, closed, failed, not_taken_back, refused, timed_out
from .convoy import ConvoyGuard
from .core import Core
from .state import KeyState, Lease, Member, Outcome, Waiter
from .worker import Worker

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..config.profiles import Profiles
    from .connector import Connector

__all__ = ["ConnectionPool"]

_LOOK = 0.25
"""Seconds after which whoever waits has somebody look whether that is for nothing."""


class ConnectionPool(BasePool):
    """Leases on live connections, by the alias of their profile; usable from any thread.

        with mp.ConnectionPool() as pool:
            with pool.lease("prod") as conn:
                conn.ping()

    Every channel is a TCP connection of its own.  In ``shared`` mode, the default, a lease is on the channel with the
    fewest leases, and channels are added as they fill up; in ``exclusive`` mode a channel has one lease at a time.
    Nothing connects before the first lease.

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
        connector: Connector | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if connector is None:
            from .connector import MilvusConnector

            connector = MilvusConnector(profiles)
        self._connector = connector
        self._new_lease: Callable[[], Any] = connector.lease
        super().__init__(settings, clock)
        _POOLS.add(self)

    def _start_empty(self) -> None:
        super()._start_empty()
        self._convoy = ConvoyGuard()
        self._lock = self._convoy.lock
        self._worker = Worker(self._core, self._convoy, self._connector.open, self._clock)
        self._worker.recorder = self._recorder

    def _guard(self) -> threading.Lock:
        return self._lock

    # --- leases --------------------------------------------------------------------------------------------------

    def lease(self, key: str, *, timeout: float | None = None) -> _Leasing:
        """A connection for the length of a ``with`` block.

        Args:
            key: the alias of a profile.
            timeout: seconds to wait for it at most, connecting included; None takes ``max_block_wait``.

        Raises:
            PoolError, MilvusProfilesError: as :meth:`get_client`, when the block is entered.
        """
        leasing = object.__new__(_Leasing)  # an __init__ would cost as much as the lock
        leasing._pool = self
        leasing._key = key
        leasing._timeout = timeout
        return leasing

    def get_client(self, key: str, *, timeout: float | None = None) -> Connection:
        """Take a connection; give it back with :meth:`return_client`, or close it.

        Args:
            key: the alias of a profile.
            timeout: seconds to wait for it at most, connecting included; None takes ``max_block_wait``.

        Raises:
            PoolExhaustedError: all are in use, and no more may wait (``block_when_exhausted``, ``max_waiting``).
            PoolTimeoutError: none was to be had in time.
            ConnectFailedError: none could be opened, and there is no other that could become free.
            PoolClosedError: the pool is closed.
            UnknownProfileError, ConfigError, UntrustedError, InsecureTransportError: there is no such profile, or it
                must not be connected to.
        """
        try:
            state = self._states[key]
        except KeyError:
            state = None
        if state is None:  # out of the handler: that there is no such profile is no news about a dictionary
            state = self._introduce(key)
        lease = self._new_lease()
        guard = self._convoy
        if guard.ahead:
            guard.let_pass()
        with self._lock:
            guard.ahead = True
            taken = not state.queue and self._core.grant(state, lease, self._clock())
            guard.ahead = guard.blocked
        if not taken or state.careful:
            self._take_with_care(state, lease, timeout)
        else:
            if self._core.dirty:
                self._worker.poke()
            if self._recorder is not None:
                self._recorder.waited(state.name, 0.0)
        lease._pool = self
        lease._link = lease.member.link
        connection: Connection = lease
        return connection

    def return_client(self, key: str, connection: Connection) -> None:
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
        if key.dropped is not self._core.dropped:  # as _is_ours, without the call
            lease.member = None  # it was taken before a fork, so it is the parent's
            return
        try:
            self._return(lease, member, key)
        except BaseException:
            # An interrupt, most likely; the next to look at the key finds what was not done, but for this.
            if lease.member is not None:
                self._return(lease, member, key)
            raise

    def _return(self, lease: Lease, member: Member, key: KeyState) -> None:
        now = self._clock()
        suspect = key.test_on_return and member.link.is_suspect(now)
        guard = self._convoy
        if guard.ahead:
            guard.let_pass()
        try:
            with self._lock:
                guard.ahead = True
                served = self._core.release(lease, now, suspect=suspect)
                guard.ahead = guard.blocked
                if served is not None:
                    served.signal.release()
        except ValueError:
            not_taken_back("the connection was returned before")
        if self._core.dirty:
            self._worker.poke_if_possible()
        if self._recorder is not None:
            self._recorder.used(key.name, now - lease.since)

    def _give_back_once(self, lease: Lease) -> None:
        if lease.member is not None:
            self._give_back(lease)

    def _introduce(self, key: str) -> KeyState:
        return self._introduced(key, *self._connector.introduce(key))

    # --- waiting -------------------------------------------------------------------------------------------------

    def _take_with_care(self, state: KeyState, lease: Lease, timeout: float | None) -> None:
        """Wait for a lease, and test it and note who took it where that is wanted."""
        timeout = state.settings.max_block_wait if timeout is None else timeout
        began = self._clock()
        deadline = began + timeout
        again = False
        try:
            while True:
                if lease.member is None:
                    self._wait(state, lease, deadline, timeout, again=again)
                if not state.settings.test_on_borrow or self._is_good(lease, deadline):
                    break
                again = True
        except BaseException:
            if lease.member is not None:
                self._give_back(lease)
            raise
        if state.settings.leak_threshold is not None:
            stack = traceback.extract_stack()[:-2]
            with self._convoy, self._lock:
                self._core.watch(lease, stack, self._clock())
            self._worker.poke()
        if self._recorder is not None:
            self._recorder.waited(state.name, self._clock() - began)

    def _is_good(self, lease: Lease, deadline: float) -> bool:
        member = lease.member
        if member is None:
            return False
        now = self._clock()
        if not member.link.is_suspect(now) or member.link.is_good(max(0.0, deadline - now)):
            return True
        with self._convoy, self._lock:
            self._core.discard(lease, self._clock())
        self._worker.poke()
        return False

    def _wait(self, state: KeyState, lease: Lease, deadline: float, timeout: float, *, again: bool) -> None:
        signal = threading.Lock()
        waiter = Waiter(state, lease, signal)
        late = False
        try:
            # Taken here and released by whoever hands the lease over: the cheapest thing to wait for.
            signal.acquire()
            with self._convoy, self._lock:
                if self._core.take(state, lease, self._clock()):
                    return
                answer = self._core.queue_up(waiter, self._clock(), again=again)
            if answer == "waiting":
                self._worker.poke()
                self._sleep(waiter, deadline)
                with self._convoy, self._lock:
                    late = self._core.time_out(waiter, self._clock())
                if waiter.outcome is Outcome.GRANTED:
                    return
        except BaseException:
            with self._convoy, self._lock:
                served = self._core.cancel(waiter, self._clock())
                if served is not None:
                    served.signal.release()
            self._worker.poke_if_possible()
            raise
        if late:
            self._worker.poke_if_possible()
            if self._recorder is not None:
                self._recorder.timed_out(state.name)
        with self._convoy, self._lock:
            if answer != "waiting":
                raise refused(self._core, state, answer)
            raise timed_out(self._core, state, timeout) if late else failed(self._core, waiter)

    def _sleep(self, waiter: Waiter, deadline: float) -> None:
        """Until he is woken, or the time has passed."""
        while waiter.outcome is None and (waiter.lease is None or waiter.lease.member is None):
            left = deadline - self._clock()
            if left <= 0 or waiter.signal.acquire(timeout=min(left, _LOOK)):
                return
            # What he waits for may have been lost with an interrupt: the hand-over of a lease, or the worker itself.
            key = waiter.key
            if waiter.lease is None or not key.queue or key.queue[0] is waiter:
                with self._convoy, self._lock:
                    self._core.recover(key)
                    self._core.dirty[key] = None
                self._worker.poke()

    # --- keys ----------------------------------------------------------------------------------------------------

    def configure(self, key: str, settings: PoolSettings) -> None:
        """Give a key settings of its own; what they leave unset is as its profile or else the pool has it.

        Args:
            key: the alias of a profile.
            settings: of ``max_total``, ``eviction_interval`` and ``drain_timeout`` the pool has one for all keys.

        Raises:
            ConfigError: a setting is one of a whole pool, or contradicts another.
            MilvusProfilesError: there is no such profile.
        """
        name = self._introduce(key).name
        full = self._configured(name, settings)
        self._worker.call(lambda core, _: core.key(name, full))

    def prepare(self, key: str, *, timeout: float | None = None) -> None:
        """Open what ``min_idle_per_key`` asks for, one connection at least, and wait for it.

        Args:
            key: the alias of a profile.
            timeout: seconds to wait at most; None waits until connecting has ended one way or the other.

        Raises:
            ConnectFailedError: one could not be opened.
            PoolTimeoutError: that takes too long; it goes on.
            PoolClosedError: the pool is closed.
        """
        state = self._states.get(key) or self._introduce(key)
        signal = threading.Lock()
        signal.acquire()
        waiter = Waiter(state, None, signal)
        deadline = math.inf if timeout is None else self._clock() + timeout
        if not self._worker.call(lambda core, now: core.prepare(waiter, now)):
            raise closed(self._core)
        try:
            self._sleep(waiter, deadline)
        finally:
            self._worker.call(lambda core, _: core.forget(waiter))
        if waiter.outcome is Outcome.GRANTED:
            return
        with self._convoy, self._lock:
            if waiter.outcome is None:
                raise timed_out(self._core, state, timeout or 0.0)
            raise failed(self._core, waiter)

    def clear(self, key: str | None = None) -> None:
        """Close the connections that are not in use.

        Args:
            key: of this key; None for all.
        """
        state = None if key is None else self._states.get(key) or self._introduce(key)

        def event(core: Core, now: float) -> None:
            for each in core.keys.values() if state is None else (state,):
                core.clear(each, now)

        self._worker.call(event)

    def drain(self) -> None:
        """Replace every connection: no new lease is on one of those that are open now.

        They close when their last lease is returned, after ``drain_timeout`` at the latest.  Does not wait for that.
        """
        self._worker.call(lambda core, now: core.drain(now))

    def instrument(self, *, name: str = "milvus", meter_provider: Any = None) -> None:
        super().instrument(name=name, meter_provider=meter_provider)
        self._worker.recorder = self._recorder

    # --- the end -------------------------------------------------------------------------------------------------

    def close(self, timeout: float | None = None) -> None:
        """Give no more leases, turn away who waits, and close all connections; nothing is left behind.

        Args:
            timeout: seconds to wait for the leases that are out, and for connections that are being opened; None takes
                ``drain_timeout``.  After that calls are cut off, and a connection that is still being opened closes
                once it is.
        """
        timeout = self._settings.drain_timeout if timeout is None else timeout
        self._worker.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        worker = self.__dict__.get("_worker")
        if worker is not None and worker.orphan():
            warnings.warn(f"{self!r} was dropped without being closed", ResourceWarning, source=self, stacklevel=2)

    def _forked(self) -> None:
        """In a forked child the pool starts empty: its channels are the parent's."""
        self._worker.abandon()
        was_closed = self._core.is_closed
        self._start_empty()
        self._core.is_closed = was_closed


class _Leasing:
    """What :meth:`ConnectionPool.lease` returns."""

    __slots__ = ("_connection", "_key", "_pool", "_timeout")

    _connection: Connection
    _key: str
    _pool: ConnectionPool
    _timeout: float | None

    def __enter__(self) -> Connection:
        self._connection = connection = self._pool.get_client(self._key, timeout=self._timeout)
        return connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        connection: Any = self._connection
        if connection.member is not None:
            self._pool._give_back(connection)


_POOLS: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_POOLS):
        pool._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
