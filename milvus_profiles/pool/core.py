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
import math
from bisect import insort
from collections.abc import Callable
from typing import Any

from .lifecycle import CLOSE_GRACE, HEALTHY_FOR, Lifecycle
from .state import Action, CheckHealth, Close, KeyState, Leak, Open, Outcome, Phase, PoolEntry, Waiter, Wake


class Core(Lifecycle):
    """A pool without connections, clocks and threads: events in, actions out."""

    @property
    def wake_at(self) -> float:
        """When the next plan is due if nothing happens before; infinite where it never is."""
        return min(self._next_eviction, self._alarms[0][0] if self._alarms else math.inf)

    def plan(self, now: float) -> list[Action]:
        actions: list[Action] = []
        evict = now >= self._next_eviction
        if evict:
            self._next_eviction = now + self.settings.eviction_interval
            # Of many keys few have anything to do, and borrowers wait meanwhile.
            for key in self.keys.values():
                if key.leases:
                    self.recover(key)
                if now >= key.evict_at:
                    self.dirty[key] = None
        self._reclaim(actions)
        while self._alarms and self._alarms[0][0] <= now:
            when, _, due = heapq.heappop(self._alarms)
            self._set.discard((when, due))
            self.dirty[due] = None
        keys, self.dirty = self.dirty, {}
        for key in keys:
            self._settle(key, now, actions)
            if evict and now >= key.evict_at:
                self._evict(key, now, actions)
            self._serve(key, now, actions)
            self._report(key, now, actions)
        self._open_for_waiters(now, actions)
        for key in keys:
            self._replenish(key, now, actions)
        if not self.total:
            self._next_eviction = math.inf
        return actions

    def _reclaim(self, actions: list[Action]) -> None:
        while self.dropped:
            name, reference = self.dropped[0]
            key = self.keys[name]
            if reference not in key.leases:  # both the lease itself and who recovered it have said so
                del self.dropped[0]
                continue
            entry = key.leases[reference]
            # In a straight line: taken off the list, it has been counted.
            del key.leases[reference]
            entry.load -= 1
            key.returns_bad += 1
            del self.dropped[0]
            entry.needs_check = key.settings.test_on_return
            key.evict_at = -math.inf  # it is idle for as long as before
            watch = key.watched.pop(reference, None)
            self.dirty[key] = None
            actions.append(Leak(key.name, None, watch.stack if watch else None))

    def _settle(self, key: KeyState, now: float, actions: list[Action]) -> None:
        """Bring each channel to where it belongs."""
        for entry in list(key.entries):
            if entry.phase is Phase.READY:
                stale = entry.stale or now >= entry.expires
                if entry.needs_check and (key.shared or not entry.load):
                    self._check(entry, actions)
                elif stale and not entry.load:
                    self._retire(entry, now + CLOSE_GRACE)
                elif stale and key.shared and self._has_successor(entry, now):
                    self._retire(entry, now + self.settings.drain_timeout)
                elif key.shared and not entry.available:
                    entry.available = True
                    key.available.append(entry)
                elif not key.shared and not entry.available and not entry.load:
                    if len(key.available) >= key.max_idle and not key.queue:
                        self._retire(entry, now + CLOSE_GRACE)
                    else:
                        entry.available = True
                        insort(key.available, entry, key=lambda other: other.idle_since)
            if entry.phase is Phase.DRAINING and (not entry.load or now >= entry.deadline):
                self._close_entry(entry, min(entry.deadline, now + CLOSE_GRACE) if not entry.load else now, actions)
        while len(key.available) > key.max_idle:  # it was lowered
            self._close_idle(key.available[0], now, actions)
        if len(key.entries) > key.cap:
            self._shrink(key, now, actions)

    def _shrink(self, key: KeyState, now: float, actions: list[Action]) -> None:
        """Fewer channels are allowed than there are: close idle ones now, and drain others in shared mode."""
        surplus = sum(entry.is_open for entry in key.entries) - key.cap
        for entry in sorted(key.entries, key=lambda entry: (entry.load, entry.idle_since)):
            if surplus <= 0:
                return
            if entry.phase is Phase.READY:
                surplus -= 1
                if not entry.load:
                    self._close_idle(entry, now, actions)
                elif key.shared:
                    self._retire(entry, now + self.settings.drain_timeout)
                else:
                    entry.stale = True

    def _has_successor(self, entry: PoolEntry, now: float) -> bool:
        return any(
            other is not entry and other.phase is Phase.READY and not other.stale and now < other.expires
            for other in entry.key.entries
        )

    def _check(self, entry: PoolEntry, actions: list[Action]) -> None:
        self._withdraw(entry)
        entry.phase = Phase.CHECKING
        actions.append(CheckHealth(entry))

    def _close_entry(self, entry: PoolEntry, deadline: float, actions: list[Action]) -> None:
        entry.phase = Phase.CLOSING
        self.closings += 1
        actions.append(Close(entry, deadline))

    def _close_idle(self, entry: PoolEntry, now: float, actions: list[Action]) -> None:
        self._withdraw(entry)
        self._close_entry(entry, now + CLOSE_GRACE, actions)

    def _idle(self, key: KeyState) -> list[PoolEntry]:
        """Channels that are leased to nobody, the one idle for longest first."""
        return sorted((entry for entry in key.available if not entry.load), key=lambda entry: entry.idle_since)

    def _evict(self, key: KeyState, now: float, actions: list[Action]) -> None:
        """Close every channel that was idle for long enough, but for the few to be kept, and look at the rest."""
        spare = len(key.available) - key.min_idle
        for entry in self._idle(key):
            if spare > 0 and now - entry.idle_since >= key.settings.min_evictable_idle:
                spare -= 1
                self._close_idle(entry, now, actions)
            elif key.settings.test_while_idle and now - max(entry.idle_since, entry.checked_at) >= HEALTHY_FOR:
                self._check(entry, actions)
        # What is returned later counts from now; where some are to be kept, each that is returned sets another free.
        idle_for, healthy_for = (
            key.settings.min_evictable_idle,
            HEALTHY_FOR if key.settings.test_while_idle else math.inf,
        )
        due = [
            min(entry.idle_since + idle_for, max(entry.idle_since, entry.checked_at) + healthy_for)
            for entry in key.entries
            if entry.is_open and not entry.load
        ]
        key.evict_at = now if key.min_idle else min([now + min(idle_for, healthy_for), *due])

    def _serve(self, key: KeyState, now: float, actions: list[Action]) -> None:
        if self.is_closed:
            for waiter in (*key.queue, *key.preparing):
                self._end(waiter, Outcome.CLOSED, None, now, actions)
            key.queue.clear()
            key.preparing.clear()
            return
        while (served := self.hand_over(key, now)) is not None:
            actions.append(Wake(served, served.signal))
        failed, key.has_failed = key.has_failed, False
        if failed and not self._has_usable_soon(key):
            # Nothing is there or being opened that could still serve them.
            self._turn_away(key, 0, now, actions)
        elif failed and key.max_waiting == 0:
            self._turn_away(key, key.connecting * key.hard, now, actions)
        if key.preparing and (failed or self._usable(key) >= min(key.cap, max(1, key.min_idle))):
            outcome, cause = (Outcome.FAILED, key.last_failure) if failed else (Outcome.GRANTED, None)
            for waiter in key.preparing:
                self._end(waiter, outcome, cause, now, actions)
            key.preparing.clear()

    def _turn_away(self, key: KeyState, keep: int, now: float, actions: list[Action]) -> None:
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
        actions.append(Wake(waiter, waiter.signal))

    def _report(self, key: KeyState, now: float, actions: list[Action]) -> None:
        threshold = key.settings.leak_threshold
        if threshold is None:
            return
        for watch in key.watched.values():
            if not watch.reported and now - watch.since >= threshold:
                watch.reported = True
                actions.append(Leak(key.name, now - watch.since, watch.stack))
        pending = [watch.since for watch in key.watched.values() if not watch.reported]
        if pending:
            self._alarm(min(pending) + threshold, key)

    # --- opening -------------------------------------------------------------------------------------------------

    def _has_usable_soon(self, key: KeyState) -> bool:
        """Whether there is a channel, or will be one, on which a lease may be had some time."""
        return any(
            entry.phase in (Phase.CONNECTING, Phase.CHECKING, Phase.READY) and not entry.stale for entry in key.entries
        )

    def _usable(self, key: KeyState) -> int:
        return sum(entry.is_open and not entry.stale for entry in key.entries)

    def _open_for_waiters(self, now: float, actions: list[Action]) -> None:
        """Open channels for those who wait, in the order of their coming; make room where the pool is full."""
        waited_for = sorted((key for key in self.waited_for if key.queue), key=lambda key: key.queue[0].ticket)
        self.waited_for = dict.fromkeys(waited_for)
        short = 0
        for key in waited_for:
            needed = -(-len(key.queue) // key.soft)  # rounded up
            lacking = min(needed - key.connecting, key.cap - len(key.entries))
            if lacking > 0 and now < key.retry_at and self._has_usable_soon(key):
                self._alarm(key.retry_at, key)
                continue
            while lacking > 0 and self.total < self.settings.max_total:
                self._open(key, now, actions)
                lacking -= 1
            short += max(0, lacking)
        self.is_short = short > 0
        while short > self.closings and (victim := self._oldest_idle()) is not None:
            self._close_idle(victim, now, actions)

    def _oldest_idle(self) -> PoolEntry | None:
        oldest: PoolEntry | None = None
        for key in self.keys.values():
            if not key.queue:
                for entry in key.available if key.shared else key.available[:1]:
                    if not entry.load and (oldest is None or entry.idle_since < oldest.idle_since):
                        oldest = entry
        return oldest

    def _replenish(self, key: KeyState, now: float, actions: list[Action]) -> None:
        """Open what should be there though nobody waits for it yet."""
        if self.is_closed or not key.activated:
            return
        while self._wants_more(key, now):
            if len(key.entries) >= key.cap or self.total >= self.settings.max_total:
                return
            if now < key.retry_at:
                self._alarm(key.retry_at, key)
                return
            self._open(key, now, actions)

    def _wants_more(self, key: KeyState, now: float) -> bool:
        if key.preparing and self._usable(key) + key.connecting < max(1, key.min_idle):
            return True
        if not key.shared:
            checking = sum(entry.phase is Phase.CHECKING for entry in key.entries)
            return len(key.available) + checking + key.connecting - len(key.queue) < key.min_idle
        fresh = [entry for entry in key.available if not entry.stale and now < entry.expires]
        if self._usable(key) + key.connecting < key.min_idle:
            return True
        # All are crowded, or those there are have done their part and another must take over.
        return bool(key.available) and not key.connecting and all(entry.load >= key.soft for entry in fresh)

    def _open(self, key: KeyState, now: float, actions: list[Action]) -> None:
        entry = PoolEntry(key, now)
        key.entries.append(entry)
        key.connecting += 1
        self.total += 1
        if self._next_eviction == math.inf:
            self._next_eviction = now + self.settings.eviction_interval
        actions.append(Open(entry))


Event = Callable[[Core, float], Any]
"""Tells the core something; the second argument is the time."""
