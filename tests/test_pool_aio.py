"""The pool for asyncio: waiting, cancellation at every await, failures and the end, without a server."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable
from typing import Any

import pytest

import milvus_profiles as mp
from milvus_profiles import errors
from milvus_profiles.pool.aio import ConnectionPool
from milvus_profiles.profile import PoolSettings
from tests.support.pool_outside import AsyncOutside


def exclusive(**settings: Any) -> PoolSettings:
    return PoolSettings(mode="exclusive", **settings)


async def eventually(condition: Callable[[], bool]) -> None:
    async def poll() -> None:
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    await asyncio.wait_for(poll(), 10)


def tasks() -> set[Any]:
    return asyncio.all_tasks() - {asyncio.current_task()}


@pytest.mark.parametrize("mode", ["shared", "exclusive"])
async def test_a_lease_is_a_connection_until_it_is_returned(mode: Any) -> None:
    outside = AsyncOutside()
    async with ConnectionPool(PoolSettings(mode=mode), connector=outside) as pool:
        async with pool.lease("prod") as conn:
            assert isinstance(conn, mp.aio.AsyncConnection)
            assert conn.alias == "prod"
            conn.channel()  # type: ignore[operator]
            assert pool.active_count("prod") == 1
        with pytest.raises(errors.ConnectionClosedError, match="returned to its pool"):
            conn.channel()  # type: ignore[operator]
        assert pool.idle_count("PROD") == 1
        again = await pool.get_client("Prod")
        await pool.return_client("prod", again)
        with pytest.raises(errors.PoolError, match="returned before"):
            await pool.return_client("prod", again)
        other = await pool.get_client("prod")
        await other.close()
        await other.close()
        with pytest.raises(errors.PoolError, match="not from this pool"):
            await ConnectionPool(connector=outside).return_client("prod", other)
        assert len(outside.links) == 1
    assert outside.links[0].closed == 1
    assert not tasks()


async def test_waiters_are_served_in_the_order_of_coming() -> None:
    order: list[int] = []
    async with ConnectionPool(exclusive(max_total_per_key=1, max_block_wait=20), connector=AsyncOutside()) as pool:

        async def borrow(number: int) -> None:
            async with pool.lease("a"):
                order.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(borrow(number) for number in range(20)))
        assert order == list(range(20))


async def test_limits_and_times_are_kept() -> None:
    outside = AsyncOutside()
    settings = exclusive(max_total_per_key=1, max_waiting=1, max_block_wait=0.05)
    async with ConnectionPool(settings, connector=outside) as pool, pool.lease("a"):
        waiter = asyncio.create_task(pool.get_client("a"))
        await eventually(lambda: pool.stats().requests_waiting == 1)
        with pytest.raises(errors.PoolExhaustedError):
            await pool.get_client("a")
        with pytest.raises(errors.PoolTimeoutError) as caught:
            await waiter
        assert caught.value.stats is not None
        assert pool.stats().requests_waiting == 0


async def test_failures_are_raised_with_their_cause() -> None:
    outside = AsyncOutside()
    outside.broken.add("a")
    async with ConnectionPool(connector=outside) as pool:
        results = await asyncio.gather(*(pool.get_client("a") for _ in range(5)), return_exceptions=True)
        for result in results:
            assert isinstance(result, errors.ConnectFailedError)
            assert isinstance(result.__cause__, errors.UnreachableError)
        with pytest.raises(errors.ConnectFailedError):
            await pool.prepare("a")
        with pytest.raises(errors.UnknownProfileError):
            await pool.get_client("unknown")
        outside.broken.clear()
        await pool.prepare("a")
        assert pool.idle_count("a") == 1


async def test_cancellation_in_queue() -> None:
    async with ConnectionPool(exclusive(max_total_per_key=1, max_block_wait=20), connector=AsyncOutside()) as pool:
        conn = await pool.get_client("a")
        first, second = (asyncio.create_task(pool.get_client("a")) for _ in range(2))
        await eventually(lambda: pool.stats().requests_waiting == 2)
        # Given the lease and cancelled before it runs: the next one must have it.
        await conn.close()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await (await second).close()
        assert (pool.active_count("a"), pool.idle_count("a")) == (0, 1)


@pytest.mark.parametrize("mode", ["shared", "exclusive"])
@pytest.mark.parametrize("test_on_borrow", [False, True])
async def test_cancellation_at_every_await_leaks_nothing(mode: Any, test_on_borrow: bool) -> None:
    settings = PoolSettings(
        mode=mode, max_channels=2, soft_limit=1, hard_limit=1, max_total_per_key=2, max_block_wait=20,
        test_on_borrow=test_on_borrow, max_uses=3,
    )  # fmt: skip
    outside = AsyncOutside()

    async def borrow(pool: ConnectionPool) -> None:
        async with pool.lease("a") as conn:
            conn._pooled.suspect = True  # type: ignore[attr-defined]
            await asyncio.sleep(0)

    async with ConnectionPool(settings, connector=outside) as pool:
        cancelled = 0
        for steps in range(40):
            others = [asyncio.create_task(borrow(pool)) for _ in range(3)]
            task = asyncio.create_task(borrow(pool))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            [result] = await asyncio.gather(task, return_exceptions=True)
            cancelled += isinstance(result, asyncio.CancelledError)
            await asyncio.gather(*others)
            assert pool.total_active_count() == 0
            assert pool.stats().requests_waiting == 0
            assert pool.stats().pool_size <= 2
        assert cancelled > 3
    assert not tasks()
    assert all(link.closed == 1 for link in outside.links)


async def test_many_tasks_with_failures_delays_and_cancellations() -> None:
    dice = random.Random(7)
    outside = AsyncOutside()
    settings = exclusive(max_total_per_key=3, max_total=5, max_block_wait=20, test_on_borrow=True, max_uses=5)
    async with ConnectionPool(settings, connector=outside) as pool:

        async def borrow(number: int) -> None:
            key = dice.choice("abc")
            async with pool.lease(key) as conn:
                link = conn._pooled  # type: ignore[attr-defined]
                link.suspect, link.good = dice.random() < 0.2, dice.random() < 0.5
                await asyncio.sleep(dice.random() / 1000)
                assert pool.stats().pool_size <= 5

        def disturb() -> None:
            for key in "abc":
                (outside.broken.add if dice.random() < 0.3 else outside.broken.discard)(key)
            if dice.random() < 0.3:
                pool._core.drain(pool._clock())
                pool._plan()

        running = [asyncio.create_task(borrow(number)) for number in range(600)]
        while not all(task.done() for task in running):
            disturb()
            dice.choice(running).cancel()
            await asyncio.sleep(0.001)
        for task in running:
            error = None if task.cancelled() else task.exception()
            assert error is None or isinstance(error, errors.ConnectFailedError), error
        assert pool.total_active_count() == 0
        assert pool.stats().requests_waiting == 0
    assert not tasks()
    assert all(link.closed == 1 for link in outside.links)
    assert outside.most_opening <= 5


async def test_close_turns_waiters_away_and_leaves_nothing() -> None:
    outside = AsyncOutside()
    outside.slow["b"] = asyncio.Event()
    pool = ConnectionPool(exclusive(max_total_per_key=1, max_block_wait=20), connector=outside)
    conn = await pool.get_client("a")
    waiters = [asyncio.create_task(pool.get_client(key)) for key in ("a", "b")]
    await eventually(lambda: pool.stats().requests_waiting == 2)
    closing = asyncio.create_task(pool.close())
    for result in await asyncio.gather(*waiters, return_exceptions=True):
        assert isinstance(result, errors.PoolClosedError)
    assert not closing.done()
    await conn.close()
    await closing
    assert pool.stats().pool_size == 0
    assert not tasks()
    with pytest.raises(errors.PoolClosedError):
        await pool.get_client("a")
    await pool.close()


async def test_close_cuts_off_what_is_leased_for_too_long() -> None:
    outside = AsyncOutside()
    pool = ConnectionPool(connector=outside)
    conn = await pool.get_client("a")
    await pool.close(timeout=0)
    assert outside.links[0].closed == 1
    await conn.close()


async def test_sweeps_close_what_is_idle() -> None:
    outside = AsyncOutside()
    settings = exclusive(eviction_interval=0.02, min_evictable_idle=0.0)
    async with ConnectionPool(settings, connector=outside) as pool:
        async with pool.lease("a"):
            pass
        await eventually(lambda: pool.stats().pool_size == 0)
        await pool.configure("a", PoolSettings(min_idle_per_key=2))
        await pool.prepare("a")
        assert pool.idle_count("a") == 2
        await pool.drain()
        await pool.clear("a")
        await eventually(lambda: outside.links[0].closed == 1 and pool.idle_count("a") == 2)


def test_a_pool_belongs_to_one_loop_at_a_time() -> None:
    outside = AsyncOutside()
    pool = ConnectionPool(connector=outside)

    async def borrow() -> None:
        async with pool.lease("a"):
            pass

    asyncio.run(borrow())
    asyncio.run(borrow())  # the loop before was closed, and its channels ended with it
    assert len(outside.links) == 2

    async def other() -> None:
        await borrow()
        with pytest.raises(errors.PoolError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, borrow())
        await pool.close()

    asyncio.run(other())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_dropped_pool_is_collected() -> None:
    pool = ConnectionPool(connector=AsyncOutside())
    await (await pool.get_client("a")).close()
    core = pool._core
    while tasks():
        await asyncio.wait(tasks())
    del pool
    gc.collect()
    assert not [found for found in gc.get_objects() if isinstance(found, ConnectionPool) and found._core is core]
