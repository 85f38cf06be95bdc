"""The half of the core that borrowers run themselves: take a lease, give it back, queue up, give up.

Everything here may be interrupted: a KeyboardInterrupt comes wherever the interpreter looks for one, which is at calls
and at the turn of loops.  So each change is written as a straight line of assignments, with the one call that may be
needed before it or at its end; what a lease was put into gives itself back when it is dropped; and the plan (the other
half, which no signal reaches) looks at how things are, not at what was announced, and so repairs what is left.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Literal
from weakref import ref

from ..pool_settings import PoolSettings
from ..pool_stats import KeyStats, PoolStats
from .state import Dropped, KeyState, LeakWatch, Lease, Outcome, Phase, PoolEntry, Waiter

_READY = Phase.READY


class Leases:
    """The channels and leases of a pool, and who waits for them."""

    def __init__(self, settings: PoolSettings) -> None:
        self.settings = settings
        self.keys: dict[str, KeyState] = {}
        self.total = 0
        """Channels of all keys that are not gone."""
        self.closings = 0
        """Those that are being closed."""
        self.is_short = False
        """Some key could open a channel if it were not for ``max_total``."""
        self.is_closed = False
        self.dirty: dict[KeyState, None] = {}
        """Keys that the next plan looks at."""
        self.waited_for: dict[KeyState, None] = {}
        """Keys with waiters."""
        self.dropped = Dropped()
        """Leases that were dropped without being returned."""
        self._tickets = itertools.count()

    def open_entries(self) -> list[PoolEntry]:
        return [entry for key in self.keys.values() for entry in key.entries if entry.channel is not None]

    def stats(self) -> PoolStats:
        """What the pool looks like, and what it did so far; nobody may change it meanwhile."""
        keys = {name: key.stats() for name, key in sorted(self.keys.items())}
        total = {name: sum(getattr(each, name) for each in keys.values()) for name in KeyStats.__dataclass_fields__}
        total["pool_max"] = self.settings.max_total
        return PoolStats(**total, keys=keys)

    def take(self, key: KeyState, lease: Lease, now: float) -> bool:
        """Put a lease into an empty one; False if nothing is to be had at once, or somebody waits before."""
        return not key.queue and self.grant(key, lease, now)

    def grant(self, key: KeyState, lease: Lease, now: float) -> bool:
        """As :meth:`take`, whoever waits: for one who has seen that nobody does, or whose turn it is."""
        if key.shared:
            best, least = None, key.hard
            for candidate in key.available:
                load = candidate.load
                if load < least:
                    best, least = candidate, load
                    if not load:
                        break
            if best is None:
                return False
            entry = best
            # Grow before it is full, and let the plan see to a channel that has done its part.
            if (least + 1 >= key.soft and len(key.entries) < key.cap) or (
                key.max_uses is not None and entry.uses + 1 >= key.max_uses
            ):
                self.dirty[key] = None
        else:
            idle = key.available
            if not idle:
                return False
            entry = idle[-1]
            if entry.expires <= now:
                self.dirty[key] = None
                return False
            if key.min_idle and len(idle) <= key.min_idle and len(key.entries) < key.cap:
                self.dirty[key] = None  # another is to be kept ready
        reference = ref(lease, key.lost)
        # Nothing may come between what follows, so it calls nothing.
        if key.shared:
            entry.load += 1
        else:
            entry.available = False
            del key.available[-1]
            entry.load = 1
        key.leases[reference] = entry
        lease.reference = reference
        lease.entry = entry
        lease.since = now
        key.requests_num += 1
        if key.max_uses is not None:
            entry.uses += 1
            if entry.uses >= key.max_uses:
                entry.stale = True
        return True

    def recover(self, key: KeyState) -> None:
        """Have leases given back that are no more, though nobody said so; see :meth:`Dropped.add`."""
        for reference in list(key.leases):
            if reference() is None:
                self.dropped.append((key.name, reference))  # again, it may be, which means nothing

    def release(self, lease: Lease, now: float, check: bool = False) -> Waiter | None:
        """Give a lease back; returns who is to be woken, because he has it now.

        Args:
            check: the channel's health is to be checked before it is leased again.

        Raises:
            ValueError: it was returned before.
        """
        entry = lease.entry
        if entry is None:
            raise ValueError("the lease was returned before")
        key = entry.key
        idle = key.available
        plain = False
        if (  # not as one expression: Python compares faster where it jumps by what it finds
            entry.phase is _READY
            and now < entry.expires
            and not (check or entry.stale or key.watched)
            and (key.shared or len(idle) < key.max_idle)
        ):
            plain = True
        reference = lease.reference
        del key.leases[reference]
        lease.entry = lease.reference = None
        entry.load -= 1
        key.usage += now - lease.since
        entry.idle_since = now
        if not plain:
            entry.needs_check = entry.needs_check or check
            self.dirty[key] = None
            key.watched.pop(reference, None)
            return None
        if self.is_short:
            # Another key's waiters can have its place.
            self.dirty[key] = None
        if not (key.shared or entry.load):
            entry.available = True
            idle.append(entry)
        return self.hand_over(key, now) if key.queue else None

    def hand_over(self, key: KeyState, now: float) -> Waiter | None:
        """Give a lease to who waits for longest, and return him; None where nobody waits or nothing is to be had."""
        queue = key.queue
        if not queue:
            return None
        waiter = queue[0]
        lease = waiter.lease
        # One that is filled already was being handed over when an interrupt came; that is finished here.
        if lease is None or (lease.entry is None and not self.grant(key, lease, now)):
            return None
        waiter.outcome = Outcome.GRANTED
        key.requests_num -= 1  # it was counted when it came
        key.requests_wait += now - waiter.since
        del queue[0]
        return waiter

    def queue_up(self, waiter: Waiter, now: float, *, again: bool = False) -> Literal["waiting", "exhausted", "closed"]:
        """Wait for a lease; ``exhausted`` where more would wait for a lease of others than ``max_waiting`` allows.

        One who waits ``again``, as his lease was on a channel that is not healthy, comes before all others.
        """
        key = waiter.key
        if self.is_closed:
            return "closed"
        key.requests_num += not again
        if not again and key.max_waiting != math.inf and self._uncovered(key) > key.max_waiting:
            key.requests_errors += 1
            return "exhausted"
        waiter.since = now
        waiter.ticket = next(self._tickets)
        key.requests_queued += 1
        key.activated = True
        self.waited_for[key] = None
        if len(key.entries) < key.cap:
            self.dirty[key] = None
        if again:
            waiter.ticket = min(waiter.ticket, key.queue[0].ticket if key.queue else waiter.ticket)
            key.queue.appendleft(waiter)
        else:
            key.queue.append(waiter)
        return "waiting"

    def _uncovered(self, key: KeyState) -> int:
        """How many would wait, with one more, for whom no channel is there, being opened or allowed to be opened."""
        free = self.settings.max_total - self.total + self.closings
        coming = key.connecting + sum(entry.phase is Phase.CHECKING and not entry.load for entry in key.entries)
        leaving = sum(entry.phase is Phase.CLOSING for entry in key.entries)
        room = key.cap - len(key.entries) + leaving
        if room > free:
            claimed = sum(len(other.queue) for other in self.waited_for if other is not key)
            room = min(room, max(0, free + self._evictable(key) - claimed))
        idle = 0 if key.shared else len(key.available)
        return len(key.queue) + 1 - idle - (coming + max(0, room)) * key.hard

    def _evictable(self, key: KeyState) -> int:
        """Idle channels of other keys, which would make room."""
        others = (other for other in self.keys.values() if other is not key)
        return sum(not entry.load for other in others for entry in other.available)

    def cancel(self, waiter: Waiter, now: float) -> Waiter | None:
        """Wait no longer, for a lease or for a key to be prepared; a lease that came meanwhile goes back.

        Returns who is to be woken, because he has it now.
        """
        key = waiter.key
        if waiter in key.preparing:
            key.preparing.remove(waiter)
        if waiter.outcome is None:
            if waiter in key.queue:
                key.queue.remove(waiter)
            self.dirty[key] = None
        if waiter.lease is not None and waiter.lease.entry is not None:
            return self.release(waiter.lease, now)
        return None

    def time_out(self, waiter: Waiter, now: float) -> bool:
        """Wait no longer because the time has passed; False if its outcome is set already."""
        if waiter.outcome is not None:
            return False
        if waiter.lease is not None and waiter.lease.entry is not None:
            # It was being handed over when an interrupt came: it has its lease.
            if waiter in waiter.key.queue:
                waiter.key.queue.remove(waiter)
            waiter.outcome = Outcome.GRANTED
            return False
        waiter.key.requests_errors += 1
        waiter.key.requests_wait += now - waiter.since
        self.cancel(waiter, now)
        return True

    def watch(self, lease: Lease, stack: Any, now: float) -> None:
        """Have an eye on a lease that was just taken, at the place that ``stack`` shows."""
        if (entry := lease.entry) is not None:
            entry.key.watched[lease.reference] = LeakWatch(now, stack)
            self.dirty[entry.key] = None
