"""A pool's core in a world of its own: a clock that stands still, and channels that open, fail and close on demand.

The world keeps its own plain books of channels, leases and waiters, and after every step compares them with the core's
and with the rules of a pool (`check`). It knows nothing of how the core decides.
"""

from __future__ import annotations

import gc
import math
import random
from dataclasses import dataclass, field

import pytest

from milvus_profiles.pool.core import Core
from milvus_profiles.pool.state import (
    Action,
    CheckHealth,
    Close,
    KeyState,
    Lease,
    Open,
    Outcome,
    Phase,
    PoolEntry,
    Waiter,
    Wake,
)
from milvus_profiles.pool_settings import PoolSettings


@dataclass(eq=False)
class Channel:
    """A channel as the world sees it."""

    entry: PoolEntry
    state: str = "opening"  # opening, open, closing, closed
    leases: int = 0
    returned: float = 0.0  # when, for the last time
    retired_until: float | None = None  # it drains


@dataclass
class World:
    settings: PoolSettings
    seed: int = 0
    now: float = 1000.0

    core: Core = field(init=False)
    channels: dict[PoolEntry, Channel] = field(default_factory=dict)
    leases: list[Lease] = field(default_factory=list)
    granted: dict[Lease, Channel] = field(default_factory=dict)
    waiting: dict[str, list[Waiter]] = field(default_factory=dict)
    preparing: list[Waiter] = field(default_factory=list)
    opening: list[Channel] = field(default_factory=list)
    closing: list[Channel] = field(default_factory=list)
    testing: list[Channel] = field(default_factory=list)
    allowed: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    is_closed: bool = False

    def __post_init__(self) -> None:
        self.core = Core(self.settings, random.Random(self.seed))

    # --- what borrowers do ---

    def key(self, name: str) -> KeyState:
        if name not in self.core.keys:
            self.core.key(name, self.settings)
            self.allowed[name] = self.core.keys[name].cap
            self.waiting[name] = []
        return self.core.keys[name]

    def borrow(self, name: str) -> None:
        """Take a lease or queue up."""
        key = self.key(name)
        lease = Lease()
        idle_before = {entry: entry.load for entry in key.available}
        if self.core.take(key, lease, self.now):
            assert not self.waiting[name], "somebody waits already"
            self._granted(lease, key, idle_before)
            return
        waiter = Waiter(key, lease)
        answer = self.core.queue_up(waiter, self.now)
        if answer == "waiting":
            self.waiting[name].append(waiter)
        else:
            assert lease.entry is None
            assert (answer == "closed") == self.is_closed
            if answer == "exhausted":
                assert key.max_waiting < math.inf

    def _granted(self, lease: Lease, key: KeyState, before: dict[PoolEntry, int] | None = None) -> None:
        entry = lease.entry
        assert entry is not None
        channel = self.channels[entry]
        assert channel.state == "open", f"a lease on a channel that is {channel.state}"
        assert channel.retired_until is None, "a lease on a channel that drains"
        assert channel not in self.testing, "a lease on a channel that is being tested"
        assert entry.key is key
        channel.leases += 1
        assert channel.leases <= key.hard
        if before is not None:
            if key.shared:
                assert before[entry] == min(before.values()), "not the least loaded"
            else:
                latest = max(self.channels[other].returned for other in before)
                assert channel.returned == latest, "not the one that was returned last"
        self.leases.append(lease)
        self.granted[lease] = channel

    def _taken_back(self, index: int) -> tuple[Lease, Channel]:
        lease = self.leases.pop(index % len(self.leases))
        channel = self.granted.pop(lease)
        channel.leases -= 1
        channel.returned = self.now
        return lease, channel

    def give_back(self, index: int, *, suspect: bool = False) -> None:
        lease, _ = self._taken_back(index)
        self._woken(self.core.release(lease, self.now, check=suspect))
        assert lease.entry is None
        with pytest.raises(ValueError, match="returned before"):
            self.core.release(lease, self.now)

    def find_bad(self, index: int) -> None:
        """A test of the borrower found the channel bad."""
        lease, channel = self._taken_back(index)
        self.core.discard(lease, self.now)
        self._found_bad(channel)
        name = channel.entry.key.name
        if not self.is_closed:  # it tries again, before all others
            waiter = Waiter(self.core.keys[name], lease)
            assert self.core.queue_up(waiter, self.now, again=True) == "waiting"
            self.waiting[name].insert(0, waiter)

    def drop(self, index: int) -> None:
        """A lease becomes garbage without being returned."""
        before = len(self.core.dropped)
        lease, _ = self._taken_back(index)
        del lease
        if len(self.core.dropped) == before:
            gc.collect()
        assert len(self.core.dropped) == before + 1

    def _woken(self, waiter: Waiter | None) -> None:
        if waiter is None:
            return
        name = waiter.key.name
        if waiter.lease is None:
            assert waiter.outcome is not None
            self.preparing.remove(waiter)
        elif waiter.outcome is Outcome.GRANTED:
            assert self.waiting[name][0] is waiter, "not who waits for longest"
            self.waiting[name].pop(0)
            self._granted(waiter.lease, waiter.key)
        else:
            assert waiter.lease.entry is None
            assert waiter.outcome is not Outcome.FAILED or waiter.cause is not None
            self.waiting[name].remove(waiter)

    def give_up(self, name: str, index: int, *, late: bool) -> None:
        """Who waits is cancelled, or its time has passed."""
        waiters = self.waiting[name]
        waiter = waiters.pop(index % len(waiters))
        if late:
            assert self.core.time_out(waiter, self.now)
        else:
            self._woken(self.core.cancel(waiter, self.now))
        assert waiter.lease is not None
        assert waiter.lease.entry is None

    def cancel_granted(self, index: int) -> None:
        """Who was given a lease is cancelled before it could look."""
        lease, channel = self._taken_back(index)
        waiter = Waiter(channel.entry.key, lease)
        waiter.outcome = Outcome.GRANTED
        self._woken(self.core.cancel(waiter, self.now))
        assert lease.entry is None

    def prepare(self, name: str) -> None:
        waiter = Waiter(self.key(name), None)
        if self.core.prepare(waiter, self.now):
            self.preparing.append(waiter)

    # --- what channels do ---

    def opened(self, index: int, *, good: bool) -> None:
        channel = self.opening.pop(index % len(self.opening))
        if good:
            channel.state = "open"
            channel.returned = self.now
            if channel.entry.stale or self.is_closed:
                channel.retired_until = self.now
            self.core.opened(channel.entry, object(), self.now)
        else:
            channel.state = "closed"
            self.core.open_failed(channel.entry, OSError("refused"), self.now)

    def closed(self, index: int) -> None:
        channel = self.closing.pop(index % len(self.closing))
        channel.state = "closed"
        self.core.closed(channel.entry)

    def tested(self, index: int, *, good: bool) -> None:
        channel = self.testing.pop(index % len(self.testing))
        if not good:
            self._found_bad(channel)
        self.core.checked(channel.entry, good, self.now)

    def _found_bad(self, channel: Channel) -> None:
        if channel.state == "open" and channel.retired_until is None:
            self._retire(channel, self.now + self.settings.drain_timeout)

    # --- what owners do ---

    def configure(self, name: str, settings: PoolSettings) -> None:
        key = self.key(name)
        self.core.key(name, settings)
        self.allowed[name] = max(key.cap, len(key.entries))

    def clear(self, name: str) -> None:
        key = self.key(name)
        self.core.clear(key, self.now)
        for channel in self.channels.values():
            if channel.entry.key is key and channel.state == "open" and not channel.entry.load:
                self._retire(channel, math.inf)

    def drain(self) -> None:
        self.core.drain(self.now)
        self._retire_all(self.now + self.settings.drain_timeout)

    def close(self, timeout: float) -> None:
        self.core.close(self.now + timeout)
        self.is_closed = True
        self._retire_all(self.now + timeout)

    def _retire_all(self, until: float) -> None:
        for channel in self.channels.values():
            if channel.state == "open":
                self._retire(channel, until)

    def _retire(self, channel: Channel, until: float) -> None:
        before = math.inf if channel.retired_until is None else channel.retired_until
        channel.retired_until = min(before, until)
        if channel in self.testing:
            self.testing.remove(channel)

    def advance(self, seconds: float) -> None:
        self.now += seconds

    # --- plans ---

    @property
    def is_planned(self) -> bool:
        """Nothing makes a shell ask for a plan now."""
        return not (self.core.dirty or self.core.dropped) and self.now < self.core.wake_at

    def plan(self) -> None:
        for _ in range(100):
            for action in self.core.plan(self.now):
                self._carry_out(action)
            if not self.core.dirty:
                break
        else:
            raise AssertionError("planning does not come to an end")

    def _carry_out(self, action: Action) -> None:
        if isinstance(action, Open):
            assert not self.is_closed, "opened after the close"
            channel = Channel(action.entry)
            self.channels[action.entry] = channel
            self.opening.append(channel)
        elif isinstance(action, Close):
            channel = self.channels[action.entry]
            assert channel.state == "open"
            if channel.leases:
                # Without a drain_timeout the core may retire and close it in one plan.
                until = self.now if channel.retired_until is None else channel.retired_until
                assert channel.retired_until is not None or self.settings.drain_timeout == 0, "closed while in use"
                assert self.now >= until, "closed while in use, before the deadline"
            channel.state = "closing"
            self._retire(channel, self.now)
            self.closing.append(channel)
        elif isinstance(action, CheckHealth):
            channel = self.channels[action.entry]
            assert channel.state == "open"
            assert channel not in self.testing
            self.testing.append(channel)
        elif isinstance(action, Wake):
            self._woken(action.waiter)

    # --- the rules ---

    def check(self) -> None:
        """Compare the books, and see that the rules of a pool hold."""
        self.steps += 1
        core = self.core
        alive = [channel for channel in self.channels.values() if channel.state != "closed"]
        self.channels = {channel.entry: channel for channel in alive}
        self._check_limits(alive)
        self._check_loads(alive)
        for channel in alive:
            if channel.state == "open" and channel.entry.phase is Phase.DRAINING and channel.retired_until is None:
                # Its time had come, or there are more than the settings allow now.
                assert self.now <= channel.entry.deadline <= self.now + self.settings.drain_timeout
                channel.retired_until = channel.entry.deadline
        for name, key in core.keys.items():
            assert list(key.queue) == self.waiting[name], "another queue than in the books"
            assert key.connecting == sum(channel.entry.key is key for channel in self.opening)
            assert all(entry.available for entry in key.available)
            if not key.shared:
                assert not any(entry.load for entry in key.available)
                idle_since = [entry.idle_since for entry in key.available]
                assert idle_since == sorted(idle_since)
        assert core.closings == len(self.closing)
        if self.is_planned:
            for name in core.keys:
                self._check_nobody_sleeps(name)
            self._check_drains(alive)
            self._check_room_is_made(alive)
            if self.is_closed:
                assert not any(self.waiting.values()), "somebody waits for a closed pool"
                assert not self.preparing

    def _check_limits(self, alive: list[Channel]) -> None:
        assert len(alive) == self.core.total
        assert len(alive) <= self.settings.max_total
        for name, key in self.core.keys.items():
            count = sum(channel.entry.key is key for channel in alive)
            assert count == len(key.entries)
            self.allowed[name] = max(key.cap, min(self.allowed[name], count))
            assert count <= self.allowed[name], f"{count} channels of {name}"

    def _check_loads(self, alive: list[Channel]) -> None:
        leases = {reference: entry for key in self.core.keys.values() for reference, entry in key.leases.items()}
        dropped = [leases[reference] for _, reference in self.core.dropped]
        for channel in alive:
            assert channel.leases >= 0
            assert channel.entry.load == channel.leases + dropped.count(channel.entry)
        for name, key in self.core.keys.items():
            live = sum(channel.entry.key.name == name for channel in self.granted.values())
            assert len(key.leases) == live + sum(entry.key is key for entry in dropped)

    def _check_nobody_sleeps(self, name: str) -> None:
        key = self.core.keys[name]
        waiters = len(self.waiting[name])
        if not waiters:
            return
        for channel in self.channels.values():
            entry = channel.entry
            if entry.key is key and channel.state == "open" and channel.retired_until is None:
                is_testing = channel in self.testing
                may_serve = not (is_testing or entry.stale or self.now >= entry.expires)
                assert not (may_serve and channel.leases < key.hard), "somebody waits though there is a channel"
        if len(key.entries) >= key.cap or self.core.total >= self.settings.max_total:
            return
        if key.connecting * key.soft >= waiters:
            return
        assert self._backs_off(key), "somebody waits though a channel could be opened"
        assert self.core.wake_at <= key.retry_at, "nothing will wake who waits"

    def _backs_off(self, key: KeyState) -> bool:
        """Whether an opening failed a moment ago, and there is another channel to wait for."""
        live = (Phase.CONNECTING, Phase.READY, Phase.CHECKING)
        is_live = any(entry.phase in live and not entry.stale for entry in key.entries)
        return is_live and self.now < key.retry_at

    def _check_drains(self, alive: list[Channel]) -> None:
        for channel in alive:
            if channel.state == "open" and channel.retired_until is not None:
                assert channel.leases, "it drains without a lease"
                assert self.now < channel.retired_until, "it drains beyond its deadline"
                assert self.core.wake_at <= channel.retired_until, "nothing will end the drain"

    def _check_room_is_made(self, alive: list[Channel]) -> None:
        if self.core.total < self.settings.max_total or len(self.closing) > 0:
            return
        for name, key in self.core.keys.items():
            lacking = -(-len(self.waiting[name]) // key.soft) - key.connecting
            if lacking <= 0 or len(key.entries) >= key.cap or self._backs_off(key):
                continue
            for channel in alive:
                is_idle = channel.state == "open" and not channel.leases and channel not in self.testing
                other = channel.entry.key
                assert not (is_idle and not self.waiting[other.name]), "an idle channel takes the room of who waits"

    def finish(self) -> None:
        """Everything comes to its end: nothing may be left."""
        if not self.is_closed:
            self.close(5.0)
        for _ in range(10_000):
            self.plan()
            self.check()
            if self.opening:
                self.opened(0, good=len(self.opening) % 2 == 0)
            elif self.testing:
                self.tested(0, good=True)
            elif self.closing:
                self.closed(0)
            elif self.leases:
                self.give_back(0)
            else:
                break
        assert self.core.total == 0
        assert not self.core.plan(self.now)
        assert all(not key.leases for key in self.core.keys.values())
