"""What the pool for threads and the pool for asyncio have in common, apart from the core.

Settings, keys and numbers; what a borrower does who has to wait, as a plan that each shell carries out in its own way;
and the fork.
"""

from __future__ import annotations

import math
import os
import random
import traceback
import weakref
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from pydantic import ValidationError

from ..channel.channel import OfThisProcess
from ..errors import ConfigError, Location, ParamError, PoolError, PoolExhaustedError, PoolTimeoutError
from ..log import log
from ..masked import as_given, even_half_made
from ..names import alias_of, fold_alias, seconds_of, suggest_field
from ..pool_settings import POOL_WIDE, PoolSettings
from ..pool_stats import KeyStats, PoolStats
from ..profile import Profile
from ..text import counted
from .core import Core, Event
from .reports import Telemetry, closed, failed, not_on_lease, refused, timed_out
from .state import KeyState, Lease, Outcome, PoolEntry, Waiter


class Wait(NamedTuple):
    """Wait until the waiter is woken, or for the time to come."""

    deadline: float


class Check(NamedTuple):
    """Ask the server whether a channel that is on lease is healthy, and send the answer."""

    channel: Any
    timeout: float


_ROOM = os.path.dirname(__file__)

Plan = Generator[Wait | Check, Any, "PoolError | None"]
"""What a borrower does who has to wait: it yields what takes time, and returns the error to raise, if any.

It guards the core by itself.  Interrupted, it is dropped: :meth:`BasePool._give_up` does the rest.
"""


