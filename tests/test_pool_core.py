"""The pool's decisions: a state machine against plain books, and one test for each promise."""

from __future__ import annotations

import gc
import random
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from milvus_profiles.pool.core import Core
from milvus_profiles.pool.state import Close, KeyState, Lease, Open, PoolEntry, Waiter, Wake
from milvus_profiles.pool_settings import PoolSettings
from tests.support.pool_outside import exclusive
from tests.support.pool_world import World

NAMES = st.sampled_from("abc")
INDEX = st.integers(0, 20)

small_settings = st.builds(
    PoolSettings,
    mode=st.sampled_from(["shared", "exclusive"]),
    max_channels=st.integers(1, 3),
    soft_limit=st.integers(1, 2),
    hard_limit=st.integers(2, 4),
    max_idle_per_key=st.integers(0, 3),
    min_idle_per_key=st.integers(0, 1),
    max_total_per_key=st.integers(1, 3),
    max_total=st.integers(1, 5),
    block_when_exhausted=st.sampled_from([True, True, False]),
    eviction_interval=st.sampled_from([5.0, 60.0]),
    min_evictable_idle=st.sampled_from([0.0, 10.0]),
    test_while_idle=st.booleans(),
    max_lifetime=st.sampled_from([None, None, 50.0]),
    max_uses=st.sampled_from([None, None, 3]),
    max_waiting=st.sampled_from([None, None, 2]),
    drain_timeout=st.sampled_from([0.0, 20.0]),
    leak_threshold=st.sampled_from([None, 15.0]),
)


class PoolMachine(RuleBasedStateMachine):
    """Every rule is one event; the plan, as in life, comes some time after."""

    world: World
    total_steps = 0

    @initialize(settings=small_settings, seed=st.integers(0, 9))
    def begin(self, settings: PoolSettings, seed: int) -> None:
        self.world = World(settings, seed)

    @rule(names=st.lists(NAMES, min_size=1, max_size=3))
    def borrow(self, names: list[str]) -> None:
        for name in names:
            self.world.borrow(name)

    @precondition(lambda self: self.world.leases)
    @rule(index=INDEX, suspect=st.sampled_from([False, False, True]))
    def give_back(self, index: int, suspect: bool) -> None:
        self.world.give_back(index, suspect=suspect)

    @precondition(lambda self: self.world.leases)
    @rule(index=INDEX, how=st.sampled_from(["drop", "find_bad", "cancel_granted"]))
    def lose(self, index: int, how: str) -> None:
        getattr(self.world, how)(index)

    @precondition(lambda self: any(self.world.waiting.values()))
    @rule(index=INDEX, late=st.booleans())
    def give_up(self, index: int, late: bool) -> None:
        name = max(self.world.waiting, key=lambda name: (len(self.world.waiting[name]), name))
        self.world.give_up(name, index, late=late)

    @precondition(lambda self: self.world.opening)
    @rule(index=INDEX, good=st.sampled_from([True, True, True, False]))
    def opened(self, index: int, good: bool) -> None:
        self.world.opened(index, good=good)

    @precondition(lambda self: self.world.closing)
    @rule(index=INDEX)
    def closed(self, index: int) -> None:
        self.world.closed(index)

    @precondition(lambda self: self.world.testing)
    @rule(index=INDEX, good=st.booleans())
    def tested(self, index: int, good: bool) -> None:
        self.world.tested(index, good=good)

    @rule()
    def plan(self) -> None:
        self.world.plan()

    @precondition(lambda self: self.world.is_planned)
    @rule(seconds=st.sampled_from([0.05, 1.0, 6.0, 30.0]))
    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(name=NAMES, what=st.sampled_from(["clear", "prepare", "prepare"]))
    def administer(self, name: str, what: str) -> None:
        getattr(self.world, what)(name)

    @rule(name=NAMES, settings=small_settings)
    def configure(self, name: str, settings: PoolSettings) -> None:
        self.world.configure(name, settings)

    @precondition(lambda self: self.world.steps > 10)
    @rule(what=st.sampled_from(["drain"] * 6 + ["close"]))
    def end(self, what: str) -> None:
        if what == "drain":
            self.world.drain()
        elif not self.world.is_closed:
            self.world.close(10.0)

    @invariant()
    def rules_hold(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            PoolMachine.total_steps += self.world.steps
            self.world.finish()


def run(examples: int, steps: int) -> None:
    hypothesis.stateful.run_state_machine_as_test(
        PoolMachine,
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=steps,
            suppress_health_check=list(hypothesis.HealthCheck),
            database=None,
            print_blob=False,
        ),
    )


