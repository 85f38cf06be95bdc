"""What a pool tells about itself; the names are those of psycopg_pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .display import Table, Tabular
from .masked import even_half_made

_SHOWN = 10
"""Keys of a pool that are shown beside the sum of all."""


@even_half_made
@dataclass(frozen=True, slots=True)
class KeyStats(Tabular):
    """A snapshot of one key, or of a whole pool; counters count from the beginning.

    Attributes:
        pool_min: channels that are kept ready.
        pool_max: channels that there may be.
        pool_size: channels that there are: being opened, idle, in use, being tested, draining and being closed.
        pool_available: leases that could be had at once: of exclusive channels one each, of shared ones those up to
            the hard limit.
        pool_idle: channels that are leased to nobody.
        pool_idle_max: channels that may be idle; one that is returned beyond that is closed.
        pool_used: channels with a lease at least.
        pool_active: leases.
        requests_waiting: borrowers that wait.
        requests_num: leases asked for.
        requests_queued: of those, the ones that had to wait.
        requests_wait_ms: milliseconds that these waited.
        requests_errors: leases asked for that were not had.
        usage_ms: milliseconds of all leases that were returned.
        returns_bad: leases that were dropped without being returned.
        connections_num: channels opened.
        connections_ms: milliseconds that took.
        connections_errors: channels that could not be opened.
        connections_lost: channels that failed a test.
    """

    pool_min: int = 0
    pool_max: int = 0
    pool_size: int = 0
    pool_available: int = 0
    pool_idle: int = 0
    pool_idle_max: int = 0
    pool_used: int = 0
    pool_active: int = 0
    requests_waiting: int = 0
    requests_num: int = 0
    requests_queued: int = 0
    requests_wait_ms: int = 0
    requests_errors: int = 0
    usage_ms: int = 0
    returns_bad: int = 0
    connections_num: int = 0
    connections_ms: int = 0
    connections_errors: int = 0
    connections_lost: int = 0

    def _counters(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in KeyStats.__dataclass_fields__}

    def _table(self) -> Table:
        return Table(("", "all"), [(name, str(value)) for name, value in self._counters().items()])


@even_half_made
@dataclass(frozen=True, slots=True)
class PoolStats(KeyStats):
    """A snapshot of a pool.

    Attributes:
        keys: the same of each key.
    """

    keys: Mapping[str, KeyStats] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionaries, as JSON wants them."""
        return asdict(self)

    def _table(self) -> Table:
        keys = list(self.keys)[:_SHOWN]
        columns = [self._counters(), *(self.keys[key]._counters() for key in keys)]
        rows = [(name, *(str(column[name]) for column in columns)) for name in columns[0]]
        return Table(("", "all", *keys), rows)
