"""Taking a connection from a pool and giving it back: no I/O, so this is what the pool itself costs."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any, cast

import grpc
import psycopg_pool
import sqlalchemy.pool
from psycopg.pq import TransactionStatus

from benchmarks.measure import Effort, Row, at_most, choose, compared, main, own, turns
from milvus_profiles.channel.core import ChannelCore
from milvus_profiles.channel.metadata import TokenHolder
from milvus_profiles.pool.aio import ConnectionPool as AsyncPool
from milvus_profiles.pool.aio_connector import AsyncMilvusChannel, AsyncMilvusConnector
from milvus_profiles.pool.connector import MilvusChannel, MilvusConnector
from milvus_profiles.pool.threads import ConnectionPool
from milvus_profiles.pool_settings import PoolSettings
from milvus_profiles.profile import Profile

SLOTS = 8
WAITERS = 64
_FLOOR = (
    "Of 1.94 µs on an idle machine the lock takes 0.30 (twice), the lease and its context manager 0.19, the weak "
    "reference by which a dropped lease is found 0.13, `with` itself 0.12, the clock 0.10 (twice): 0.84 that no Python "
    "saves. The rest are 390 bytecodes of rules and counts (psycopg_pool: 480), at 3 ns each"
)
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
        shared = SimpleNamespace(
            profile=Profile(alias=key, uri="http://h"), core=core, disconnect=lambda grace: core.close()
        )
        return MilvusChannel(cast("Any", shared))


class _OneCore(_Connector):
    """As many channels as are asked for on one core: what holds ten thousand is not to be measured."""

    def open(self, key: str) -> MilvusChannel:
        if not self.cores:
            return super().open(key)
        self.refresh()  # to open all takes so long that the first would be worth a test
        shared = SimpleNamespace(
            profile=Profile(alias=key, uri="http://h"), core=self.cores[0], disconnect=lambda grace: None
        )
        return MilvusChannel(cast("Any", shared))


class _AsyncConnector:
    """As `_Connector`, for asyncio."""

    lease = staticmethod(AsyncMilvusConnector.lease)

    def __init__(self) -> None:
        self.health = SimpleNamespace(consecutive_unavailable=0, last_success=0.0)

    def refresh(self) -> None:
        self.health.last_success = time.monotonic()

    async def introduce(self, key: str) -> tuple[str, PoolSettings | None]:
        return key, None

    async def open(self, key: str) -> AsyncMilvusChannel:
        async def disconnect(grace: float) -> None:
            pass

        self.refresh()
        core = SimpleNamespace(health=self.health)
        shared = SimpleNamespace(profile=Profile(alias=key, uri="http://h"), core=core, disconnect=disconnect)
        return AsyncMilvusChannel(cast("Any", shared), None)


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


class _AsyncFake:
    """The same for asyncio."""

    autocommit = False
    closed = False

    def __init__(self) -> None:
        self.pgconn = SimpleNamespace(transaction_status=TransactionStatus.IDLE)

    @classmethod
    async def connect(cls, conninfo: str = "", **options: Any) -> _AsyncFake:
        return cls()

    async def __aenter__(self) -> object:
        return self

    async def __aexit__(self, *exception: object) -> None:
        pass

    async def close(self) -> None:
        pass

    async def commit(self) -> None:
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


def _keys(effort: Effort) -> list[Row]:
    """One key beside many, while the pool looks for idle channels all the time."""
    keys, channels, rounds = choose(effort, (1000, 10, 21), (200, 10, 4), (5, 2, 2))
    settings = PoolSettings(
        mode="exclusive", max_total=keys * channels, max_total_per_key=channels, max_idle_per_key=channels,
        eviction_interval=0.05, min_evictable_idle=3600, max_block_wait=60,
    )  # fmt: skip

    def measured(
        connector: _Connector, pool: ConnectionPool, names: Sequence[str], in_a_row: int
    ) -> Callable[[], float]:
        asked = [names[number // in_a_row % len(names)] for number in range(keys * in_a_row)]

        def measure() -> float:
            connector.refresh()
            take = pool.lease
            began = time.perf_counter()
            for name in asked:
                with take(name):
                    pass
            return (time.perf_counter() - began) / len(asked)

        return measure

    names = [f"key{number}" for number in range(keys)]
    one, many = _OneCore(), _OneCore()
    with ConnectionPool(settings, connector=one) as pool_of_one, ConnectionPool(settings, connector=many) as pool:
        for target, of in ((pool_of_one, names[:1]), (pool, names)):
            for name in of:
                for taken in [target.get_client(name) for _ in range(channels)]:
                    target.return_client(name, taken)
        assert pool.total_idle_count() == keys * channels
        contestants = {
            "many": measured(many, pool, names, channels),
            "one": measured(one, pool_of_one, names[:1], channels),
            "changing": measured(many, pool, names, 1),
            "one again": measured(one, pool_of_one, names[:1], 1),
        }
        found = turns(contestants, rounds)
    figure = f"lease + return, {keys:,} keys x {channels} channels, eviction running"
    return [
        compared(
            f"{figure}: {channels} leases of each key in a row", "one key", "s", found["many"], found["one"],
            at_most(1.1),
        ),
        compared(
            f"{figure}: another key each time", "one key", "s", found["changing"], found["one again"],
            note="What has grown is the wait for memory: a lease touches some 25 cache lines of its key, and those of "
            "1,000 keys are more than a processor's core has at hand; it is the same without eviction, and 1.0x with "
            "200 keys",
        ),
    ]  # fmt: skip


def _fairness(effort: Effort) -> Row:
    """How long each of many threads waits for one of few slots, when all come at once and again and again."""
    rounds, each = choose(effort, (7, 12), (3, 6), (2, 2))
    longest: list[float] = []
    middle: list[float] = []
    settings = PoolSettings(mode="exclusive", max_total_per_key=SLOTS, max_idle_per_key=SLOTS, max_block_wait=60)
    with ConnectionPool(settings, connector=_Connector()) as pool:
        for _ in range(rounds):
            waits: list[float] = []
            start = threading.Barrier(WAITERS)

            def work(start: threading.Barrier = start, waits: list[float] = waits) -> None:
                start.wait()
                for turn in range(each):
                    began = time.perf_counter()
                    with pool.lease("prod"):
                        if turn:  # in the first, some come to a pool that is free
                            waits.append(time.perf_counter() - began)
                        time.sleep(0.005)

            workers = [threading.Thread(target=work) for _ in range(WAITERS)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            # At the end fewer and fewer wait: the last turns of all are of another kind.
            waits = waits[:-WAITERS] or waits
            longest.append(max(waits))
            middle.append(statistics.median(waits))
    return compared(
        f"{WAITERS} threads on {SLOTS} slots, 5 ms each: the longest wait", "the median wait", "s", longest, middle,
        at_most(2),
    )  # fmt: skip


@asynccontextmanager
async def _async_pools(mode: Any) -> AsyncIterator[tuple[_AsyncConnector, Any, Any]]:
    settings = PoolSettings(mode=mode, max_total_per_key=SLOTS, max_idle_per_key=SLOTS)
    if mode == "shared":
        settings = PoolSettings(max_channels=4)
    connector = _AsyncConnector()
    theirs = psycopg_pool.AsyncConnectionPool(
        connection_class=cast("Any", _AsyncFake), min_size=SLOTS, max_size=SLOTS, open=False, num_workers=1
    )
    async with AsyncPool(settings, connector=cast("Any", connector)) as ours, theirs:
        await theirs.wait()
        for taken in [await ours.get_client("prod") for _ in range(SLOTS)]:
            await ours.return_client("prod", taken)
        yield connector, ours, theirs


def _async_rows(effort: Effort) -> list[Row]:
    rounds, count = choose(effort, (31, 4000), (4, 1500), (2, 20))

    async def leases(take: Callable[[], Any], number: int) -> None:
        for _ in range(number):
            async with take():
                pass

    async def clocked(work: Awaitable[object], leased: int) -> float:
        began = time.perf_counter()
        await work
        return (time.perf_counter() - began) / leased

    async def together(take: Callable[[], Any]) -> None:
        async def task() -> None:
            for _ in range(count // WAITERS + 1):
                async with take():
                    await asyncio.sleep(0)

        await asyncio.gather(*(task() for _ in range(WAITERS)))

    async def measure(mode: str) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {name: [] for name in ("ours", "theirs", "our crowd", "their crowd")}
        async with _async_pools(mode) as (connector, ours, theirs):
            takes = {"our": lambda: ours.lease("prod"), "their": theirs.connection}
            for turn in range(rounds):
                for name in ("our", "their") if turn % 2 else ("their", "our"):
                    connector.refresh()
                    found[f"{name}s"].append(await clocked(leases(takes[name], count), count))
                    crowd = (count // WAITERS + 1) * WAITERS
                    found[f"{name} crowd"].append(await clocked(together(takes[name]), crowd))
        return found

    rows = []
    for mode in ("exclusive", "shared"):
        found = asyncio.run(measure(mode))
        peer = "psycopg_pool AsyncConnectionPool"
        figure = f"asyncio: lease + return, {mode}, 1 task"
        rows.append(compared(figure, peer, "s", found["ours"], found["theirs"], at_most(0.5)))
        figure = f"asyncio: lease + return, {mode}, {WAITERS} tasks on {SLOTS} slots"
        if mode == "exclusive":
            rows.append(compared(figure, peer, "s", found["our crowd"], found["their crowd"], at_most(0.5)))
    return rows


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
        rows.append(compared(figure, "psycopg_pool", "s", alone["lease"], alone["psycopg lease"], at_most(0.4), _FLOOR))
        rows.append(compared(figure, "SQLAlchemy QueuePool", "s", alone["lease"], alone["sqlalchemy"]))
        rows.append(own(figure, "s", alone["lease"], 2e-6))
        figure = f"get_client + return_client, {mode}, 1 thread"
        rows.append(compared(figure, "psycopg_pool getconn + putconn", "s", alone["pair"], alone["psycopg pair"]))
        figure = f"lease + return, {mode}, {SLOTS} threads on {SLOTS} slots"
        rows.append(compared(figure, "psycopg_pool", "s", together["lease"], together["psycopg lease"], at_most(0.15)))
        rows.append(compared(figure, "SQLAlchemy QueuePool", "s", together["lease"], together["sqlalchemy"]))
    return [*rows, *_keys(effort), _fairness(effort), *_async_rows(effort)]


if __name__ == "__main__":
    main(run)
