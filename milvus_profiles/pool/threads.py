"""The pool for threads, as its users see it: it takes leases and waits for them; what is to be done is the core's.

A borrower takes the lock of the pool for a few assignments, twice for each lease.  Everything that takes time happens
elsewhere (see :mod:`.worker`).
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import MilvusProfilesError
from ..live.api import Connection
from ..names import seconds_of
from ..pool_settings import PoolSettings
from ..profile import Profile
from .base import BasePool, Check, Leasing, Plan, Wait, wrong_keyword
from .reports import not_on_lease
from .state import KeyState, Lease, Waiter
from .worker import Worker

if TYPE_CHECKING:
    from typing_extensions import Never, Self

    from ..config.profiles import Profiles
    from .connector import Connector

_LOOK = 0.25
"""Seconds after which whoever waits has somebody look whether that is for nothing."""


_PAUSES = (0.0, 0.0, 20e-6, 20e-6, 50e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3)
"""Seconds between looks; whoever had no luck after all of them blocks."""


class ContentionGuard:
    """Who is at a lock, and a lock at which threads do not queue up that is held for a microsecond at a time.

    A thread that blocks on a lock is woken when the lock is let go of, and owns it before it has the interpreter: until
    it does, whoever runs meanwhile finds the lock taken and blocks in turn, and from then on every use of the lock
    costs a switch of threads, some ten times of what the use itself does (a lock convoy).  So nobody blocks on a lock
    of which he can see that it is held: its holder was most likely put aside in the middle of it, and needs the
    interpreter, not company.  What is seen is a hint; the lock alone guards.

    As a context manager: says that the thread may block on the lock within the block.

    Attributes:
        lock: the lock.
        contended: true where it is better to :meth:`back_off` first.  Whoever holds the lock makes it True, and at the
            end the set ``blocked``, which is true as long as there is somebody in it.  It may stay True after an
            interrupt, which does no harm but to the speed of the next.
        blocked: the threads that may be blocking on the lock.
    """

    __slots__ = ("blocked", "contended", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocked: set[int] = set()
        self.contended: bool | set[int] = self.blocked

    def back_off(self) -> None:
        """Let those who are there go first; after that the lock is most likely free."""
        for pause in _PAUSES:
            time.sleep(pause)
            if not self.contended:
                return
        with self, self.lock:
            # An interrupt may have left either behind.  Who does wait there just goes unseen.
            self.blocked.clear()
            self.contended = self.blocked

    def __enter__(self) -> None:
        self.blocked.add(threading.get_ident())

    def __exit__(self, *_: object) -> None:
        self.blocked.discard(threading.get_ident())


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
        **wrong: Never,
    ) -> None:
        if wrong:
            raise wrong_keyword("ConnectionPool(…)", wrong)
        if connector is None:
            from .connector import MilvusConnector

            connector = MilvusConnector(profiles)
        super().__init__(settings, connector, clock)

    def _start_empty(self) -> None:
        super()._start_empty()
        self._guard = self._contention = ContentionGuard()
        self._lock = self._contention.lock
        self._worker = Worker(self._core, self._guard, self._lock, self._connector.open, self._clock)
        self._worker.recorder = self._recorder
        self._notify, self._notify_if_possible = self._worker.notify, self._worker.notify_if_possible
        self._tell = self._worker.call

    # --- leases --------------------------------------------------------------------------------------------------

    def lease(self, key: str | Profile, *, timeout: float | None = None) -> _Leasing:
        """A connection for the length of a ``with`` block.

        Args:
            key: the alias of a profile, or the profile itself.
            timeout: seconds to wait for it at most, connecting included; None takes ``max_block_wait``.

        Raises:
            PoolError, MilvusProfilesError: as :meth:`get_client`, when the block is entered.
        """
        leasing = _Leasing()  # an __init__ would cost as much as the lock
        leasing._pool = self
        leasing._key = key
        leasing._timeout = timeout
        return leasing

    def get_client(self, key: str | Profile, *, timeout: float | None = None) -> Connection:
        """Take a connection; give it back with :meth:`return_client`, or close it.

        Args:
            key: the alias of a profile, or the profile itself.
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
            return self._take(key, timeout)
        except MilvusProfilesError as error:
            error.__traceback__ = None
            raise error

    def _take(self, key: str | Profile, timeout: float | None) -> Connection:
        try:
            state = self._states[key]
        except (KeyError, TypeError):  # TypeError of what has no hash
            state = None
        if state is None:  # out of the handler: that there is no such profile is no news about a dictionary
            state = self._introduce(key)
        lease = self._new_lease()
        lease.entry = None
        guard = self._contention
        if guard.contended:
            guard.back_off()
        with self._lock:
            guard.contended = True
            taken = not state.queue and self._core.grant(state, lease, self._clock())
            guard.contended = guard.blocked
        if not taken or state.extra_steps:
            waiter = Waiter(state, lease)
            self._carry_out(waiter, self._acquire(waiter, lease, timeout))
        else:
            if self._core.dirty:
                self._worker.notify()
            if self._recorder is not None:
                self._recorder.took("wait_time", state.name, 0.0)
        lease._pool = self
        lease._pooled = lease.entry.channel  # pyright: ignore[reportAttributeAccessIssue]  # it was granted
        connection: Connection = lease
        return connection

    def return_client(self, key: str | Profile, connection: Connection) -> None:
        """Give a connection back.

        Args:
            key: what it was taken with.
            connection: from :meth:`get_client` or :meth:`lease`.

        Raises:
            PoolError: it was given back before, or is not of this pool and key.
        """
        self._give_back(self._lease_of(key, connection))

    def _give_back(self, lease: Lease) -> None:
        entry = lease.entry
        if entry is None:
            not_on_lease()
        key = entry.key
        if key.dropped is not self._core.dropped:  # as _is_ours, without the call
            lease.entry = lease.reference = None  # it was taken before a fork, so it is the parent's
            return
        try:
            now = self._clock()
            check = key.test_on_return and entry.channel.needs_check(now)
            guard = self._contention
            if guard.contended:
                guard.back_off()
            try:
                with self._lock:
                    guard.contended = True
                    served = self._core.release(lease, now, check)
                    guard.contended = guard.blocked
                    if served is not None:
                        served.signal.release()
            except ValueError:
                not_on_lease()
            if self._core.dirty:
                self._notify_if_possible()
            if self._recorder is not None:
                self._recorder.took("use_time", key.name, now - lease.since)
        except BaseException:
            # An interrupt, most likely; the next to look at the key finds what was not done, but for this.
            if lease.entry is not None:
                self._give_back(lease)
            raise

    # --- waiting -------------------------------------------------------------------------------------------------

    def _carry_out(self, waiter: Waiter, plan: Plan) -> None:
        try:
            step = next(plan)
            while True:
                if isinstance(step, Check):
                    step = plan.send(step.channel.is_healthy(step.timeout))
                else:
                    self._sleep(waiter, step)
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

    def _sleep(self, waiter: Waiter, wait: Wait) -> None:
        key = waiter.key
        while waiter.outcome is None and (waiter.lease is None or waiter.lease.entry is None):
            left = wait.deadline - self._clock()
            if left <= 0 or waiter.signal.acquire(timeout=min(left, _LOOK)):
                return
            # What he waits for may have been lost with an interrupt: the hand-over of a lease, or the worker itself.
            if waiter.lease is None or not key.queue or key.queue[0] is waiter:
                with self._guard, self._lock:
                    self._core.recover(key)
                    self._core.dirty[key] = None
                self._worker.notify()

    def _new_signal(self) -> threading.Lock:
        # Taken here and released by whoever hands the lease over: the cheapest thing to wait for.
        signal = threading.Lock()
        signal.acquire()
        return signal

    def _wake(self, signal: threading.Lock) -> None:
        signal.release()

    # --- keys ----------------------------------------------------------------------------------------------------

    def _introduce(self, key: str | Profile) -> KeyState:
        return self._introduced(key, *self._connector.introduce(key))

    def configure(self, key: str | Profile, settings: PoolSettings) -> None:
        """Give a key settings of its own; what they leave unset is as its profile or else the pool has it.

        Args:
            key: the alias of a profile, or the profile itself.
            settings: of ``max_total``, ``eviction_interval`` and ``drain_timeout`` the pool has one for all keys.

        Raises:
            ConfigError: a setting is one of a whole pool, or contradicts another.
            MilvusProfilesError: there is no such profile.
        """
        self._configure(self._introduce(key).name, settings)

    def prepare(self, key: str | Profile, *, timeout: float | None = None) -> None:
        """Open what ``min_idle_per_key`` asks for, one connection at least, and wait for it.

        Args:
            key: the alias of a profile, or the profile itself.
            timeout: seconds to wait at most; None waits until connecting has ended one way or the other.

        Raises:
            ConnectFailedError: one could not be opened.
            PoolTimeoutError: that takes too long; it goes on.
            PoolClosedError: the pool is closed.
        """
        waiter = Waiter(self._state_of(key) or self._introduce(key), None, self._new_signal())
        self._carry_out(waiter, self._await_prepared(waiter, timeout))

    def clear(self, key: str | Profile | None = None) -> None:
        """Close the connections that are not in use.

        Args:
            key: of this key; None for all.
        """
        state = None if key is None else self._state_of(key) or self._introduce(key)
        self._tell(lambda core, now: core.clear(state, now))

    def drain(self) -> None:
        """Replace every connection: no new lease is on one of those that are open now.

        They close when their last lease is returned, after ``drain_timeout`` at the latest.  Does not wait for that.
        """
        self._tell(lambda core, now: core.drain(now))

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
        self._worker.close(self._settings.drain_timeout if timeout is None else seconds_of("timeout=", timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        worker = self.__dict__.get("_worker")
        if worker is not None and worker.orphan():
            warnings.warn(f"{self!r} was dropped without being closed", ResourceWarning, source=self, stacklevel=2)

    def _forked(self) -> None:
        self._worker.abandon()
        super()._forked()


class _Leasing(Leasing):
    __slots__ = ()

    def __enter__(self) -> Connection:
        try:
            connection: Connection = self._pool._take(self._key, self._timeout)
        except MilvusProfilesError as error:
            error.__traceback__ = None
            raise error
        self._connection = connection
        return connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        connection = self._connection
        if connection.entry is not None:
            self._pool._give_back(connection)
