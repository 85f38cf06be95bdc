"""What a pool tells: borrowers who get no lease, those who did not return one, and OpenTelemetry.

Whoever asks for an error sees to it that nobody changes the core meanwhile.
Source of the metrics' names (``db.client.connection.*``): OpenTelemetry's semantic conventions for database clients.
"""

from __future__ import annotations

import copy
import traceback
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Literal, NoReturn, Protocol

from ..errors import (
    ConnectFailedError,
    MilvusProfilesError,
    MissingExtraError,
    PoolClosedError,
    PoolError,
    PoolExhaustedError,
    PoolTimeoutError,
)
from ..log import log
from ..pool_stats import KeyStats, PoolStats
from ..text import counted
from .leases import Leases
from .state import KeyState, Leak, Outcome, Waiter


def refused(core: Leases, key: KeyState, answer: str) -> PoolError:
    if answer == "closed":
        return closed(core)
    settings = key.settings
    stats = core.stats()
    leases = counted(stats.keys[key.name].pool_active, "lease")
    limit = f"{leases} on {len(key.entries)} of {counted(key.cap, 'connection')}"
    reason, hint = "block_when_exhausted is off", "return connections sooner, or raise the limits of the pool"
    if settings.block_when_exhausted:
        waiting = len(key.queue)
        waits = "waits" if waiting == 1 else "wait"
        reason = f"{counted(waiting, 'borrower')} {waits} (max_waiting {settings.max_waiting})"
        hint += " or max_waiting"
    return PoolExhaustedError(
        f"the pool has no connection of {key.name!r} left: {limit}, and {reason}", hint=hint, stats=stats
    )


def closed(core: Leases) -> PoolClosedError:
    return PoolClosedError("the pool is closed", stats=core.stats())


def timed_out(core: Leases, key: KeyState, timeout: float) -> PoolTimeoutError:
    stats = core.stats()
    of_key = stats.keys[key.name]
    seen = f"{counted(of_key.pool_active, 'lease')} on {of_key.pool_size} of {counted(of_key.pool_max, 'connection')}"
    if key.connecting:
        seen += f", {key.connecting} of which are still being opened"
    error = PoolTimeoutError(
        f"no connection of {key.name!r} within {timeout:g} s: {seen}",
        hint="return connections sooner, or raise max_block_wait or the limits of the pool",
        stats=stats,
    )
    error.__cause__ = _own(key.last_failure)
    return error


def failed(core: Leases, waiter: Waiter) -> PoolError:
    """The error for who waited in vain, though not for too long."""
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
        stats=core.stats(),
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


def not_on_lease(reason: str = "the connection was returned before") -> NoReturn:
    """Raise because something was returned that is not on lease.

    Raises:
        PoolError: always.
    """
    raise PoolError(reason, hint="return each connection once, to the pool and with the key that it was taken with")


def tell_leak(leak: Leak) -> None:
    """Log that a lease was not returned; nobody holds a lock of the pool meanwhile."""
    log("leak", key=leak.key, message=_leaked(leak), held=leak.held)


def _leaked(leak: Leak) -> str:
    if leak.held is None:
        return f"a connection of {leak.key!r} was dropped without being returned to its pool"
    return f"a connection of {leak.key!r} has been on lease for {leak.held:.0f} s"


def leak_message(leak: Leak) -> str:
    """What a warning says about a lease that was not returned."""
    said = _leaked(leak)
    if leak.stack is None:
        return said
    return f"{said}; it was taken here:\n{''.join(traceback.format_list(leak.stack)).rstrip()}"


# --- OpenTelemetry ----------------------------------------------------------------------------------------------------

_PREFIX = "db.client.connection"
_NAME = f"{_PREFIX}.pool.name"
_STATE = f"{_PREFIX}.state"


class _Pool(Protocol):
    def stats(self) -> PoolStats: ...


class Telemetry:
    """The instruments of a pool; it is told what took how long, and asks the pool for the rest when it is collected.

    Each key of the pool is a pool of its own here, named ``NAME/KEY``.

    Args:
        pool: what is observed; it is not kept alive.
        name: of the pool, unique in the program.
        meter_provider: where metrics go; None takes OpenTelemetry's global one.

    Raises:
        MissingExtraError: OpenTelemetry is not installed.
    """

    def __init__(self, pool: _Pool, name: str, meter_provider: Any) -> None:
        try:
            from opentelemetry.metrics import Observation, get_meter
        except ModuleNotFoundError:
            raise MissingExtraError(
                "OpenTelemetry is not installed", hint='pip install "milvus-profiles[otel]", and an SDK that exports'
            ) from None
        self._name = name
        meter = get_meter("milvus_profiles.pool", meter_provider=meter_provider)
        self._seconds = {
            what: meter.create_histogram(f"{_PREFIX}.{what}", "s", description)
            for what, description in (
                ("create_time", "The time it took to open a connection"),
                ("wait_time", "The time it took to get a lease"),
                ("use_time", "The time between a lease and its return"),
            )
        }
        self._timeouts = meter.create_counter(f"{_PREFIX}.timeouts", "{timeout}", "Leases that were not had in time")
        observed = weakref.ref(pool)

        def observe(metric: str, unit: str, what: str, read: Callable[[KeyStats], dict[str, int]]) -> None:
            def collect(options: object) -> Iterable[Any]:
                del options
                found = observed()
                for key, stats in () if found is None else found.stats().keys.items():
                    for state, number in read(stats).items():
                        yield Observation(number, {**self._of(key), **({_STATE: state} if state else {})})

            meter.create_observable_up_down_counter(f"{_PREFIX}.{metric}", [collect], unit, what)

        observe("count", "{connection}", "Open connections", lambda of: {"idle": of.pool_idle, "used": of.pool_used})
        observe("max", "{connection}", "Connections there may be", lambda of: {"": of.pool_max})
        observe("idle.min", "{connection}", "Connections kept ready", lambda of: {"": of.pool_min})
        observe("idle.max", "{connection}", "Idle connections there may be", lambda of: {"": of.pool_idle_max})
        observe("pending_requests", "{request}", "Borrowers that wait", lambda of: {"": of.requests_waiting})

    def _of(self, key: str) -> dict[str, str]:
        return {_NAME: f"{self._name}/{key}"}

    def took(self, what: Literal["create_time", "wait_time", "use_time"], key: str, seconds: float) -> None:
        self._seconds[what].record(seconds, self._of(key))

    def timed_out(self, key: str) -> None:
        self._timeouts.add(1, self._of(key))
