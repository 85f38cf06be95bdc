"""What the pool for threads and the pool for asyncio have in common, apart from the core: settings, keys and errors."""

from __future__ import annotations

import copy
import random
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn, Protocol

from pydantic import ValidationError

from ..errors import (
    ConfigError,
    ConnectFailedError,
    MilvusProfilesError,
    PoolClosedError,
    PoolError,
    PoolExhaustedError,
    PoolTimeoutError,
)
from ..half_made import even_half_made
from ..pool_stats import KeyStats, PoolStats
from ..profile import PoolSettings, fold_alias
from .core import Core
from .counters import pool_stats
from .state import KeyState, Leak, Lease, Member, Outcome, Waiter

__all__ = [
    "BasePool",
    "Recorder",
    "closed",
    "failed",
    "leak_message",
    "merged",
    "not_taken_back",
    "refused",
    "timed_out",
]

_POOL_WIDE = ("max_total", "eviction_interval", "drain_timeout")


@even_half_made
class BasePool:
    """What a pool is, however its users wait.

    Args:
        settings: limits and times; None takes the defaults.
        clock: monotonic seconds.

    Raises:
        ConfigError: the settings are something else, such as the profiles.
    """

    def __init__(self, settings: PoolSettings | None, clock: Callable[[], float]) -> None:
        if not isinstance(settings, (PoolSettings, type(None))):
            raise ConfigError(
                f"settings= is no PoolSettings but a {type(settings).__name__}",
                hint="write ConnectionPool(PoolSettings(max_total=20), profiles=…)",
            )
        self._settings = settings if settings is not None else PoolSettings()
        self._clock = clock
        self._brought: dict[str, PoolSettings | None] = {}
        self._own_settings: dict[str, PoolSettings] = {}
        self._recorder: Recorder | None = None
        self._start_empty()

    def _start_empty(self) -> None:
        """Have no channels: at first, and where those there were are not to be used any more."""
        self._core = Core(self._settings, random.Random())  # noqa: S311
        self._states: dict[str, KeyState] = {}

    def _guard(self) -> AbstractContextManager[object]:
        """What to hold while the core is read."""
        return nullcontext()

    # --- keys ---

    def _introduced(self, spelling: str, name: str, brought: PoolSettings | None) -> KeyState:
        """The key of a name that was not used before; it may have been, in another spelling."""
        settings = merged(self._settings, name, brought, self._own_settings.get(name))
        with self._guard():
            self._brought[name] = brought
            state = self._core.keys.get(name)
            if state is None:
                state = self._core.key(name, settings)
            self._states[spelling] = self._states[name] = state
        return state

    def _configured(self, name: str, settings: PoolSettings) -> PoolSettings:
        """Note the settings that a key has of its own, and return all that hold for it then."""
        full = merged(self._settings, name, self._brought[name], settings)
        self._own_settings[name] = settings
        return full

    def _checked(self, key: str, connection: object) -> Lease:
        """See that what is returned is from this pool and key."""
        if not isinstance(connection, Lease) or getattr(connection, "_pool", None) is not self:
            not_taken_back("the connection is not from this pool")
        member = connection.member
        if member is not None and self._states.get(key) is not member.key and self._is_ours(member):
            not_taken_back(f"the connection is not one of {key!r}")
        return connection

    def _is_ours(self, member: Member) -> bool:
        """Whether a channel is not from before a fork."""
        return member.key.dropped is self._core.dropped

    # --- numbers ---

    def instrument(self, *, name: str = "milvus", meter_provider: Any = None) -> None:
        """Report metrics to OpenTelemetry (extra: ``otel``): ``db.client.connection.*``, for each key.

        Args:
            name: of this pool, unique in the program.
            meter_provider: where they go; None takes OpenTelemetry's global one.

        Raises:
            ConfigError: OpenTelemetry is not installed.
        """
        from .telemetry import Telemetry

        self._recorder = Telemetry(self, name, meter_provider)

    def idle_count(self, key: str) -> int:
        """Connections of a key that are leased to nobody."""
        return self._of_key(key).pool_idle

    def active_count(self, key: str) -> int:
        """Leases of a key."""
        return self._of_key(key).pool_active

    def total_idle_count(self) -> int:
        """Connections of all keys that are leased to nobody."""
        return self.stats().pool_idle

    def total_active_count(self) -> int:
        """Leases of all keys."""
        return self.stats().pool_active

    def _of_key(self, key: str) -> KeyStats:
        folded = fold_alias(key)
        found = (stats for name, stats in self.stats().keys.items() if fold_alias(name) == folded)
        return next(found, KeyStats())

    def stats(self) -> PoolStats:
        """What the pool looks like, and what it did so far; the names are those of psycopg_pool."""
        with self._guard():
            return pool_stats(self._core)

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._core.is_closed

    def __repr__(self) -> str:
        state = "closed" if self._core.is_closed else "open"
        return f"<{type(self).__name__} ({state}): {self._core.total} connections of {len(self._core.keys)} keys>"