@even_half_made
class BasePool(OfThisProcess):
    """What a pool is, however its users wait."""

    _elsewhere = "milvus_profiles.connect(ALIAS), or a pool of its own"

    # What each shell has of its own. These two are held while the core is read or changed; an event loop needs neither.
    _guard: AbstractContextManager[object]
    _lock: AbstractContextManager[object]
    _notify: Callable[[], None]
    """Has a plan made, if there is anything to plan."""
    _notify_if_possible: Callable[[], None]
    """The same; what cannot be planned now is left to the next who does."""
    _tell: Callable[[Event], Any]
    """Tells the core something, has a plan made, and returns what it answers."""
    _new_signal: Callable[[], Any]
    """Makes what somebody waits for."""
    _wake: Callable[[Any], None]
    """Gives such a signal."""
    _give_back: Callable[[Lease], None]

    def __init__(self, settings: PoolSettings | None, connector: Any, clock: Callable[[], float]) -> None:
        self._settings = PoolSettings() if settings is None else _checked(settings)
        self._connector = connector
        self._new_lease: Callable[[], Any] = connector.lease
        self._clock = clock
        self._profile_settings: dict[str, PoolSettings | None] = {}
        self._own_settings: dict[str, PoolSettings] = {}
        self._recorder: Telemetry | None = None
        self._start_empty()
        _POOLS.add(self)

    def _start_empty(self) -> None:
        """Have no channels: at first, and where those there were are not to be used any more."""
        self._core = Core(self._settings, random.Random())  # noqa: S311
        self._states: dict[str | Profile, KeyState] = {}

    def _restart(self) -> None:
        was_closed = self._core.is_closed
        self._start_empty()
        self._core.is_closed = was_closed

    def _forked(self) -> None:
        _PARENTS.append(vars(self).copy())  # kept, so that the garbage collector closes nothing
        for entry in self._core.open_entries():
            entry.channel.abandon()
        self._restart()

    # --- waiting ---

    def _acquire(self, waiter: Waiter, lease: Lease, timeout: float | None) -> Plan:
        """Have a lease: wait for it, check its channel, and note who took it, as far as that is wanted."""
        key = waiter.key
        timeout = key.settings.max_block_wait if timeout is None else seconds_of("timeout=", timeout)
        began = self._clock()
        deadline = began + timeout
        again = False
        while True:
            if lease.entry is None:
                error = yield from self._queue(waiter, lease, deadline, timeout, again)
                if error is not None:
                    if isinstance(error, (PoolExhaustedError, PoolTimeoutError)):
                        log("exhausted", key=key.name, message=error.message)
                    return error
            now = self._clock()
            channel = None if lease.entry is None else lease.entry.channel
            if channel is not None:
                if not key.settings.test_on_borrow or not channel.needs_check(now):
                    break
                if (yield Check(channel, max(0.0, deadline - now))):
                    break
                with self._guard, self._lock:
                    self._core.discard(lease, self._clock())
                self._notify()
            again = True
        if key.settings.leak_threshold is not None:
            stack = [frame for frame in traceback.extract_stack() if not frame.filename.startswith(_ROOM)]
            with self._guard, self._lock:
                self._core.watch(lease, stack, self._clock())
        self._notify()
        if self._recorder is not None:
            self._recorder.took("wait_time", key.name, self._clock() - began)
        return None

    def _queue(self, waiter: Waiter, lease: Lease, deadline: float, timeout: float, again: bool) -> Plan:
        waiter.outcome, waiter.signal = None, self._new_signal()
        with self._guard, self._lock:
            if self._core.take(waiter.key, lease, self._clock()):
                return None
            answer = self._core.queue_up(waiter, self._clock(), again=again)
            if answer != "waiting":
                return refused(self._core, waiter.key, answer)
        self._notify()
        yield Wait(deadline)
        with self._guard, self._lock:
            late = self._core.time_out(waiter, self._clock())
            if waiter.outcome is Outcome.GRANTED:
                return None
            error = timed_out(self._core, waiter.key, timeout) if late else failed(self._core, waiter)
        if late:
            self._notify_if_possible()
            if self._recorder is not None:
                self._recorder.timed_out(waiter.key.name)
        return error

    def _await_prepared(self, waiter: Waiter, timeout: float | None) -> Plan:
        deadline = math.inf if timeout is None else self._clock() + seconds_of("timeout=", timeout)
        if not self._tell(lambda core, now: core.prepare(waiter, now)):
            return closed(self._core)
        yield Wait(deadline)
        with self._guard, self._lock:
            self._core.cancel(waiter, self._clock())
            if waiter.outcome is Outcome.GRANTED:
                return None
            if waiter.outcome is None:
                return timed_out(self._core, waiter.key, timeout or 0.0)
            return failed(self._core, waiter)

    def _give_up(self, waiter: Waiter) -> None:
        """Who waited was interrupted: he leaves the queue, and what he was given goes back."""
        if waiter.lease is not None and waiter.lease.entry is not None:
            self._give_back(waiter.lease)
        with self._guard, self._lock:
            served = self._core.cancel(waiter, self._clock())
            if served is not None:
                self._wake(served.signal)
        self._notify_if_possible()

    # --- keys ---

    def _state_of(self, key: str | Profile) -> KeyState | None:
        """The key, if this spelling of it was used before."""
        try:
            return self._states.get(key)
        except TypeError:  # what has no hash is no key
            return None

    def _introduced(self, spelling: str | Profile, name: str, of_profile: PoolSettings | None) -> KeyState:
        """The key of a name that was not used before; it may have been, in another spelling."""
        settings = merged(self._settings, name, of_profile, self._own_settings.get(name))
        with self._guard, self._lock:
            self._profile_settings[name] = of_profile
            state = self._core.keys.get(name)
            if state is None:
                state = self._core.key(name, settings)
            self._states[spelling] = self._states[name] = state
        return state

    def _configure(self, name: str, settings: PoolSettings) -> None:
        full = merged(self._settings, name, self._profile_settings[name], _checked(settings))
        self._own_settings[name] = settings
        self._tell(lambda core, _: core.key(name, full))

    def _lease_of(self, key: str | Profile, connection: object) -> Lease:
        """See that what is returned is from this pool and key."""
        if not isinstance(connection, Lease) or getattr(connection, "_pool", None) is not self:
            not_on_lease("the connection is not from this pool")
        entry = connection.entry
        if entry is not None and self._state_of(key) is not entry.key and self._is_ours(entry):
            not_on_lease(f"the connection is not one of {alias_of(key)!r}")
        return connection

    def _is_ours(self, entry: PoolEntry) -> bool:
        """Whether a channel is not from before a fork, or of an event loop that was closed."""
        return entry.key.dropped is self._core.dropped

    # --- numbers ---

    def instrument(self, *, name: str = "milvus", meter_provider: Any = None) -> None:
        """Report metrics to OpenTelemetry (extra: ``otel``): ``db.client.connection.*``, for each key.

        Args:
            name: of this pool, unique in the program.
            meter_provider: where they go; None takes OpenTelemetry's global one.

        Raises:
            ConfigError: OpenTelemetry is not installed.
        """
        self._recorder = Telemetry(self, name, meter_provider)

    def idle_count(self, key: str | Profile) -> int:
        """Connections of a key that are leased to nobody.

        Args:
            key: the alias of a profile, or the profile itself; 0 for one that the pool does not know.
        """
        return self._of_key(key).pool_idle

    def active_count(self, key: str | Profile) -> int:
        """Leases of a key.

        Args:
            key: the alias of a profile, or the profile itself; 0 for one that the pool does not know.
        """
        return self._of_key(key).pool_active

    def total_idle_count(self) -> int:
        """Connections of all keys that are leased to nobody."""
        return self.stats().pool_idle

    def total_active_count(self) -> int:
        """Leases of all keys."""
        return self.stats().pool_active

    def _of_key(self, key: str | Profile) -> KeyStats:
        folded = fold_alias(alias_of(key))
        found = (stats for name, stats in self.stats().keys.items() if fold_alias(name) == folded)
        return next(found, KeyStats())

    def stats(self) -> PoolStats:
        """What the pool looks like, and what it did so far; the names are those of psycopg_pool."""
        with self._guard, self._lock:
            return self._core.stats()

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._core.is_closed

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.startswith("_")]

    def __repr__(self) -> str:
        state = "closed" if self._core.is_closed else "open"
        held = f"{counted(self._core.total, 'connection')} of {counted(len(self._core.keys), 'key')}"
        return f"<{type(self).__name__} ({state}): {held}>"


