"""The numbers of a pool, counted."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from ..pool_stats import KeyStats, PoolStats
from .state import Phase

if TYPE_CHECKING:
    from .leases import Leases
    from .state import KeyState

__all__ = ["pool_stats"]


def pool_stats(leases: Leases) -> PoolStats:
    """Those of a pool.

    Args:
        leases: the pool's core; nobody may change it meanwhile.
    """
    keys = {name: _key_stats(key) for name, key in sorted(leases.keys.items())}
    total = {name: sum(getattr(stats, name) for stats in keys.values()) for name in KeyStats.__dataclass_fields__}
    total["pool_max"] = leases.settings.max_total
    return PoolStats(**total, keys=MappingProxyType(keys))


def _key_stats(key: KeyState) -> KeyStats:
    open_ = [member for member in key.members if member.phase in (Phase.READY, Phase.TESTING)]
    return KeyStats(
        pool_min=int(key.min_idle),
        pool_max=key.cap,
        pool_size=len(key.members),
        pool_available=sum(key.hard - member.load for member in (key.ready if key.shared else key.idle)),
        pool_idle=sum(not member.load for member in open_),
        pool_idle_max=int(min(key.cap, key.max_idle)),
        pool_used=sum(member.load > 0 for member in key.members),
        pool_active=key.active,
        requests_waiting=len(key.queue),
        requests_num=key.requests_num,
        requests_queued=key.requests_queued,
        requests_wait_ms=_ms(key.requests_wait),
        requests_errors=key.requests_errors,
        usage_ms=_ms(key.usage),
        returns_bad=key.returns_bad,
        connections_num=key.connections_num,
        connections_ms=_ms(key.connections_time),
        connections_errors=key.connections_errors,
        connections_lost=key.connections_lost,
    )


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
