"""What both pools promise, that of threads and that of asyncio: leases, waiting, failures, keys and the end."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import pickle
import re
import warnings
import weakref
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from milvus_profiles import errors
from milvus_profiles.pool_settings import PoolSettings
from tests.support.pool_shells import Asyncio, Shell, Threads, waiting
from tests.support.waiting import collector_off, eventually


@pytest.fixture(params=[Threads, Asyncio])
async def shell(request: pytest.FixtureRequest) -> AsyncIterator[Shell]:
    with ThreadPoolExecutor(40) as executor:
        asyncio.get_running_loop().set_default_executor(executor)
        shell = Shell(request.param)
        yield shell
        await eventually(shell.kind.is_at_rest)


# --- leases ---


@pytest.mark.parametrize("mode", ["shared", "exclusive"])
async def test_a_lease_is_a_connection_until_it_is_returned(shell: Shell, mode: Any) -> None:
    async with shell.entered(shell.pool(PoolSettings(mode=mode))) as pool:
        async with shell.entered(pool.lease("prod")) as conn:
            assert isinstance(conn, shell.kind.connection_class)
            assert conn.alias == "prod"
            assert not conn.is_closed
            assert pool.active_count("prod") == pool.total_active_count() == 1
            call: Any = conn.channel
            call()
        assert conn.is_closed
        assert pool.active_count("PROD") == 0
        assert pool.idle_count("prod") == pool.total_idle_count() == 1
        with pytest.raises(errors.ConnectionClosedError, match="returned to its pool"):
            call()
        with pytest.raises(errors.ConnectionClosedError):
            await shell.do(conn.ping)
        assert conn.alias == "prod"
        await shell.do(pool.return_client, "prod", await shell.get(pool, "Prod"))
        assert len(shell.outside.links) == 1
        assert not pool.is_closed
    assert pool.is_closed
    assert shell.outside.links[0].closed == 1


@pytest.mark.parametrize("send", [pickle.dumps, copy.copy])
async def test_who_sends_a_pool_or_a_lease_to_another_process_is_told_to_connect_there(shell: Shell, send: Any) -> None:
    async with shell.entered(shell.pool()) as pool:
        conn = await shell.get(pool, "prod")
        for each in (pool, conn, pool.lease("prod")):
            with pytest.raises(TypeError, match="give the other process the alias, and let it connect"):
                send(each)
        await shell.do(pool.return_client, "prod", conn)
        with pytest.raises(TypeError, match="give the other process the alias"):
            send(conn)


async def test_closing_a_leased_connection_returns_it(shell: Shell) -> None:
    async with shell.exclusive() as pool:
        conn = await shell.get(pool)
        await shell.do(conn.close)
        await shell.do(conn.close)
        assert (pool.idle_count("a"), pool.active_count("a")) == (1, 0)
        async with shell.entered(pool.lease("a")) as conn:
            await shell.do(conn.close)
        async with shell.entered(await shell.get(pool)):
            assert pool.active_count("a") == 1
        assert pool.active_count("a") == 0


async def test_double_and_foreign_returns_raise(shell: Shell) -> None:
    async with shell.exclusive() as pool, shell.exclusive() as other:
        conn = await shell.get(pool)
        for where, key, what, said in (
            (other, "a", conn, "not from this pool"),
            (pool, "b", conn, "not one of 'b'"),
        ):
            with pytest.raises(errors.PoolError, match=said):
                await shell.do(where.return_client, key, what)
        await shell.do(pool.return_client, "a", conn)
        with pytest.raises(errors.PoolError, match="returned before"):
            await shell.do(pool.return_client, "a", conn)
        assert (pool.stats().pool_active, pool.stats().pool_idle) == (0, 1)


async def test_shared_leases_spread_and_grow(shell: Shell) -> None:
    async with shell.entered(shell.pool(PoolSettings(max_channels=3, soft_limit=2, hard_limit=4))) as pool:
        leases = []
        for count in range(1, 13):
            leases.append(await shell.get(pool))
            # The next one is opened before it is needed.
            await eventually(lambda: pool.stats().connections_num == pool.stats().pool_size)
            assert pool.active_count("a") == count
        assert Counter(conn.channel.link for conn in leases) == dict.fromkeys(shell.outside.links, 4)
        assert len(shell.outside.links) == 3
        with pytest.raises(errors.PoolTimeoutError):
            await shell.get(pool, timeout=0)
        for conn in leases:
            await shell.do(conn.close)
        assert pool.total_active_count() == 0


async def test_an_unknown_profile_is_said_at_once_and_not_remembered(shell: Shell) -> None:
    async with shell.exclusive() as pool:
        for _ in range(2):
            with pytest.raises(errors.UnknownProfileError) as caught:
                await shell.get(pool, "unknown")
            assert caught.value.__context__ is None
        assert pool.idle_count("unknown") == 0
        assert pool.stats().keys == {}


# --- waiting ---


async def test_waiters_are_served_in_the_order_of_coming(shell: Shell) -> None:
    order: list[int] = []
    async with shell.exclusive(max_total_per_key=1, max_block_wait=20) as pool:

        async def borrow(number: int) -> None:
            async with shell.entered(pool.lease("a")):
                order.append(number)

        first = await shell.get(pool)
        tasks = []
        for number in range(8):
            tasks.append(asyncio.create_task(borrow(number)))
            await waiting(pool, number + 1)
        await shell.do(first.close)
        await asyncio.gather(*tasks)
        assert order == list(range(8))
        assert pool.stats().requests_queued == 9


async def test_the_wait_ends_in_time_and_says_why(shell: Shell) -> None:
    async with shell.exclusive(max_total_per_key=1, max_block_wait=0.05) as pool, shell.entered(pool.lease("a")):
        with pytest.raises(errors.PoolTimeoutError, match=r"within 0\.05 s: 1 lease on 1 of 1 connection") as caught:
            await shell.get(pool)
        assert caught.value.stats is not None
        assert caught.value.stats.keys["a"].pool_active == 1
        assert caught.value.stats.requests_errors == 1
        assert pickle.loads(pickle.dumps(caught.value)).stats == caught.value.stats
        assert pool.stats().requests_waiting == 0


async def test_connecting_counts_as_waiting_and_goes_on(shell: Shell) -> None:
    slow = shell.slow("a")
    async with shell.exclusive(max_block_wait=0.05) as pool:
        with pytest.raises(errors.PoolTimeoutError, match="still being opened"):
            await shell.get(pool)
        slow.set()
        await eventually(lambda: pool.idle_count("a") == 1)
        await shell.use(pool)
        assert len(shell.outside.links) == 1


async def test_who_may_not_block_is_refused_at_once(shell: Shell) -> None:
    settings = {"max_total_per_key": 1, "block_when_exhausted": False}
    async with shell.exclusive(**settings) as pool, shell.entered(pool.lease("a")):
        with pytest.raises(errors.PoolExhaustedError, match="block_when_exhausted is off") as caught:
            await shell.get(pool)
        assert caught.value.stats is not None
        assert caught.value.stats.pool_size == 1


async def test_one_more_than_may_wait_is_refused(shell: Shell) -> None:
    async with shell.exclusive(max_total_per_key=1, max_waiting=1, max_block_wait=20) as pool:
        conn = await shell.get(pool)
        waiter = shell.getting(pool)
        await waiting(pool, 1)
        with pytest.raises(errors.PoolExhaustedError, match="1 borrower waits"):
            await shell.get(pool)
        await shell.do(conn.close)
        await shell.do((await waiter).close)


async def test_a_slow_key_delays_no_other(shell: Shell) -> None:
    slow = shell.slow("slow")
    async with shell.exclusive(max_block_wait=20) as pool:
        waiters = [shell.getting(pool, "slow") for _ in range(4)]
        await waiting(pool, 4)
        for _ in range(20):
            await shell.use(pool, "fast")
        assert not any(waiter.done() for waiter in waiters)
        slow.set()
        for conn in await asyncio.gather(*waiters):
            await shell.do(conn.close)


async def test_the_oldest_idle_channel_makes_room(shell: Shell) -> None:
    async with shell.exclusive(max_total=2) as pool:
        for key in ("a", "b", "a", "c"):  # b is idle for longest when c wants a channel
            await shell.use(pool, key)
        assert Counter(link.key for link in shell.outside.links if not link.closed) == {"a": 1, "c": 1}


# --- failures ---


async def test_a_failed_connect_is_raised_with_its_cause(shell: Shell) -> None:
    shell.outside.broken.add("a")
    async with shell.exclusive() as pool:
        with pytest.raises(errors.ConnectFailedError, match="could not connect to 'a': a refuses") as caught:
            await shell.get(pool)
        assert isinstance(caught.value.__cause__, errors.UnreachableError)
        assert caught.value.hint == "start it"
        assert caught.value.stats is not None
        assert caught.value.stats.connections_errors == 1
        shell.outside.broken.clear()
        await shell.use(pool)  # the next one tries at once


async def test_all_who_wait_for_a_key_that_fails_are_told(shell: Shell) -> None:
    shell.outside.broken.add("a")
    slow = shell.slow("a")
    async with shell.exclusive() as pool:
        waiters = [shell.getting(pool) for _ in range(6)]
        await waiting(pool, 6)
        slow.set()
        told = await asyncio.gather(*waiters, return_exceptions=True)
        assert all(isinstance(error, errors.ConnectFailedError) for error in told)
        assert len({id(error.__cause__) for error in told if isinstance(error, Exception)}) == 6


async def test_reconnect_after_grow_failed(shell: Shell) -> None:
    async with shell.exclusive(max_total_per_key=2, max_block_wait=20) as pool:
        conn = await shell.get(pool)
        shell.outside.broken.add("a")
        waiter = shell.getting(pool)
        await eventually(lambda: pool.stats().connections_errors >= 2)
        assert not waiter.done()  # there is another channel to wait for
        shell.outside.broken.clear()
        await shell.do((await waiter).close)
        await shell.do(conn.close)


@pytest.mark.parametrize("healthy", [True, False])
async def test_a_suspect_channel_is_checked_when_it_is_returned_and_replaced_if_it_is_bad(
    shell: Shell, healthy: bool
) -> None:
    async with shell.exclusive() as pool:
        conn = await shell.get(pool)
        [link] = shell.outside.links
        link.suspect, link.good = True, healthy
        await shell.do(conn.close)
        await eventually(lambda: link.tests == 1 and pool.idle_count("a") == healthy)
        await eventually(lambda: link.closed == (not healthy))
        await shell.use(pool)
        assert len(shell.outside.links) == (1 if healthy else 2)
        assert pool.stats().connections_lost == (not healthy)


async def test_a_channel_is_checked_before_it_is_handed_out(shell: Shell) -> None:
    async with shell.exclusive(test_on_borrow=True, test_on_return=False) as pool:
        await shell.use(pool)
        [link] = shell.outside.links
        await shell.use(pool)
        assert link.tests == 0  # nothing speaks against it
        link.suspect, link.good = True, False
        async with shell.entered(pool.lease("a")) as conn:
            assert conn.channel.link is not link
        await eventually(lambda: link.closed == 1)


# --- keys ---


async def test_settings_of_a_key_win(shell: Shell) -> None:
    shell.outside.settings["a"] = PoolSettings(mode="exclusive", max_total_per_key=2)
    async with shell.entered(shell.pool(PoolSettings(max_block_wait=0.01))) as pool:
        leases = [await shell.get(pool, timeout=20) for _ in range(2)]
        with pytest.raises(errors.PoolTimeoutError):
            await shell.get(pool)
        await shell.do(pool.configure, "a", PoolSettings(max_total_per_key=3))
        leases.append(await shell.get(pool, timeout=20))
        for conn in leases:
            await shell.do(conn.close)
        contradicting = PoolSettings(soft_limit=91, hard_limit=95).model_copy(update={"hard_limit": 90})
        for settings, said in (
            (PoolSettings(max_total=3), "max_total is a setting of a whole pool"),
            (contradicting, "contradict each other: soft_limit is above"),
        ):
            with pytest.raises(errors.ConfigError, match=said):
                await shell.do(pool.configure, "a", settings)


async def test_prepare_opens_what_is_kept_ready(shell: Shell) -> None:
    async with shell.exclusive(min_idle_per_key=3) as pool:
        await shell.do(pool.prepare, "a")
        assert pool.idle_count("a") == 3
        conn = await shell.get(pool)
        await eventually(lambda: pool.idle_count("a") == 3)  # kept warm
        await shell.do(conn.close)
    shell.outside.broken.add("b")
    slow = shell.slow("c")
    async with shell.exclusive() as pool:
        with pytest.raises(errors.ConnectFailedError, match="b refuses"):
            await shell.do(pool.prepare, "b")
        with pytest.raises(errors.PoolTimeoutError):
            await shell.do(pool.prepare, "c", timeout=0.01)
        slow.set()
        shell.outside.broken.clear()
        await shell.do(pool.prepare, "b")
        assert pool.idle_count("b") == 1


async def test_clear_closes_what_is_not_in_use(shell: Shell) -> None:
    async with shell.exclusive() as pool:
        used, idle, other = await shell.get(pool), await shell.get(pool), await shell.get(pool, "b")
        await shell.do(idle.close)
        await shell.do(other.close)
        await shell.do(pool.clear, "a")
        assert (pool.idle_count("a"), pool.idle_count("b"), pool.active_count("a")) == (0, 1, 1)
        used.channel()
        await shell.do(used.close)
        assert pool.idle_count("a") == 1
        await shell.do(pool.clear)
        assert pool.total_idle_count() == 0


async def test_drain_replaces_channels_and_cuts_off_at_the_deadline(shell: Shell) -> None:
    async with shell.exclusive(drain_timeout=0.05) as pool:
        conn = await shell.get(pool)
        await shell.do(pool.drain)
        [old] = shell.outside.links
        async with shell.entered(pool.lease("a")) as new:
            assert new.channel.link is not old
        await eventually(lambda: old.closed == 1)
        await shell.do(conn.close)  # late, and harmless


async def test_eviction_closes_everything_that_is_due(shell: Shell) -> None:
    async with shell.exclusive(max_idle_per_key=8, eviction_interval=0.05, min_evictable_idle=0.0) as pool:
        for conn in [await shell.get(pool) for _ in range(8)]:
            await shell.do(conn.close)
        await eventually(lambda: pool.stats().pool_size == 0)
        assert all(link.closed == 1 for link in shell.outside.links)


# --- what nobody has any more ---


async def test_an_error_that_was_handled_keeps_nothing_alive(shell: Shell) -> None:
    class Local:
        """What a borrower has beside its lease."""

    async def fail() -> weakref.ref[Local]:
        local = Local()
        with contextlib.suppress(errors.PoolTimeoutError):
            # A pool of threads raises in this one: on Python 3.10 the future of another holds its error in a cycle.
            await pool.get_client("a", timeout=0.001)
        return weakref.ref(local)

    async with shell.exclusive(max_total_per_key=1) as pool, shell.entered(pool.lease("a")):
        with collector_off():
            local = await fail()
            await eventually(lambda: local() is None)


async def test_a_dropped_lease_is_given_back(shell: Shell) -> None:
    async with shell.exclusive(max_total_per_key=1, max_block_wait=20) as pool:

        async def drop() -> None:
            await shell.get(pool)
            gc.collect()
            await eventually(lambda: pool.stats().returns_bad == 1 and pool.idle_count("a") == 1)

        with pytest.warns(ResourceWarning, match="dropped without being returned"):
            await drop()
        await shell.use(pool)
        assert pool.stats().returns_bad == 1
        assert pool.active_count("a") == 0


async def test_leaks_are_reported_with_the_stack_of_the_borrower(shell: Shell) -> None:
    async with shell.exclusive(leak_threshold=0.05) as pool:
        with warnings.catch_warnings(record=True) as reported:
            warnings.simplefilter("always")
            conn = await shell.do(shell.kind.borrow_here, pool)
            await eventually(lambda: reported)
        assert re.search(r"on lease for 0 s; (.|\n)*borrow_here\n.*get_client.*$", str(reported[0].message))
        await shell.do(conn.close)


# --- the end ---


async def test_close_turns_waiters_away_and_leaves_nothing(shell: Shell) -> None:
    slow = shell.slow("b")
    pool = shell.pool(PoolSettings(mode="exclusive", max_total_per_key=1, max_block_wait=20))
    conn = await shell.get(pool)
    waiters = [shell.getting(pool, key) for key in ("a", "b")]
    await waiting(pool, 2)
    closing = asyncio.create_task(shell.do(pool.close))
    for error in await asyncio.gather(*waiters, return_exceptions=True):
        assert isinstance(error, errors.PoolClosedError)
    assert not closing.done()  # it waits for the lease
    assert not shell.outside.links[0].closed
    await shell.do(conn.close)
    slow.set()
    await asyncio.wait_for(closing, 10)
    assert all(link.closed == 1 for link in shell.outside.links)
    assert pool.stats().pool_size == 0
    for method in (pool.get_client, pool.prepare):
        with pytest.raises(errors.PoolClosedError):
            await shell.do(method, "a")
    await shell.do(pool.close)


async def test_close_cuts_off_what_is_leased_for_too_long(shell: Shell) -> None:
    pool = shell.pool()
    conn = await shell.get(pool)
    await shell.do(pool.close, timeout=0)
    assert shell.outside.links[0].closed == 1
    await shell.do(conn.close)
