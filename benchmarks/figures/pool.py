"""Taking a connection from a pool and giving it back: no I/O, so this is what the pool itself costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import grpc
import psycopg_pool
import sqlalchemy.pool
from psycopg.pq import TransactionStatus

from benchmarks.measure import Effort, Row, at_most, choose, compared, main, own, turns
from milvus_profiles.channel.core import ChannelCore
from milvus_profiles.channel.metadata import TokenHolder
from milvus_profiles.pool.connector import MilvusChannel, MilvusConnector
from milvus_profiles.pool.threads import ConnectionPool
from milvus_profiles.profile import PoolSettings, Profile

SLOTS = 8
_TOGETHER = ("lease", "psycopg lease", "sqlalchemy")
Body = Callable[[int], None]
"""Takes a connection and gives it back so many times."""


class _Connector:
    """The pool's own leases, on channels that lead nowhere: nothing calls on them."""

    lease = staticmethod(MilvusConnector.lease)

    def __init__(self) -> None:
        self.cores: list[ChannelCore] = []

    def refresh(self) -> None:
        """A call has just succeeded on every channel, as in a program that makes calls: none is worth a test."""
        for core in self.cores:
            call = threading.Lock()
            core.leave(core.enter(call), call, grpc.StatusCode.OK)

    def introduce(self, key: str) -> tuple[str, PoolSettings | None]:
        return key, None

    def open(self, key: str) -> MilvusChannel:
        core = ChannelCore(grpc.insecure_channel("127.0.0.1:1"), TokenHolder())
        self.cores.append(core)
        self.refresh()
        live = SimpleNamespace(
            profile=Profile(alias=key, uri="http://h"), core=core, disconnect=lambda grace: core.close()
        )
        return MilvusChannel(cast("Any", live))


class _Fake:
    """A connection to a database, as far as the pools look at it."""

    autocommit = False
    closed = False

    def __init__(self) -> None:
        self.pgconn = SimpleNamespace(transaction_status=TransactionStatus.IDLE)

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> _Fake:
        return cls()

    def __enter__(self) -> object:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def close(self) -> None:
        pass

    def commit(self) -> None:
        pass

    rollback = commit


@contextmanager
def _pools(mode: Any) -> Iterator[tuple[_Connector, dict[str, Body]]]:
    settings = PoolSettings(mode=mode, max_total_per_key=SLOTS, max_idle_per_key=SLOTS)
    if mode == "shared":
        settings = PoolSettings(max_channels=4)
    theirs = psycopg_pool.ConnectionPool(
        connection_class=cast("Any", _Fake), min_size=SLOTS, max_size=SLOTS, open=True, num_workers=1
    )
    theirs.wait()
    alchemy = sqlalchemy.pool.QueuePool(cast("Any", _Fake), pool_size=SLOTS, max_overflow=0)
    connector = _Connector()
    with ConnectionPool(settings, connector=connector) as ours, theirs:
        for taken in [ours.get_client("prod") for _ in range(SLOTS)]:  # all are open from the beginning, as theirs
            ours.return_client("prod", taken)
        yield connector, _bodies(ours, theirs, alchemy)
    alchemy.dispose()


def _bodies(ours: Any, theirs: Any, alchemy: Any) -> dict[str, Body]:
    def lease(count: int) -> None:
        take = ours.lease
        for _ in range(count):
            with take("prod"):
                pass

    def pair(count: int) -> None:
        take, give = ours.get_client, ours.return_client
        for _ in range(count):
            give("prod", take("prod"))

    def their_lease(count: int) -> None:
        take = theirs.connection
        for _ in range(count):
            with take():
                pass

    def their_pair(count: int) -> None:
        take, give = theirs.getconn, theirs.putconn
        for _ in range(count):
            give(take())

    def their_checkout(count: int) -> None:
        take = alchemy.connect
        for _ in range(count):
            take().close()

    return {
        "lease": lease, "pair": pair, "psycopg lease": their_lease, "psycopg pair": their_pair,
        "sqlalchemy": their_checkout,
    }  # fmt: skip


def _alone(connector: _Connector, body: Body, count: int) -> Callable[[], float]:
    def measure() -> float:
        connector.refresh()
        began = time.perf_counter()
        body(count)
        return (time.perf_counter() - began) / count

    return measure


def _together(connector: _Connector, body: Body, count: int, threads: int) -> Callable[[], float]:
    def measure() -> float:
        connector.refresh()
        start = threading.Barrier(threads + 1)

        def work() -> None:
            start.wait()
            body(count)

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        start.wait()
        began = time.perf_counter()
        for worker in workers:
            worker.join()
        return (time.perf_counter() - began) / (count * threads)

    return measure


def run(effort: Effort) -> list[Row]:
    rounds, count = choose(effort, (31, 4000), (4, 1500), (2, 20))
    rows: list[Row] = []
    for mode in ("exclusive", "shared"):
        with _pools(mode) as (connector, bodies):
            alone = turns({name: _alone(connector, body, count) for name, body in bodies.items()}, rounds)
            together = turns(
                # Long enough for threads to get into each other's way: that takes some switches of the interpreter.
                {name: _together(connector, bodies[name], 4 * count, SLOTS) for name in _TOGETHER},
                max(2, rounds // 6),
            )
        figure = f"lease + return, {mode}, 1 thread"
        rows.append(compared(figure, "psycopg_pool", "s", alone["lease"], alone["psycopg lease"], at_most(0.5)))
        rows.append(compared(figure, "SQLAlchemy QueuePool", "s", alone["lease"], alone["sqlalchemy"]))
        rows.append(own(figure, "s", alone["lease"], 2e-6))
        figure = f"get_client + return_client, {mode}, 1 thread"
        rows.append(compared(figure, "psycopg_pool getconn + putconn", "s", alone["pair"], alone["psycopg pair"]))
        figure = f"lease + return, {mode}, {SLOTS} threads on {SLOTS} slots"
        rows.append(compared(figure, "psycopg_pool", "s", together["lease"], together["psycopg lease"], at_most(0.15)))
        rows.append(compared(figure, "SQLAlchemy QueuePool", "s", together["lease"], together["sqlalchemy"]))
    return rows


if __name__ == "__main__":
    main(run)
