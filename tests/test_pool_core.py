"""The pool's decisions: a state machine against plain books, and one test for each promise."""

from __future__ import annotations

import random
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from milvus_profiles.pool.core import Core
from milvus_profiles.pool.state import Lease, Open, Waiter, Wake
from milvus_profiles.profile import PoolSettings
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

    @rule(name=NAMES)
    def borrow(self, name: str) -> None:
        self.world.borrow(name)

    @rule(name=NAMES)
    def borrow_again(self, name: str) -> None:
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


def run(examples: int, steps: int, **options: Any) -> None:
    hypothesis.stateful.run_state_machine_as_test(
        PoolMachine,
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            database=None,
            print_blob=False,
            **options,
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


def test_who_waits_anew_is_not_woken_by_what_was_meant_for_his_last_waiting() -> None:
    core = Core(PoolSettings(mode="exclusive"), random.Random(0))
    waiter = Waiter(core.key("a", PoolSettings(mode="exclusive")), Lease(), "first")
    assert core.queue_up(waiter, 0.0) == "waiting"
    [opening] = core.plan(0.0)
    assert isinstance(opening, Open)
    core.done(opening, object(), None, 1.0)
    [wake] = core.plan(1.0)
    waiter.signal = "second"  # before the shell has come to wake him
    assert isinstance(wake, Wake)
    assert wake.signal == "first"
