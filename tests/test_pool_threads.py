"""The pool for threads: waiting, errors, faults, forks and the end, without a server."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import milvus_profiles as mp
from milvus_profiles import errors
from milvus_profiles.pool.threads import ConnectionPool
from milvus_profiles.profile import PoolSettings
from tests.support.pool_outside import Outside


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("milvus-profiles")]
    for thread in left:
        thread.join(5)
    assert not [thread for thread in left if thread.is_alive()]


def exclusive(**settings: Any) -> PoolSettings:
    return PoolSettings(mode="exclusive", **settings)


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "it does not come to that"
        time.sleep(0.001)


def waiting(pool: ConnectionPool, count: int) -> None:
    eventually(lambda: pool.stats().requests_waiting == count)


# --- leases ---


@pytest.mark.parametrize("mode", ["shared", "exclusive"])
def test_a_lease_is_a_connection_until_it_is_returned(mode: Any) -> None:
    outside = Outside()
    with ConnectionPool(PoolSettings(mode=mode), connector=outside) as pool:
        with pool.lease("prod") as conn:
            assert isinstance(conn, mp.Connection)
            assert conn.alias == "prod"
            assert not conn.is_closed
            assert pool.active_count("prod") == pool.total_active_count() == 1
            conn.channel()  # type: ignore[operator]
        assert conn.is_closed
        assert pool.active_count("PROD") == 0
        assert pool.idle_count("prod") == pool.total_idle_count() == 1
        with pytest.raises(errors.ConnectionClosedError, match="returned to its pool"):
            conn.channel()
        with pytest.raises(errors.ConnectionClosedError):
            conn.ping()
        assert conn.alias == "prod"
        again = pool.get_client("Prod")
        pool.return_client("prod", again)
        assert len(outside.links) == 1
    assert outside.links[0].closed == 1


def test_closing_a_leased_connection_returns_it() -> None:
    with ConnectionPool(exclusive(), connector=Outside()) as pool:
        conn = pool.get_client("a")
        conn.close()
        conn.close()
        assert (pool.idle_count("a"), pool.active_count("a")) == (1, 0)
        with pool.lease("a") as conn:
            conn.close()
        with pool.get_client("a"):
            assert pool.active_count("a") == 1
        assert pool.active_count("a") == 0


def test_double_and_foreign_returns_raise() -> None:
    with ConnectionPool(exclusive(), connector=Outside()) as pool, ConnectionPool(connector=Outside()) as other:
        conn = pool.get_client("a")
        with pytest.raises(errors.PoolError, match="not from this pool"):
            other.return_client("a", conn)
        with pytest.raises(errors.PoolError, match="not one of 'b'"):
            pool.return_client("b", conn)
        with pytest.raises(errors.PoolError, match="not from this pool"):
            pool.return_client("a", object())  # type: ignore[arg-type]
        pool.return_client("a", conn)
        with pytest.raises(errors.PoolError, match="returned before"):
            pool.return_client("a", conn)
        assert pool.stats().pool_active == 0
        assert pool.stats().pool_idle == 1


def test_the_last_returned_is_leased_first() -> None:
    with ConnectionPool(exclusive(), connector=Outside()) as pool:
        first, second = pool.get_client("a"), pool.get_client("a")
        links = [conn._pooled for conn in (first, second)]  # type: ignore[attr-defined]
        first.close()
        second.close()
        with pool.lease("a") as conn:
            assert conn._pooled is links[1]  # type: ignore[attr-defined]


def test_shared_leases_spread_and_grow() -> None:
    settings = PoolSettings(max_channels=3, soft_limit=2, hard_limit=4)
    with ConnectionPool(settings, connector=(outside := Outside())) as pool:
        leases = [pool.get_client("a")]
        for count in range(2, 13):
            eventually(lambda: not pool._core.keys["a"].connecting)
            leases.append(pool.get_client("a"))
            assert len(leases) == count
        assert len(outside.links) == 3
        assert sorted(entry.load for entry in pool._core.keys["a"].entries) == [4, 4, 4]
        with pytest.raises(errors.PoolTimeoutError):
            pool.get_client("a", timeout=0)
        for conn in leases:
            conn.close()
        assert pool.total_active_count() == 0


def test_an_unknown_profile_is_said_at_once_and_not_remembered() -> None:
    with ConnectionPool(connector=Outside()) as pool:
        for _ in range(2):
            with pytest.raises(errors.UnknownProfileError) as caught:
                pool.get_client("unknown")
            assert caught.value.__context__ is None
        assert pool.idle_count("unknown") == 0
        assert pool.stats().keys == {}


# --- waiting ---


def test_waiters_are_served_in_the_order_of_coming() -> None:
    order: list[int] = []
    with ConnectionPool(exclusive(max_total_per_key=1, max_block_wait=20), connector=Outside()) as pool:

        def borrow(number: int) -> None:
            with pool.lease("a"):
                order.append(number)

        first = pool.get_client("a")
        with ThreadPoolExecutor(8) as threads:
            for number in range(8):
                threads.submit(borrow, number)
                waiting(pool, number + 1)
            first.close()
        assert order == list(range(8))
        assert pool.stats().requests_queued == 9


def test_the_wait_ends_in_time_and_says_why() -> None:
    outside = Outside()
    with (
        ConnectionPool(exclusive(max_total_per_key=1, max_block_wait=0.05), connector=outside) as pool,
        pool.lease("a"),
    ):
        with pytest.raises(errors.PoolTimeoutError, match=r"within 0\.05 s: 1 leases on 1 of 1") as caught:
            pool.get_client("a")
        assert caught.value.stats is not None
        assert caught.value.stats.keys["a"].pool_active == 1
        assert caught.value.stats.requests_errors == 1
        copy = pickle.loads(pickle.dumps(caught.value))
        assert copy.stats == caught.value.stats
        assert pool.stats().requests_waiting == 0


def test_connecting_counts_as_waiting_and_goes_on() -> None:
    outside = Outside()
    outside.slow["a"] = threading.Event()
    with ConnectionPool(exclusive(max_block_wait=0.05), connector=outside) as pool:
        with pytest.raises(errors.PoolTimeoutError, match="still being opened"):
            pool.get_client("a")
        outside.slow["a"].set()
        eventually(lambda: pool.idle_count("a") == 1)
        pool.get_client("a").close()
        assert len(outside.attempts) == 1


def test_who_may_not_block_is_refused_at_once() -> None:
    settings = exclusive(max_total_per_key=1, block_when_exhausted=False)
    with ConnectionPool(settings, connector=Outside()) as pool, pool.lease("a"):
        with pytest.raises(errors.PoolExhaustedError, match="block_when_exhausted is off") as caught:
            pool.get_client("a")
        assert caught.value.stats is not None
        assert caught.value.stats.pool_size == 1


def test_one_more_than_may_wait_is_refused() -> None:
    settings = exclusive(max_total_per_key=1, max_waiting=1, max_block_wait=20)
    with ConnectionPool(settings, connector=Outside()) as pool, ThreadPoolExecutor(1) as threads:
        conn = pool.get_client("a")
        waiter = threads.submit(pool.get_client, "a")
        waiting(pool, 1)
        with pytest.raises(errors.PoolExhaustedError, match="1 borrowers wait"):
            pool.get_client("a")
        conn.close()
        waiter.result().close()


def test_a_slow_key_delays_no_other() -> None:
    outside = Outside()
    outside.slow["slow"] = threading.Event()
    with ConnectionPool(exclusive(max_block_wait=20), connector=outside) as pool, ThreadPoolExecutor(4) as threads:
        slow = [threads.submit(pool.get_client, "slow") for _ in range(4)]
        waiting(pool, 4)
        for _ in range(20):
            with pool.lease("fast"):
                pass
        assert not any(each.done() for each in slow)
        outside.slow["slow"].set()
        for each in slow:
            each.result().close()


def test_the_oldest_idle_channel_makes_room() -> None:
    outside = Outside()
    with ConnectionPool(exclusive(max_total=2), connector=outside) as pool:
        for key in ("a", "b", "a", "c"):  # b is idle for longest when c wants a channel
            pool.get_client(key).close()
        assert (len(outside.of("a")), len(outside.of("b")), len(outside.of("c"))) == (1, 0, 1)


def test_a_spike_is_served_by_few_channels() -> None:
    outside = Outside()
    settings = exclusive(max_total_per_key=4, max_idle_per_key=4, max_block_wait=20)
    with ConnectionPool(settings, connector=outside) as pool, ThreadPoolExecutor(32) as threads:

        def borrow(_: int) -> int:
            with pool.lease("a"):
                return pool.stats().pool_size

        assert max(threads.map(borrow, range(400))) <= 4
        assert len(outside.links) <= 4
        assert outside.most_opening <= 4
        assert pool.stats().requests_num == 400


# --- failures ---


def test_a_failed_connect_is_raised_with_its_cause() -> None:
    outside = Outside()
    outside.broken.add("a")
    with ConnectionPool(connector=outside) as pool:
        with pytest.raises(errors.ConnectFailedError, match="could not connect to 'a': a refuses") as caught:
            pool.get_client("a")
        assert isinstance(caught.value.__cause__, errors.UnreachableError)
        assert caught.value.hint == "start it"
        assert caught.value.stats is not None
        assert caught.value.stats.connections_errors == 1
        outside.broken.clear()
        pool.get_client("a").close()  # the next one tries at once


def test_all_who_wait_for_a_key_that_fails_are_told() -> None:
    outside = Outside()
    outside.broken.add("a")
    outside.slow["a"] = threading.Event()
    with ConnectionPool(connector=outside) as pool, ThreadPoolExecutor(6) as threads:
        waiters = [threads.submit(pool.get_client, "a") for _ in range(6)]
        waiting(pool, 6)
        outside.slow["a"].set()
        causes = [waiter.exception() for waiter in waiters]
        assert all(isinstance(cause, errors.ConnectFailedError) for cause in causes)
        assert len({id(cause.__cause__) for cause in causes if cause}) == 6


def test_reconnect_after_grow_failed() -> None:
    outside = Outside()
    settings = exclusive(max_total_per_key=2, max_block_wait=20)
    with ConnectionPool(settings, connector=outside) as pool, ThreadPoolExecutor(1) as threads:
        conn = pool.get_client("a")
        outside.broken.add("a")
        waiter = threads.submit(pool.get_client, "a")
        eventually(lambda: pool.stats().connections_errors >= 2)
        assert not waiter.done()  # there is another channel to wait for
        outside.broken.clear()
        waiter.result().close()
        conn.close()


def test_a_bad_channel_is_replaced_when_it_is_returned() -> None:
    outside = Outside()
    with ConnectionPool(exclusive(), connector=outside) as pool:
        conn = pool.get_client("a")
        [link] = outside.links
        link.suspect, link.good = True, False
        conn.close()
        eventually(lambda: link.closed == 1)
        assert link.tests == 1
        pool.get_client("a").close()
        assert len(outside.links) == 2
        assert pool.stats().connections_lost == 1


def test_a_suspect_channel_that_is_good_stays() -> None:
    outside = Outside()
    with ConnectionPool(exclusive(), connector=outside) as pool:
        conn = pool.get_client("a")
        [link] = outside.links
        link.suspect = True
        conn.close()
        eventually(lambda: pool.idle_count("a") == 1 and link.tests == 1)
        pool.get_client("a").close()
        assert len(outside.links) == 1


def test_a_channel_is_tested_before_it_is_handed_out() -> None:
    outside = Outside()
    with ConnectionPool(exclusive(test_on_borrow=True, test_on_return=False), connector=outside) as pool:
        pool.get_client("a").close()
        [link] = outside.links
        pool.get_client("a").close()
        assert link.tests == 0  # nothing speaks against it
        link.suspect, link.good = True, False
        with pool.lease("a") as conn:
            assert conn._pooled is not link  # type: ignore[attr-defined]
        eventually(lambda: link.closed == 1)


# --- keys ---


def test_settings_of_a_key_win() -> None:
    outside = Outside(a=PoolSettings(mode="exclusive", max_total_per_key=2))
    with ConnectionPool(PoolSettings(max_block_wait=0.01), connector=outside) as pool:
        leases = [pool.get_client("a", timeout=20) for _ in range(2)]
        with pytest.raises(errors.PoolTimeoutError):
            pool.get_client("a")
        pool.configure("a", PoolSettings(max_total_per_key=3))
        leases.append(pool.get_client("a", timeout=20))
        for conn in leases:
            conn.close()
        with pytest.raises(errors.ConfigError, match="max_total is a setting of a whole pool"):
            pool.configure("a", PoolSettings(max_total=3))
        with pytest.raises(errors.ConfigError, match="contradict each other: soft_limit is above"):
            pool.configure("a", PoolSettings(soft_limit=91, hard_limit=95).model_copy(update={"hard_limit": 90}))


def test_prepare_opens_what_is_kept_ready() -> None:
    outside = Outside()
    with ConnectionPool(exclusive(min_idle_per_key=3), connector=outside) as pool:
        pool.prepare("a")
        assert pool.idle_count("a") == 3
        conn = pool.get_client("a")
        eventually(lambda: pool.idle_count("a") == 3)  # kept warm
        conn.close()
    outside.broken.add("b")
    with ConnectionPool(connector=outside) as pool:
        with pytest.raises(errors.ConnectFailedError, match="b refuses"):
            pool.prepare("b")
        outside.slow["c"] = threading.Event()
        with pytest.raises(errors.PoolTimeoutError):
            pool.prepare("c", timeout=0.01)
        outside.slow["c"].set()


def test_clear_closes_what_is_not_in_use() -> None:
    outside = Outside()
    with ConnectionPool(exclusive(), connector=outside) as pool:
        used, idle, other = pool.get_client("a"), pool.get_client("a"), pool.get_client("b")
        idle.close()
        other.close()
        pool.clear("a")
        assert (pool.idle_count("a"), pool.idle_count("b"), pool.active_count("a")) == (0, 1, 1)
        used.channel()  # type: ignore[operator]
        used.close()
        assert pool.idle_count("a") == 1
        pool.clear()
        assert pool.total_idle_count() == 0


def test_drain_replaces_channels_and_cuts_off_at_the_deadline() -> None:
    outside = Outside()
    with ConnectionPool(exclusive(drain_timeout=0.05), connector=outside) as pool:
        conn = pool.get_client("a")
        pool.drain()
        [old] = outside.links
        with pool.lease("a") as new:
            assert new._pooled is not old  # type: ignore[attr-defined]
        eventually(lambda: old.closed == 1)
        conn.close()  # late, and harmless


def test_sweeps_close_everything_that_is_due() -> None:
    outside = Outside()
    settings = exclusive(max_idle_per_key=8, eviction_interval=0.05, min_evictable_idle=0.0)
    with ConnectionPool(settings, connector=outside) as pool:
        leases = [pool.get_client("a") for _ in range(8)]
        for conn in leases:
            conn.close()
        eventually(lambda: pool.stats().pool_size == 0)
        assert all(link.closed == 1 for link in outside.links)


# --- interruption ---


def _drop(pool: ConnectionPool) -> None:
    pool.get_client("a", timeout=20)
    gc.collect()
    eventually(lambda: pool.stats().returns_bad == 1)
    waiting(pool, 0)
    eventually(lambda: pool.idle_count("a") == 1)


def test_a_dropped_lease_is_given_back() -> None:
    with ConnectionPool(exclusive(max_total_per_key=1), connector=Outside()) as pool:
        with pytest.warns(ResourceWarning, match="dropped without being returned"):
            _drop(pool)
        pool.get_client("a", timeout=20).close()
        assert pool.stats().returns_bad == 1
        assert pool.active_count("a") == 0


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnhandledThreadExceptionWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
def test_interrupts_at_any_moment_leak_nothing() -> None:
    class Interrupt(BaseException):
        pass

    def interrupt(number: int, frame: object) -> None:
        raise Interrupt

    rounds = interrupts = 0
    settings = exclusive(max_total_per_key=2, max_block_wait=20)
    with ConnectionPool(settings, connector=Outside()) as pool, ThreadPoolExecutor(2) as threads:
        ended = threading.Event()

        def compete() -> None:
            while not ended.is_set():
                with pool.lease("a"):
                    pass

        rivals = [threads.submit(compete) for _ in range(2)]
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            while interrupts < 300:
                with contextlib.suppress(Interrupt):
                    interrupts += 1
                    signal.setitimer(signal.ITIMER_REAL, 0.0002 + 0.000013 * (interrupts % 50))
                    # Not forever: one that comes in a finalizer is swallowed by the interpreter.
                    for _ in range(500):
                        rounds += 1
                        with pool.lease("a"):
                            pass
                    signal.setitimer(signal.ITIMER_REAL, 0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            ended.set()
        for rival in rivals:
            rival.result()
        gc.collect()
        for _ in range(2):  # what was interrupted has been noticed by then
            leases = [pool.get_client("a", timeout=20) for _ in range(2)]
            for conn in leases:
                conn.close()
        eventually(lambda: pool.total_active_count() == 0)
        assert pool.stats().pool_size <= 2
        assert rounds > interrupts


def test_who_is_interrupted_while_waiting_leaves_the_queue() -> None:
    class Interrupt(BaseException):
        pass

    def interrupt(number: int, frame: object) -> None:
        raise Interrupt

    with ConnectionPool(exclusive(max_total_per_key=1, max_block_wait=20), connector=Outside()) as pool:
        conn = pool.get_client("a")
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Interrupt):
                pool.get_client("a")
        finally:
            signal.signal(signal.SIGALRM, before)
        assert pool.stats().requests_waiting == 0
        conn.close()
        assert (pool.idle_count("a"), pool.active_count("a")) == (1, 0)


def test_leaks_are_reported_with_the_stack_of_the_borrower() -> None:
    with ConnectionPool(exclusive(leak_threshold=0.05), connector=Outside()) as pool:
        conn = pool.get_client("a")
        with pytest.warns(ResourceWarning, match="on lease for 0 s(.|\n)*test_leaks_are_reported"):
            eventually(lambda: all(watch.reported for watch in pool._core.keys["a"].watched))
        conn.close()
        assert not pool._core.keys["a"].watched


# --- the end ---


def test_close_turns_waiters_away_and_leaves_nothing() -> None:
    outside = Outside()
    outside.slow["b"] = threading.Event()
    pool = ConnectionPool(exclusive(max_total_per_key=1, max_block_wait=20), connector=outside)
    with ThreadPoolExecutor(2) as threads:
        conn = pool.get_client("a")
        waiters = [threads.submit(pool.get_client, key) for key in ("a", "b")]
        waiting(pool, 2)
        closing = threading.Thread(target=pool.close)
        closing.start()
        for waiter in waiters:
            assert isinstance(waiter.exception(), errors.PoolClosedError)
        assert closing.is_alive()  # it waits for the lease
        assert not outside.links[0].closed
        conn.close()
        outside.slow["b"].set()
        closing.join(10)
        assert not closing.is_alive()
    assert all(link.closed == 1 for link in outside.links)
    assert pool.stats().pool_size == 0
    with pytest.raises(errors.PoolClosedError):
        pool.get_client("a")
    with pytest.raises(errors.PoolClosedError):
        pool.prepare("a")
    pool.close()


def test_close_cuts_off_what_is_leased_for_too_long() -> None:
    outside = Outside()
    pool = ConnectionPool(connector=outside)
    conn = pool.get_client("a")
    pool.close(timeout=0)
    assert outside.links[0].closed == 1
    conn.close()


@pytest.mark.filterwarnings("ignore:unclosed", "ignore::ResourceWarning")
def test_a_dropped_pool_closes_its_channels_and_ends_its_thread() -> None:
    outside = Outside()
    pool = ConnectionPool(connector=outside)
    pool.get_client("a").close()
    del pool
    gc.collect()
    eventually(lambda: outside.links[0].closed == 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_starts_empty_and_leaves_the_parents_channels_alone() -> None:
    outside = Outside()
    with ConnectionPool(exclusive(), connector=outside) as pool:
        held = pool.get_client("a")
        [parents] = outside.links
        child = os.fork()
        if child == 0:
            code = 1
            try:
                assert pool.stats().pool_size == 0
                assert parents.abandoned
                with pool.lease("a") as conn:
                    assert conn._pooled is not parents  # type: ignore[attr-defined]
                held.close()
                pool.close()
                assert not parents.closed
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not parents.abandoned
        held.channel()  # type: ignore[operator]
        held.close()
        assert pool.idle_count("a") == 1


@pytest.mark.parametrize("pool", [mp.ConnectionPool, mp.aio.ConnectionPool])
def test_settings_that_are_something_else_are_refused_at_once(pool: Any) -> None:
    with pytest.raises(errors.ConfigError, match="settings= is no PoolSettings but a dict"):
        pool({"max_total": 3})
