"""The half of the core that borrowers run themselves: take a lease, give it back, queue up, give up.

Everything here may be interrupted: a KeyboardInterrupt comes wherever the interpreter looks for one, which is at calls
and at the turn of loops.  So each change is written as a straight line of assignments, with the one call that may be
needed at its end; what a lease was put into gives itself back when it is dropped; and the plan (the other half, which
no signal reaches) looks at how things are, not at what was announced, and so repairs what is left.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Literal
from weakref import ref

from ..profile import PoolSettings
from .state import Dropped, KeyState, LeakWatch, Lease, Member, Outcome, Phase, Waiter

__all__ = ["Leases"]

_READY = Phase.READY

_MANY = 64
"""Leases after which a channel forgets those that are no more."""


def _alive(member: Member) -> int:
    """Forget the leases on a channel that are no more, and say how many there are."""
    member.leases = [each for each in member.leases if (lease := each()) is not None and lease.member is member]
    return len(member.leases)


class Leases:
    """The channels and leases of a pool, and who waits for them.

    Args:
        settings: those of the pool; of them ``max_total`` is used here.
    """

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
        self.hungry: dict[KeyState, None] = {}
        """Keys with waiters."""
        self.dropped = Dropped()
        """Leases that were dropped without being returned."""
        self._tickets = itertools.count()

    def take(self, key: KeyState, lease: Lease, now: float) -> bool:
        """Put a lease into an empty one, if there is a channel to be had at once and nobody waits before.

        Args:
            key: what for.
            lease: empty.
            now: the time.

        Returns:
            Whether there was.
        """
        return not key.queue and self.grant(key, lease, now)

    def grant(self, key: KeyState, lease: Lease, now: float) -> bool:
        """As :meth:`take`, whoever waits: for one who has seen that nobody does, or whose turn it is."""
        if key.shared:
            best, least = None, key.hard
            for candidate in key.ready:
                load = candidate.load
                if load < least:
                    best, least = candidate, load
                    if not load:
                        break
            if best is None:
                return False
            member = best
            if not member.uses % _MANY:
                _alive(member)
            member.leases.append(ref(lease))
            # Grow before it is full, and let the plan see to a channel that has done its part.
            if (least + 1 >= key.soft and len(key.members) < key.cap) or member.uses + 1 >= key.max_uses:
                self.dirty[key] = None
        else:
            idle = key.idle
            if not idle:
                return False
            member = idle[-1]
            if member.expires <= now:
                self.dirty[key] = None
                return False
            # Here, as nothing may come between what follows; one too many means nothing.
            if not member.uses % _MANY:
                _alive(member)
            member.leases.append(ref(lease))
            if key.min_idle and len(idle) <= key.min_idle and len(key.members) < key.cap:
                self.dirty[key] = None  # another is to be kept ready
            member.parked = False
            del idle[-1]
        lease.member = member
        lease.since = now
        member.load += 1
        member.uses += 1
        key.active += 1
        key.requests_num += 1
        if member.uses >= key.max_uses:
            member.worn = True
        return True

    def recover(self, key: KeyState) -> None:
        """Have leases given back that are no more, though nobody said so; see :meth:`Lease.__del__`.

        Args:
            key: of this one.
        """
        for member in key.members:
            alive = _alive(member)
            dropped = sum(each is member for each, _ in list(self.dropped))
            self.dropped.extend([(member, None)] * (member.load - alive - dropped))

    def release(self, lease: Lease, now: float, *, suspect: bool = False) -> Waiter | None:
        """Give a lease back.

        Args:
            lease: what :meth:`take` filled.
            now: the time.
            suspect: the channel is to be tested before it is leased again.

        Returns:
            Who is to be woken, because it has the lease now.

        Raises:
            ValueError: it was returned before.
        """
        member = lease.member
        if member is None:
            raise ValueError("the lease was returned before")
        key = member.key
        idle = key.idle
        plain = (
            member.phase is _READY
            and now < member.expires
            and not (suspect or member.worn or (key.watched and lease.watch is not None))
            and (key.shared or len(idle) < key.max_idle)
        )
        lease.member = None
        member.load -= 1
        key.active -= 1
        key.usage += now - lease.since
        member.idle_since = now
        if not plain:
            member.suspect = member.suspect or suspect
            self.dirty[key] = None
            if lease.watch is not None:
                key.watched.discard(lease.watch)
                lease.watch = None
            return None
        if self.is_short:
            # Another key's waiters can have its place.
            self.dirty[key] = None
        if not (key.shared or member.load):
            member.parked = True
            idle.append(member)
        return self.hand_over(key, now) if key.queue else None

    def hand_over(self, key: KeyState, now: float) -> Waiter | None:
        """Give a lease to who waits for longest; None where nobody waits or nothing is to be had.

        Args:
            key: what for.
            now: the time.
        """
        queue = key.queue
        if not queue:
            return None
        waiter = queue[0]
        lease = waiter.lease
        # One that is filled already was being handed over when an interrupt came; that is finished here.
        if lease is None or (lease.member is None and not self.grant(key, lease, now)):
            return None
        waiter.outcome = Outcome.GRANTED
        key.requests_num -= 1  # it was counted when it came
        key.requests_wait += now - waiter.since
        del queue[0]
        return waiter

    def queue_up(self, waiter: Waiter, now: float, *, again: bool = False) -> Literal["waiting", "exhausted", "closed"]:
        """Wait for a lease.

        Args:
            waiter: with an empty lease.
            now: the time.
            again: its lease was on a channel that failed a test; it comes before all others.

        Returns:
            ``exhausted`` where more would wait for a lease of others than ``max_waiting`` allows.
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
        key.live = True
        self.hungry[key] = None
        if len(key.members) < key.cap:
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
        coming = key.connecting + sum(member.phase is Phase.TESTING and not member.load for member in key.members)
        leaving = sum(member.phase is Phase.CLOSING for member in key.members)
        room = key.cap - len(key.members) + leaving
        if room > free:
            claimed = sum(len(other.queue) for other in self.hungry if other is not key)
            room = min(room, max(0, free + self._evictable(key) - claimed))
        return len(key.queue) + 1 - len(key.idle) - (coming + max(0, room)) * key.hard

    def _evictable(self, key: KeyState) -> int:
        """Idle channels of other keys, which would make room."""
        return sum(
            not member.load
            for other in self.keys.values()
            if other is not key
            for member in (other.ready if other.shared else other.idle)
        )

    def cancel(self, waiter: Waiter, now: float) -> Waiter | None:
        """Wait no longer; a lease that came meanwhile goes back.

        Args:
            waiter: from :meth:`queue_up`.
            now: the time.

        Returns:
            Who is to be woken, because it has the lease now.
        """
        key = waiter.key
        if waiter.outcome is None:
            if waiter in key.queue:
                key.queue.remove(waiter)
            self.dirty[key] = None
        if waiter.lease is not None and waiter.lease.member is not None:
            return self.release(waiter.lease, now)
        return None

    def time_out(self, waiter: Waiter, now: float) -> bool:
        """Wait no longer because the time has passed.

        Args:
            waiter: from :meth:`queue_up`.
            now: the time.

        Returns:
            Whether it did wait still; otherwise its outcome is set.
        """
        if waiter.outcome is not None:
            return False
        if waiter.lease is not None and waiter.lease.member is not None:
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
        """Have an eye on a lease that was just taken.

        Args:
            lease: it.
            stack: where it was taken.
            now: the time.
        """
        if (member := lease.member) is not None:
            lease.watch = LeakWatch(now, stack)
            member.key.watched.add(lease.watch)
            self.dirty[member.key] = None