def test_the_rules_hold_whatever_happens_in_whatever_order() -> None:
    run(examples=100, steps=50)


@pytest.mark.campaign
def test_the_rules_hold_over_a_million_steps() -> None:
    began = PoolMachine.total_steps
    while PoolMachine.total_steps - began < 1_000_000:
        run(examples=2_000, steps=80)
        print(f"{PoolMachine.total_steps - began:,} steps", flush=True)


def one_key(**settings: Any) -> tuple[Core, KeyState]:
    core = Core(exclusive(**settings), random.Random(0))
    return core, core.key("a", core.settings)


def test_who_waits_anew_is_not_woken_by_what_was_meant_for_his_last_waiting() -> None:
    core, key = one_key()
    waiter = Waiter(key, Lease(), "first")
    assert core.queue_up(waiter, 0.0) == "waiting"
    [opening] = core.plan(0.0)
    assert isinstance(opening, Open)
    core.done(opening, object(), None, 1.0)
    [wake] = core.plan(1.0)
    waiter.signal = "second"  # before the shell has come to wake him
    assert isinstance(wake, Wake)
    assert wake.signal == "first"


def opened(core: Core, key: KeyState, now: float) -> PoolEntry:
    """A channel of an exclusive key, opened for somebody who has returned it."""
    waiter = Waiter(key, Lease())
    assert core.queue_up(waiter, now) == "waiting"
    [opening] = core.plan(now)
    assert isinstance(opening, Open)
    core.done(opening, object(), None, now)
    core.plan(now)
    assert waiter.lease is not None
    core.release(waiter.lease, now)
    return opening.entry


def closed_at(core: Core, begin: float, end: float) -> dict[float, list[PoolEntry]]:
    """What is closed when, where a plan is made every second."""
    seconds = (begin + number for number in range(int(end - begin)))
    closing = {now: [each.entry for each in core.plan(now) if isinstance(each, Close)] for now in seconds}
    return {now: entries for now, entries in closing.items() if entries}


def test_an_idle_channel_is_closed_when_its_time_has_come_however_often_it_was_looked_at() -> None:
    core, key = one_key(eviction_interval=1, min_evictable_idle=60)
    first = opened(core, key, 0.0)
    second = opened(core, core.key("b", core.settings), 10.0)
    assert closed_at(core, 11.0, 100.0) == {60.0: [first], 70.0: [second]}


def test_a_shorter_time_to_be_idle_holds_at_once() -> None:
    core, key = one_key(eviction_interval=1, min_evictable_idle=600)
    entry = opened(core, key, 0.0)
    assert closed_at(core, 1.0, 20.0) == {}
    core.key("a", core.settings.model_copy(update={"min_evictable_idle": 5}))
    assert closed_at(core, 20.0, 40.0) == {20.0: [entry]}


def test_a_channel_whose_lease_was_dropped_is_idle_for_as_long_as_before() -> None:
    core, key = one_key(eviction_interval=1, min_evictable_idle=60, test_on_return=False)
    entry = opened(core, key, 0.0)
    lease = Lease()
    assert core.take(key, lease, 1.0)
    assert closed_at(core, 2.0, 80.0) == {}
    del lease
    gc.collect()
    assert closed_at(core, 80.0, 90.0) == {80.0: [entry]}


def test_a_channel_to_be_kept_is_closed_once_there_is_another() -> None:
    core, key = one_key(eviction_interval=1, min_evictable_idle=60, min_idle_per_key=1)
    waiter = Waiter(key, lease := Lease())
    assert core.queue_up(waiter, 0.0) == "waiting"
    for opening in core.plan(0.0):  # one for him, and one to be kept ready
        assert isinstance(opening, Open)
        core.done(opening, object(), None, 0.0)
    core.plan(0.0)
    [kept] = key.available
    assert closed_at(core, 1.0, 100.0) == {}
    core.release(lease, 100.0)
    assert closed_at(core, 100.0, 110.0) == {100.0: [kept]}
    assert len(key.available) == 1
