"""The decisions of a pool, and nothing else: no threads, no waiting, no I/O, no clock; time is passed in.

What happened is told to a :class:`Core` by its methods (an event each); what is to be done is what :meth:`Core.plan`
returns.  The plan compares how things are with how the settings want them, key by key, so it does not matter in what
order events came or whether one of them was cut short.  The rules:

1. Of a key at most ``cap`` channels exist, of all keys at most ``max_total``: those being opened, draining and being
   closed included.
2. A lease is given on a channel that is ready: in exclusive mode on the one that was returned last, in shared mode on
   the one with the fewest leases.
3. Who waits for a key is served in the order of coming, and waits only while there is nothing to be had and nothing
   that may be opened; for room in the whole pool, the idle channel of any key that is idle for longest is closed.
4. A channel in use is never closed, but at the deadline of a drain.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from bisect import insort
from collections.abc import Iterator

from ..profile import PoolSettings
from .leases import Leases
from .state import Action, CheckHealth, Close, KeyState, Leak, Lease, Member, Open, Outcome, Phase, Waiter, Wake

__all__ = ["CLOSE_GRACE", "FRESH", "Core"]

FRESH = 30.0
"""Seconds for which a channel that the server answered on is taken to be good."""

CLOSE_GRACE = 5.0
"""Seconds at most that closing an idle channel waits for calls in flight, which a borrower should not have left."""

_BACKOFF, _BACKOFF_MAX = 0.1, 5.0


class Core(Leases):
    """A pool without its surroundings.

    Args:
        settings: those of the pool, which hold for a key that has none of its own.
        rng: for the jitter of ``max_lifetime``.
    """

    def __init__(self, settings: PoolSettings, rng: random.Random) -> None:
        super().__init__(settings)
        self._rng = rng
        self._alarms: list[tuple[float, int, KeyState]] = []
        self._set: set[tuple[float, KeyState]] = set()
        self._count = itertools.count()
        self._next_sweep = math.inf

    # --- events: keys --------------------------------------------------------------------------------------------

    def key(self, name: str, settings: PoolSettings) -> KeyState:
        """Introduce a key, or give a known one other settings.

        Args:
            name: the key.
            settings: all of its settings, those of the pool included.
        """
        key = self.keys.get(name)
        if key is None:
            key = self.keys[name] = KeyState(name, settings, self.dropped)
            return key
        key.configure(settings)
        for member in key.members:
            self._unpark(member)  # the plan parks it where it belongs now
        self.dirty[key] = None
        return key

    def prepare(self, waiter: Waiter, now: float) -> bool:
        """Open what ``min_idle_per_key`` asks for, one channel at least; the waiter is woken when they are there.

        Args:
            waiter: without a lease.
            now: the time.

        Returns:
            False if the pool is closed.
        """
        if self.is_closed:
            return False
        key = waiter.key
        waiter.since = now
        key.live = True
        key.retry_at = now
        if waiter not in key.preparing:
            key.preparing.append(waiter)
        self.dirty[key] = None
        return True

    def forget(self, waiter: Waiter) -> None:
        """Who waited for a key to be prepared does so no longer."""
        if waiter in waiter.key.preparing:
            waiter.key.preparing.remove(waiter)

    def clear(self, key: KeyState, now: float) -> None:
        """Close the channels of a key that are not in use."""
        for member in key.members:
            if not member.load and member.phase in (Phase.READY, Phase.TESTING):
                self._retire(member, now + CLOSE_GRACE)

    def drain(self, now: float) -> None:
        """Replace all channels: no lease is given any more on those that are open or being opened.

        They close when their last lease is returned, after ``drain_timeout`` at the latest.
        """
        self._retire_all(now + self.settings.drain_timeout)

    def close(self, deadline: float) -> None:
        """Give no lease any more, turn away who waits, and close all channels, those in use at the deadline."""
        self.is_closed = True
        self._retire_all(deadline)
        self.dirty.update(dict.fromkeys(self.keys.values()))

    def _retire_all(self, deadline: float) -> None:
        for key in self.keys.values():
            for member in key.members:
                if member.phase is Phase.CONNECTING:
                    member.worn = True  # what it will find may be what the drain is about
                elif member.phase is Phase.DRAINING:
                    member.deadline = min(member.deadline, deadline)
                    self._alarm(member.deadline, key)
                    self.dirty[key] = None
                elif member.phase in (Phase.READY, Phase.TESTING):
                    self._retire(member, deadline)

    # --- events: channels ----------------------------------------------------------------------------------------

    def opened(self, member: Member, link: object, now: float) -> None:
        """A channel was opened.

        Args:
            member: of the :class:`Open`.
            link: the shell's.
            now: the time.
        """
        if member.phase is not Phase.CONNECTING:
            return  # it was told before, by who was interrupted then
        key = member.key
        settings = key.settings
        key.connecting -= 1
        key.failures = 0
        key.failing = False
        key.retry_at = -math.inf
        key.last_failure = None
        key.connections_num += 1
        key.connections_time += now - member.born
        member.link = link
        member.phase = Phase.READY
        member.idle_since = member.vouched = now
        if settings.max_lifetime is not None:
            jitter = settings.lifetime_jitter
            member.expires = now + settings.max_lifetime * self._rng.uniform(1 - jitter, 1 + jitter)
            self._alarm(member.expires, key)
        if member.worn or self.is_closed:
            self._retire(member, now)
        self.dirty[key] = None

    def open_failed(self, member: Member, cause: BaseException, now: float) -> None:
        """A channel could not be opened.

        Args:
            member: of the :class:`Open`.
            cause: why.
            now: the time.
        """
        if member.phase is not Phase.CONNECTING:
            return
        key = member.key
        key.connecting -= 1
        key.connections_errors += 1
        key.failures += 1
        key.last_failure = cause
        key.failing = True
        key.retry_at = now + min(_BACKOFF_MAX, _BACKOFF * 2.0 ** min(key.failures - 1, 20))
        self._gone(member)

    def closed(self, member: Member) -> None:
        """A channel was closed, by a :class:`Close`."""
        if member.phase is not Phase.CLOSING:
            return
        self.closings -= 1
        self._gone(member)

    def tested(self, member: Member, good: bool, now: float) -> None:
        """A test found a channel good or not."""
        if member.phase is not Phase.TESTING:
            return  # retired meanwhile
        member.suspect = False
        if good:
            member.vouched = now
            member.phase = Phase.READY
            self.dirty[member.key] = None
        else:
            self._lose(member, now)

    def discard(self, lease: Lease, now: float) -> None:
        """Give back a lease on a channel that failed a test while it was leased."""
        member = lease.member
        self.release(lease, now, suspect=True)
        if member is not None and member.phase in (Phase.READY, Phase.TESTING):
            self._lose(member, now)

    def _lose(self, member: Member, now: float) -> None:
        member.key.connections_lost += 1
        self._retire(member, now + self.settings.drain_timeout)

    def _gone(self, member: Member) -> None:
        member.phase = Phase.GONE
        member.key.members.remove(member)
        self.total -= 1
        self.dirty[member.key] = None

    def _retire(self, member: Member, deadline: float) -> None:
        self._unpark(member)
        member.phase = Phase.DRAINING
        member.deadline = deadline
        self._alarm(deadline, member.key)
        self.dirty[member.key] = None

    def _unpark(self, member: Member) -> None:
        if member.parked:
            key = member.key
            member.parked = False
            (key.idle if member in key.idle else key.ready).remove(member)

    def _alarm(self, when: float, key: KeyState) -> None:
        if when < math.inf and (when, key) not in self._set:
            self._set.add((when, key))
            heapq.heappush(self._alarms, (when, next(self._count), key))

    # --- after an accident ---------------------------------------------------------------------------------------

    def recount(self, now: float) -> list[Open | Close | CheckHealth]:
        """Who made a plan or told something was cut short in it: go by what exists, and look at all of it again.

        Args:
            now: the time.

        Returns:
            What is being done to channels; the shell knows what of it really is.
        """
        under_way: list[Open | Close | CheckHealth] = []
        self._alarms.clear()
        self._set.clear()
        for key in self.keys.values():
            key.members[:] = [member for member in key.members if member.phase is not Phase.GONE]
            key.idle[:] = dict.fromkeys(m for m in key.idle if m.phase is Phase.READY and not m.load and not key.shared)
            key.ready[:] = dict.fromkeys(m for m in key.ready if m.phase is Phase.READY and key.shared)
            key.connecting = sum(member.phase is Phase.CONNECTING for member in key.members)
            for member in key.members:
                member.parked = member in key.idle or member in key.ready
                self._alarm(member.expires, key)
                self._alarm(member.deadline, key)
                if member.phase is Phase.CONNECTING:
                    under_way.append(Open(member))
                elif member.phase is Phase.TESTING:
                    under_way.append(CheckHealth(member))
                elif member.phase is Phase.CLOSING:
                    under_way.append(Close(member, min(member.deadline, now + CLOSE_GRACE)))
            if key.queue:
                self.hungry[key] = None
            self.dirty[key] = None
        self.total = sum(len(key.members) for key in self.keys.values())
        self.closings = sum(isinstance(action, Close) for action in under_way)
        return under_way

    # --- the plan ------------------------------------------------------------------------------------------------

    @property
    def wake_at(self) -> float:
        """When the next plan is due if nothing happens before; infinite where it never is."""
        return min(self._next_sweep, self._alarms[0][0] if self._alarms else math.inf)

    def plan(self, now: float) -> list[Action]:
        """What is to be done now.

        Args:
            now: the time.
        """
        actions: list[Action] = []
        self._reclaim(actions)
        while self._alarms and self._alarms[0][0] <= now:
            when, _, due = heapq.heappop(self._alarms)
            self._set.discard((when, due))
            self.dirty[due] = None
        sweep = now >= self._next_sweep
        if sweep:
            self._next_sweep = now + self.settings.eviction_interval
            self.dirty.update(dict.fromkeys(self.keys.values()))
        keys, self.dirty = self.dirty, {}
        for key in keys:
            self._settle(key, now, actions)
            if sweep:
                self.recover(key)
                self._sweep(key, now, actions)
            self._serve(key, now, actions)
            self._report(key, now, actions)
        self._feed(now, actions)
        for key in keys:
            self._replenish(key, now, actions)
        if not self.total:
            self._next_sweep = math.inf
        return actions

    def _reclaim(self, actions: list[Action]) -> None:
        while self.dropped:
            member, watch = self.dropped[0]
            key = member.key
            # In a straight line: taken off the list, it has been counted.
            member.load -= 1
            key.active -= 1
            key.returns_bad += 1
            del self.dropped[0]
            member.suspect = key.settings.test_on_return
            if watch is not None:
                key.watched.discard(watch)
            self.dirty[key] = None
            actions.append(Leak(key.name, None, watch.stack if watch else None, dropped=True))

    def _settle(self, key: KeyState, now: float, actions: list[Action]) -> None:
        """Bring each channel to where it belongs."""
        for member in list(key.members):
            if member.phase is Phase.READY:
                worn = member.worn or now >= member.expires
                if member.suspect and (key.shared or not member.load):
                    self._test(member, actions)
                elif worn and not member.load:
                    self._retire(member, now + CLOSE_GRACE)
                elif worn and key.shared and self._has_fresh(member, now):
                    self._retire(member, now + self.settings.drain_timeout)
                elif key.shared and not member.parked:
                    member.parked = True
                    key.ready.append(member)
                elif not key.shared and not member.parked and not member.load:
                    if len(key.idle) >= key.max_idle and not key.queue:
                        self._retire(member, now + CLOSE_GRACE)
                    else:
                        member.parked = True
                        insort(key.idle, member, key=lambda other: other.idle_since)
            if member.phase is Phase.DRAINING and (not member.load or now >= member.deadline):
                self._shut(member, min(member.deadline, now + CLOSE_GRACE) if not member.load else now, actions)
        while len(key.idle) > key.max_idle:  # it was lowered
            self._retire_idle(key.idle[0], now, actions)
        if len(key.members) > key.cap:
            self._shrink(key, now, actions)

    def _shrink(self, key: KeyState, now: float, actions: list[Action]) -> None:
        """Fewer channels are allowed than there are: close idle ones now, and drain others in shared mode."""
        surplus = sum(member.phase in (Phase.READY, Phase.TESTING) for member in key.members) - key.cap
        for member in sorted(key.members, key=lambda member: (member.load, member.idle_since)):
            if surplus <= 0:
                return
            if member.phase is Phase.READY:
                surplus -= 1
                if not member.load:
                    self._retire_idle(member, now, actions)
                elif key.shared:
                    self._retire(member, now + self.settings.drain_timeout)
                else:
                    member.worn = True

    def _has_fresh(self, member: Member, now: float) -> bool:
        """Whether another channel of the key can take over."""
        return any(
            other is not member and other.phase is Phase.READY and not other.worn and now < other.expires
            for other in member.key.members
        )

    def _test(self, member: Member, actions: list[Action]) -> None:
        self._unpark(member)
        member.phase = Phase.TESTING
        actions.append(CheckHealth(member))

    def _shut(self, member: Member, deadline: float, actions: list[Action]) -> None:
        member.phase = Phase.CLOSING
        self.closings += 1
        actions.append(Close(member, deadline))

    def _retire_idle(self, member: Member, now: float, actions: list[Action]) -> None:
        self._unpark(member)
        self._shut(member, now + CLOSE_GRACE, actions)

    def _idle(self, key: KeyState) -> list[Member]:
        """Channels that are leased to nobody, the one idle for longest first."""
        if key.shared:
            return sorted((member for member in key.ready if not member.load), key=lambda member: member.idle_since)
        return list(key.idle)

    def _sweep(self, key: KeyState, now: float, actions: list[Action]) -> None:
        """Close every channel that was idle for long enough, but for the few to be kept, and look at the rest."""
        idle = self._idle(key)
        spare = (len(key.ready) if key.shared else len(idle)) - key.min_idle
        for member in idle:
            if spare > 0 and now - member.idle_since >= key.settings.min_evictable_idle:
                spare -= 1
                self._retire_idle(member, now, actions)
            elif key.settings.test_while_idle and now - max(member.idle_since, member.vouched) >= FRESH:
                self._test(member, actions)

    def _serve(self, key: KeyState, now: float, actions: list[Action]) -> None:
        if self.is_closed:
            for waiter in (*key.queue, *key.preparing):
                self._end(waiter, Outcome.CLOSED, None, now, actions)
            key.queue.clear()
            key.preparing.clear()
            return
        while (served := self.hand_over(key, now)) is not None:
            actions.append(Wake(served))
        failed, key.failing = key.failing, False
        if failed and not self._live(key):
            # Nothing is there or being opened that could still serve them.
            self._fail(key, 0, now, actions)
        elif failed and key.max_waiting == 0:
            self._fail(key, key.connecting * key.hard, now, actions)
        if key.preparing:
            if failed:
                for waiter in key.preparing:
                    self._end(waiter, Outcome.FAILED, key.last_failure, now, actions)
                key.preparing.clear()
            elif self._usable(key) >= min(key.cap, max(1, key.min_idle)):
                for waiter in key.preparing:
                    self._end(waiter, Outcome.GRANTED, None, now, actions)
                key.preparing.clear()

    def _fail(self, key: KeyState, keep: int, now: float, actions: list[Action]) -> None:
        """Turn away who waits, but for the first few."""
        while len(key.queue) > keep:
            self._end(key.queue.pop(), Outcome.FAILED, key.last_failure, now, actions)

    def _end(
        self, waiter: Waiter, outcome: Outcome, cause: BaseException | None, now: float, actions: list[Action]
    ) -> None:
        waiter.outcome = outcome
        waiter.cause = cause
        if waiter.lease is not None:
            waiter.key.requests_errors += 1
            waiter.key.requests_wait += now - waiter.since
        actions.append(Wake(waiter))

    def _report(self, key: KeyState, now: float, actions: list[Action]) -> None:
        threshold = key.settings.leak_threshold
        if threshold is None:
            return
        for watch in key.watched:
            if not watch.reported and now - watch.since >= threshold:
                watch.reported = True
                actions.append(Leak(key.name, now - watch.since, watch.stack, dropped=False))
        pending = [watch.since for watch in key.watched if not watch.reported]
        if pending:
            self._alarm(min(pending) + threshold, key)

    # --- opening -------------------------------------------------------------------------------------------------

    def _live(self, key: KeyState) -> bool:
        """Whether there is a channel, or will be one, on which a lease may be had some time."""
        return any(
            member.phase in (Phase.CONNECTING, Phase.TESTING, Phase.READY) and not member.worn for member in key.members
        )

    def _usable(self, key: KeyState) -> int:
        return sum(member.phase in (Phase.READY, Phase.TESTING) and not member.worn for member in key.members)

    def _lacking(self, key: KeyState) -> int:
        """Channels that those who wait need, beyond those that are being opened."""
        return -(-len(key.queue) // key.soft) - key.connecting

    def _feed(self, now: float, actions: list[Action]) -> None:
        """Open channels for those who wait, in the order of their coming; make room where the pool is full."""
        hungry = sorted((key for key in self.hungry if key.queue), key=lambda key: key.queue[0].ticket)
        self.hungry = dict.fromkeys(hungry)
        short = 0
        for key in hungry:
            lacking = min(self._lacking(key), key.cap - len(key.members))
            if lacking > 0 and now < key.retry_at and self._live(key):
                self._alarm(key.retry_at, key)
                continue
            while lacking > 0 and self.total < self.settings.max_total:
                self._open(key, now, actions)
                lacking -= 1
            short += max(0, lacking)
        self.is_short = short > 0
        while short > self.closings and (victim := self._oldest_idle()) is not None:
            self._retire_idle(victim, now, actions)

    def _oldest_idle(self) -> Member | None:
        candidates: Iterator[Member] = (
            idle[0] for key in self.keys.values() if not key.queue and (idle := self._idle(key))
        )
        return min(candidates, key=lambda member: member.idle_since, default=None)

    def _replenish(self, key: KeyState, now: float, actions: list[Action]) -> None:
        """Open what should be there though nobody waits for it yet."""
        if self.is_closed or not key.live:
            return
        while self._wants_more(key, now):
            if len(key.members) >= key.cap or self.total >= self.settings.max_total:
                return
            if now < key.retry_at:
                self._alarm(key.retry_at, key)
                return
            self._open(key, now, actions)

    def _wants_more(self, key: KeyState, now: float) -> bool:
        if key.preparing and self._usable(key) + key.connecting < max(1, key.min_idle):
            return True
        if not key.shared:
            testing = sum(member.phase is Phase.TESTING for member in key.members)
            return len(key.idle) + testing + key.connecting - len(key.queue) < key.min_idle
        fresh = [member for member in key.ready if not member.worn and now < member.expires]
        if self._usable(key) + key.connecting < key.min_idle:
            return True
        # All are crowded, or those there are have done their part and another must take over.
        return bool(key.ready) and not key.connecting and all(member.load >= key.soft for member in fresh)

    def _open(self, key: KeyState, now: float, actions: list[Action]) -> None:
        member = Member(key, now)
        key.members.append(member)
        key.connecting += 1
        self.total += 1
        if self._next_sweep == math.inf:
            self._next_sweep = now + self.settings.eviction_interval
        actions.append(Open(member))
