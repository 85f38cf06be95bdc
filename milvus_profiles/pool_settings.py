"""The settings of a pool, which a profile may have for its own key."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .fieldtypes import Model, Seconds, SecondsOrZero, invalid

POOL_WIDE = ("max_total", "eviction_interval", "drain_timeout")
"""The settings that are of a whole pool, not of one key."""


class PoolSettings(Model):
    """Settings of a pool; in a profile's ``pool`` table, those for its key.

    The names and defaults of exclusive mode are those of Milvus's own MilvusClientV1Pool; durations are seconds.

    Attributes:
        mode: ``"shared"`` leases the least-loaded channel, ``"exclusive"`` one channel to one borrower.
        max_channels: channels of a key in shared mode.
        soft_limit: leases on every channel of a key at which another is opened.
        hard_limit: leases that one shared channel carries at most.
        max_idle_per_key: idle connections of a key beyond which a returned one is closed.
        min_idle_per_key: idle connections of a key that are kept ready.
        max_total_per_key: connections of a key, idle and active.
        max_total: connections of all keys; only for a whole pool.
        block_when_exhausted: wait for a connection (True) or raise at once (False).
        max_block_wait: seconds that a borrower waits at most.
        eviction_interval: seconds between two sweeps for idle connections; only for a whole pool.
        min_evictable_idle: seconds of idleness after which a connection may be closed.
        test_on_borrow: test by an RPC before it is handed out.
        test_on_return: test when it comes back.
        test_while_idle: test idle connections in each sweep.
        max_lifetime: seconds after which a connection is replaced; None never.
        lifetime_jitter: fraction by which max_lifetime varies in both directions, 0 to 1.
        max_uses: leases after which a connection is replaced; None never.
        max_waiting: borrowers that may wait; one more is refused at once; None any number.
        drain_timeout: seconds that draining waits for leases; only for a whole pool.
        leak_threshold: seconds after which a lease is reported with the borrower's stack; None never.
    """

    mode: Literal["shared", "exclusive"] = "shared"
    max_channels: Annotated[int, Field(ge=1)] = 4
    soft_limit: Annotated[int, Field(ge=1)] = 50
    hard_limit: Annotated[int, Field(ge=1)] = 90
    max_idle_per_key: Annotated[int, Field(ge=0)] = 5
    min_idle_per_key: Annotated[int, Field(ge=0)] = 0
    max_total_per_key: Annotated[int, Field(ge=1)] = 10
    max_total: Annotated[int, Field(ge=1)] = 50
    block_when_exhausted: bool = True
    max_block_wait: SecondsOrZero = 3.0
    eviction_interval: Seconds = 60.0
    min_evictable_idle: SecondsOrZero = 10.0
    test_on_borrow: bool = False
    test_on_return: bool = True
    test_while_idle: bool = False
    max_lifetime: Seconds | None = None
    lifetime_jitter: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.1
    max_uses: Annotated[int, Field(ge=1)] | None = None
    max_waiting: Annotated[int, Field(ge=0)] | None = None
    drain_timeout: SecondsOrZero = 30.0
    leak_threshold: Seconds | None = None

    @model_validator(mode="after")
    def _limits(self) -> PoolSettings:
        if self.soft_limit > self.hard_limit:
            raise invalid("soft_limit is above hard_limit", "lower the one, or raise the other")
        if self.min_idle_per_key > self.max_total_per_key:
            raise invalid("min_idle_per_key is above max_total_per_key", "lower the one, or raise the other")
        return self
