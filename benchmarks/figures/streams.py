"""Many tasks at once: a shared pool beside one channel, and beside exclusive leases."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

import milvus_profiles as mp
from benchmarks.figures.calls import OPTIONS, TOKEN, by_hand
from benchmarks.measure import Effort, Row, at_least, choose, compared, main, orders, own
from benchmarks.sleeper import SEARCH, sleeper

Once = Callable[[], Awaitable[Any]]


async def _flood(once: Once, tasks: int, seconds: float, batch: int) -> tuple[float, Counter[str]]:
    """Calls per second that succeed, and the errors of the others.

    Calls that take the same time come back in batches, so a fixed span of time would hold one batch more or less: the
    calls of whole batches are counted, from the end of one call to that of another.  Where not even one came back the
    speed is not a number.
    """
    errors: Counter[str] = Counter()
    ended: list[float] = []
    # All tasks begin at once: nothing comes back for a while, and then everything at once.
    begins = time.perf_counter() + max(seconds / 4, 0.3)
    ends = begins + seconds

    async def work() -> None:
        while time.perf_counter() < ends:
            try:
                await once()
            except Exception as error:  # noqa: PERF203
                errors[_name(error)] += 1
            else:
                ended.append(time.perf_counter())

    await asyncio.gather(*(work() for _ in range(tasks)))
    counted = [moment for moment in ended if begins <= moment < ends]
    calls = (len(counted) - 1) // batch * batch
    return calls / (counted[calls] - counted[0]) if calls > 0 else math.nan, errors


def _name(error: Exception) -> str:
    return error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__


@asynccontextmanager
async def _pooled(port: int, milliseconds: int, settings: mp.PoolSettings) -> AsyncIterator[Once]:
    profiles = mp.load(env={"MILVUS_URI": f"http://127.0.0.1:{port}", "MILVUS_TOKEN": TOKEN, "HOME": "/nonexistent"})
    request = b"%d" % milliseconds
    async with mp.aio.ConnectionPool(settings, profiles) as pool:

        async def once() -> None:
            async with pool.lease("default") as conn:
                await conn.channel.unary_unary(SEARCH, None, None)(request, timeout=30)

        await once()
        yield once


@asynccontextmanager
async def _raw(port: int, milliseconds: int) -> AsyncIterator[Once]:
    request = b"%d" % milliseconds
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", OPTIONS) as channel:
        stub = channel.unary_unary(SEARCH, None, None)

        async def once() -> None:
            await stub(request, timeout=30, metadata=by_hand())

        await once()
        yield once


async def _capped(port: int, rounds: int, seconds: float) -> list[Row]:
    plain = mp.PoolSettings(max_block_wait=30)
    full = mp.PoolSettings(max_block_wait=30, hard_limit=100)
    speeds: dict[str, list[float]] = {"default": [], "full": [], "raw": []}
    errors = dict.fromkeys(speeds, 0)
    async with (
        _pooled(port, 200, plain) as default,
        _pooled(port, 200, full) as tuned,
        _raw(port, 200) as single,
    ):
        contestants = {"default": default, "full": tuned, "raw": single}
        for once in (default, tuned):
            await _flood(once, 400, 0.1, 100)  # the pool grows
        for order in orders(list(contestants.items()), rounds):
            for name, once in order:
                speed, failures = await _flood(once, 400, seconds, 100)
                speeds[name].append(speed)
                errors[name] += failures.total()
    figure = "400 tasks, 200 ms each, server takes 100 streams"
    told = "told that the server takes 100 streams (hard_limit = 100)"
    note = "4 channels with 90 leases each cannot pass 3.6x; the headroom is for servers whose limit is not known"
    failed = f"calls that failed in these runs: raw {errors['raw']}, ours {errors['default'] + errors['full']}"
    return [
        compared(f"{figure}: {told}", "one raw channel", "calls/s", speeds["full"], speeds["raw"], at_least(3.5)),
        compared(
            f"{figure}: defaults", "one raw channel", "calls/s", speeds["default"], speeds["raw"], at_least(3.5), note
        ),
        own("errors that callers see in both", "errors", [float(errors["default"] + errors["full"])], 0, failed),
    ]


async def _modes(port: int, rounds: int, seconds: float) -> Row:
    speeds: dict[str, list[float]] = {"shared": [], "exclusive": []}
    async with (
        _pooled(port, 20, mp.PoolSettings(max_block_wait=30)) as many,
        _pooled(port, 20, mp.PoolSettings(mode="exclusive", max_total_per_key=10, max_block_wait=30)) as few,
    ):
        await _flood(few, 40, 0.1, 10)
        await _flood(many, 40, 0.1, 10)
        for order in orders((("shared", many), ("exclusive", few)), rounds):
            for name, once in order:
                speeds[name].append((await _flood(once, 40, seconds, 10))[0])
    return compared(
        "40 tasks, 20 ms each: shared leases", "exclusive leases on 10 channels", "calls/s", speeds["shared"],
        speeds["exclusive"], at_least(3.8),
    )  # fmt: skip


def run(effort: Effort) -> list[Row]:
    rounds, seconds = choose(effort, (8, 3.0), (1, 2.4), (1, 0.9))
    with sleeper(streams=100) as port:
        rows = asyncio.run(_capped(port, rounds, seconds))
    with sleeper() as port:
        rows.append(asyncio.run(_modes(port, rounds * 2, seconds / 4)))
    return rows


if __name__ == "__main__":
    main(run)
