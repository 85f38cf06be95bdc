"""Threads that stand back from a lock that is held: they come to no harm, and neither does whoever is interrupted."""

from __future__ import annotations

import threading
import time

import pytest

from milvus_profiles.pool.lock import ContentionGuard
from milvus_profiles.pool.threads import ConnectionPool
from milvus_profiles.profile import PoolSettings
from tests.support.pool_outside import Outside


def test_nobody_is_contended_at_a_lock_that_nobody_uses() -> None:
    assert not ContentionGuard().contended


def test_whoever_stands_back_goes_on_once_the_holder_is_out() -> None:
    convoy = ContentionGuard()
    passed = threading.Event()

    def next_one() -> None:
        convoy.back_off()
        passed.set()

    with convoy.lock:
        convoy.contended = True
        thread = threading.Thread(target=next_one)
        thread.start()
        assert not passed.wait(0.05)  # far beyond all pauses: it blocks on the lock by now
        assert convoy.blocked
        convoy.contended = convoy.blocked
    assert passed.wait(10)
    thread.join(10)
    assert not convoy.blocked
    assert not convoy.contended


def test_who_may_be_blocking_is_seen_until_he_is_out() -> None:
    convoy = ContentionGuard()
    with convoy:
        convoy.contended = True
        convoy.contended = convoy.blocked  # as a holder that leaves
        assert convoy.contended
    assert not convoy.contended


@pytest.mark.parametrize("left", ["contended", "blocked"])
def test_what_an_interrupt_leaves_behind_is_cleared_by_the_next(left: str) -> None:
    with ConnectionPool(connector=Outside()) as pool:
        with pool.lease("a"):
            pass
        if left == "contended":
            pool._contention.contended = True
        else:
            pool._contention.blocked.add(-1)
        with pool.lease("a"):
            pass
        assert not pool._contention.contended
        assert not pool._contention.blocked


def test_a_crowd_of_threads_gets_every_lease_and_leaves_nothing_behind() -> None:
    threads, count = 8, 500
    settings = PoolSettings(mode="exclusive", max_total_per_key=3, max_idle_per_key=3, max_block_wait=60)
    with ConnectionPool(settings, connector=Outside()) as pool:
        most, held = 0, 0
        counting = threading.Lock()

        def work() -> None:
            nonlocal most, held
            for number in range(count):
                with pool.lease("a"):
                    with counting:
                        held += 1
                        most = max(most, held)
                    if number % 50 == 0:
                        time.sleep(0.001)
                    with counting:
                        held -= 1

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        stats = pool.stats()
        assert most <= 3
        assert stats.requests_num == threads * count
        assert stats.requests_errors == stats.pool_active == 0
        assert not pool._contention.contended