class Leasing(OfThisProcess):
    """What ``lease`` of a pool returns: a connection for the length of a block."""

    __slots__ = ("_connection", "_key", "_pool", "_timeout")

    _connection: Any
    _key: str | Profile
    _pool: Any
    _timeout: float | None


def _checked(settings: Any) -> PoolSettings:
    if isinstance(settings, PoolSettings):
        return settings
    raise ConfigError(
        f"settings= is no PoolSettings but a {type(settings).__name__}",
        hint="write ConnectionPool(PoolSettings(max_total=20), profiles=…)",
    )


def wrong_keyword(call: str, wrong: dict[str, Any]) -> ParamError:
    """The error of keyword arguments that a pool has not: most are settings, which belong into one object.

    The call is as it is written, with ``…`` in the place of the settings.
    """
    name = next(iter(wrong))
    wrong.clear()  # a traceback may show the locals of frames
    near = suggest_field(name, PoolSettings.model_fields)
    hint = None if near is None else f"settings are one object: {call.replace('…', f'PoolSettings({near}=…)')}"
    return ParamError(f"unknown argument {as_given(name)!a}", hint=hint, location=Location(call[:-3]))


def merged(settings: PoolSettings, key: str, *layers: PoolSettings | None) -> PoolSettings:
    """The settings of a key: what each layer sets replaces what the ones before it say.

    Raises:
        ConfigError: together they contradict each other, or one of them is a setting of a whole pool.
    """
    values = settings.model_dump()
    for layer in layers:
        if layer is not None:
            for name in layer.model_fields_set:
                if name in POOL_WIDE:
                    raise ConfigError(f"{name} is a setting of a whole pool, not of one key such as {key!r}")
                values[name] = getattr(layer, name)
    try:
        return PoolSettings.model_validate(values)
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"]
    raise ConfigError(f"the pool settings of {key!r} contradict each other: {reason}")


_POOLS: weakref.WeakSet[BasePool] = weakref.WeakSet()
_PARENTS: list[object] = []


def _after_fork() -> None:
    for pool in list(_POOLS):
        pool._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
