"""What a pool tells OpenTelemetry, by the semantic conventions for database clients (``db.client.connection.*``).

Loaded only by ``pool.instrument()``; the package ``opentelemetry-api`` comes with the extra ``otel``.
Source of the names: OpenTelemetry's semantic conventions, "Database client metrics", connection pools.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol

from ..errors import MissingExtraError
from ..pool_stats import KeyStats, PoolStats

__all__ = ["Telemetry"]

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
        """A channel was opened, or a lease was given or returned; returns at once."""
        self._seconds[what].record(seconds, self._of(key))

    def timed_out(self, key: str) -> None:
        """A lease was not to be had in time."""
        self._timeouts.add(1, self._of(key))
