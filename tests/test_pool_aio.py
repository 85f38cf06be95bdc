"""What only the pool for asyncio has to hold: cancellation at every await, and event loops, without a server."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from typing import Any

import pytest

from milvus_profiles import errors
from milvus_profiles.pool.aio import ConnectionPool
from milvus_profiles.pool_settings import PoolSettings
from tests.support.pool_outside import AsyncOutside, exclusive


def tasks() -> set[Any]:
    return asyncio.all_tasks() - {asyncio.current_task()}


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
            conn.channel.link.suspect = True  # type: ignore[attr-defined]
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
            async with pool.lease(dice.choice("abc")) as conn:
                link = conn.channel.link  # type: ignore[attr-defined]
                link.suspect, link.good = dice.random() < 0.2, dice.random() < 0.5
                await asyncio.sleep(dice.random() / 1000)
                assert pool.stats().pool_size <= 5

        running = [asyncio.create_task(borrow(number)) for number in range(600)]
        while not all(task.done() for task in running):
            for key in "abc":
                (outside.broken.add if dice.random() < 0.3 else outside.broken.discard)(key)
            if dice.random() < 0.3:
                await pool.drain()
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
    while tasks():
        await asyncio.wait(tasks())
    dropped = weakref.ref(pool)
    del pool
    gc.collect()
    assert dropped() is None