class Recorder(Protocol):
    """Who is told how long things took, in seconds; each method returns at once."""

    def created(self, key: str, seconds: float) -> None:
        """A channel was opened."""

    def waited(self, key: str, seconds: float) -> None:
        """A lease was given."""

    def used(self, key: str, seconds: float) -> None:
        """A lease was returned."""

    def timed_out(self, key: str) -> None:
        """A lease was not to be had in time."""


def merged(settings: PoolSettings, key: str, *layers: PoolSettings | None) -> PoolSettings:
    """The settings of a key: what each layer sets replaces what the ones before it say.

    Args:
        settings: those of the pool.
        key: the key, for messages.
        layers: those of the key.

    Raises:
        ConfigError: together they contradict each other, or one of them is a setting of a whole pool.
    """
    values = settings.model_dump()
    for layer in layers:
        if layer is not None:
            for name in layer.model_fields_set:
                if name in _POOL_WIDE:
                    raise ConfigError(f"{name} is a setting of a whole pool, not of one key such as {key!r}")
                values[name] = getattr(layer, name)
    try:
        return PoolSettings.model_validate(values)
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"]
    raise ConfigError(f"the pool settings of {key!r} contradict each other: {reason}")


def refused(core: Core, key: KeyState, answer: str) -> PoolError:
    """The error for who may not even wait.

    Args:
        core: the pool, unlocked.
        key: what for.
        answer: of :meth:`Core.queue_up`.
    """
    if answer == "closed":
        return closed(core)
    settings = key.settings
    stats = pool_stats(core)
    limit = f"{stats.keys[key.name].pool_active} leases on {len(key.members)} of {key.cap} connections"
    if not settings.block_when_exhausted:
        reason, hint = "and block_when_exhausted is off", "return connections sooner, or raise the limits of the pool"
    else:
        reason = f"and {len(key.queue)} borrowers wait (max_waiting {settings.max_waiting})"
        hint = "return connections sooner, or raise the limits of the pool or max_waiting"
    return PoolExhaustedError(
        f"the pool has no connection of {key.name!r} left: {limit}, {reason}", hint=hint, stats=stats
    )


def closed(core: Core) -> PoolClosedError:
    """The error for who uses a closed pool."""
    return PoolClosedError("the pool is closed", stats=pool_stats(core))


def timed_out(core: Core, key: KeyState, timeout: float) -> PoolTimeoutError:
    """The error for who has waited for too long; its cause is why the last attempt to connect failed, if it did.

    Args:
        core: the pool, unlocked.
        key: what for.
        timeout: seconds that it might have taken.
    """
    stats = pool_stats(core)
    of_key = stats.keys[key.name]
    seen = f"{of_key.pool_active} leases on {of_key.pool_size} of {of_key.pool_max} connections"
    if key.connecting:
        seen += f", {key.connecting} of which are still being opened"
    error = PoolTimeoutError(
        f"no connection of {key.name!r} within {timeout:g} s: {seen}",
        hint="return connections sooner, or raise max_block_wait or the limits of the pool",
        stats=stats,
    )
    error.__cause__ = _own(key.last_failure)
    return error


def failed(core: Core, waiter: Waiter) -> PoolError:
    """The error for who waited in vain, though not for too long.

    Args:
        core: the pool, unlocked.
        waiter: its outcome is set.
    """
    if waiter.outcome is Outcome.CLOSED:
        return closed(core)
    cause = _own(waiter.cause)
    if isinstance(cause, MilvusProfilesError):
        reason, hint, location = cause.message, cause.hint, cause.location
    else:
        reason, hint, location = type(cause).__name__, None, None
    error = ConnectFailedError(
        f"the pool could not connect to {waiter.key.name!r}: {reason}",
        hint=hint,
        location=location,
        stats=pool_stats(core),
    )
    error.__cause__ = cause
    return error


def _own(cause: BaseException | None) -> BaseException | None:
    # Each gets an exception of its own: a shared one would gather everybody's traceback.
    if cause is None:
        return None
    try:
        return copy.copy(cause).with_traceback(None)
    except Exception:  # not every exception of others can be copied
        return cause


def not_taken_back(reason: str) -> NoReturn:
    """Raise because something was returned that is not on lease.

    Raises:
        PoolError: always.
    """
    raise PoolError(reason, hint="return each connection once, to the pool and with the key that it was taken with")


def leak_message(leak: Leak) -> str:
    """What a warning says about a lease that was not returned."""
    if leak.dropped:
        said = f"a connection of {leak.key!r} was dropped without being returned to its pool"
    else:
        said = f"a connection of {leak.key!r} has been on lease for {leak.held:.0f} s"
    return (
        said
        if leak.stack is None
        else f"{said}; it was taken here:\n{''.join(traceback.format_list(leak.stack)).rstrip()}"
    )
