"""What only the pool for threads has to hold, without a server: forks, threads that crowd at its lock."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from milvus_profiles.pool.threads import ConnectionPool, ContentionGuard
from tests.support.pool_outside import Outside, exclusive
from tests.support.waiting import side_by_side, until


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("milvus-profiles")]
    for thread in left:
        thread.join(5)
    assert not [thread for thread in left if thread.is_alive()]


@pytest.mark.filterwarnings("ignore:unclosed", "ignore::ResourceWarning")
def test_a_dropped_pool_closes_its_channels_and_ends_its_thread() -> None:
    outside = Outside()
    pool = ConnectionPool(connector=outside)
    pool.get_client("a").close()
    del pool
    gc.collect()
    until(lambda: outside.links[0].closed == 1)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_starts_empty_and_leaves_the_parents_channels_alone() -> None:
    outside = Outside()
    with ConnectionPool(exclusive(), connector=outside) as pool:
        held: Any = pool.get_client("a")
        [parents] = outside.links
        child = os.fork()
        if child == 0:
            code = 1
            try:
                assert pool.stats().pool_size == 0
                assert parents.abandoned
                with pool.lease("a") as conn:
                    assert conn.channel.link is not parents  # type: ignore[attr-defined]
                held.close()
                pool.close()
                assert not parents.closed
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not parents.abandoned
        held.channel()
        held.close()
        assert pool.idle_count("a") == 1


# --- threads that stand back from a lock that is held ---


def test_whoever_backs_off_goes_on_once_the_holder_is_out() -> None:
    guard = ContentionGuard()
    passed = threading.Event()

    def next_one() -> None:
        guard.back_off()
        passed.set()

    with guard.lock:
        guard.contended = True
        thread = threading.Thread(target=next_one)
        thread.start()
        assert not passed.wait(0.05)  # far beyond all pauses: it blocks on the lock by now
        assert guard.blocked
        guard.contended = guard.blocked
    assert passed.wait(10)
    thread.join(10)
    assert not guard.blocked
    assert not guard.contended


def test_who_may_be_blocking_is_seen_until_he_is_out() -> None:
    guard = ContentionGuard()
    assert not guard.contended
    with guard:
        guard.contended = True
        guard.contended = guard.blocked  # as a holder that leaves
        assert guard.contended
    assert not guard.contended


@pytest.mark.parametrize("left", ["contended", "blocked"])
def test_what_an_interrupt_leaves_behind_is_cleared_by_the_next(left: str) -> None:
    guard = ContentionGuard()
    if left == "contended":
        guard.contended = True
    else:
        guard.blocked.add(-1)
    guard.back_off()
    assert not guard.contended
    assert not guard.blocked


def test_a_crowd_of_threads_gets_every_lease_and_leaves_nothing_behind() -> None:
    threads, count = 8, 500
    settings = exclusive(max_total_per_key=3, max_idle_per_key=3, max_block_wait=60)
    with ConnectionPool(settings, connector=Outside()) as pool:
        channels = threading.BoundedSemaphore(3)

        def work() -> None:
            for number in range(count):
                with pool.lease("a"):
                    assert channels.acquire(blocking=False)
                    if number % 50 == 0:
                        time.sleep(0.001)
                    channels.release()

        side_by_side(work, threads=threads)
        stats = pool.stats()
        assert stats.requests_num == threads * count
        assert stats.requests_errors == stats.pool_active == 0
