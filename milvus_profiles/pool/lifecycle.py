"""The events of a pool: what befell its keys and channels, told by the shell.  The plan answers (see :mod:`.core`)."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from typing import Any

from ..pool_settings import PoolSettings
from .leases import Leases
from .state import CheckHealth, Close, KeyState, Lease, Open, Phase, PoolEntry, Waiter, Work

HEALTHY_FOR = 30.0
"""Seconds for which a channel that the server answered on is taken to be healthy."""

CLOSE_GRACE = 5.0
"""Seconds at most that closing an idle channel waits for calls in flight, which a borrower should not have left."""

_BACKOFF, _BACKOFF_MAX = 0.1, 5.0


class Lifecycle(Leases):
    """The keys and channels of a pool, from opening over health checks to closing; ``rng`` is for ``lifetime_jitter``.

    The settings are those of the pool, which hold for a key that has none of its own.
    """

    def __init__(self, settings: PoolSettings, rng: random.Random) -> None:
        super().__init__(settings)
        self._rng = rng
        self._alarms: list[tuple[float, int, KeyState]] = []
        self._set: set[tuple[float, KeyState]] = set()
        self._count = itertools.count()
        self._next_eviction = math.inf

    # --- events: keys --------------------------------------------------------------------------------------------

    def key(self, name: str, settings: PoolSettings) -> KeyState:
        """Introduce a key, or give a known one other settings: all that hold for it, those of the pool included."""
        key = self.keys.get(name)
        if key is None:
            key = self.keys[name] = KeyState(name, settings, self.dropped)
            return key
        key.configure(settings)
        for entry in key.entries:
            self._withdraw(entry)  # the plan puts it where it belongs now
        self.dirty[key] = None
        return key

    def prepare(self, waiter: Waiter, now: float) -> bool:
        """Open what ``min_idle_per_key`` asks for, one channel at least; False if the pool is closed."""
        if self.is_closed:
            return False
        key = waiter.key
        waiter.since = now
        key.activated = True
        key.retry_at = now
        if waiter not in key.preparing:
            key.preparing.append(waiter)
        self.dirty[key] = None
        return True

    def clear(self, key: KeyState | None, now: float) -> None:
        """Close the channels of a key, or of all, that are not in use."""
        for each in self.keys.values() if key is None else (key,):
            for entry in each.entries:
                if not entry.load and entry.is_open:
                    self._retire(entry, now + CLOSE_GRACE)

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
            for entry in key.entries:
                if entry.phase is Phase.CONNECTING:
                    entry.stale = True  # what it will find may be what the drain is about
                elif entry.phase is Phase.DRAINING:
                    entry.deadline = min(entry.deadline, deadline)
                    self._alarm(entry.deadline, key)
                    self.dirty[key] = None
                elif entry.is_open:
                    self._retire(entry, deadline)

    # --- events: channels ----------------------------------------------------------------------------------------

    def done(self, action: Work, result: Any, error: BaseException | None, now: float) -> None:
        """An action was carried out; told again, by who was interrupted the first time, it changes nothing.

        The result is the open channel, which is the shell's, or whether it is healthy; an error says why there is none.
        """
        if isinstance(action, Close):
            self.closed(action.entry)
        elif isinstance(action, CheckHealth):
            self.checked(action.entry, error is None and result, now)
        elif error is None:
            self.opened(action.entry, result, now)
        else:
            self.open_failed(action.entry, error, now)

    def opened(self, entry: PoolEntry, channel: object, now: float) -> None:
        if entry.phase is not Phase.CONNECTING:
            return
        key = entry.key
        settings = key.settings
        key.connecting -= 1
        key.failures = 0
        key.has_failed = False
        key.retry_at = -math.inf
        key.last_failure = None
        key.connections_num += 1
        key.connections_time += now - entry.born
        entry.channel = channel
        entry.phase = Phase.READY
        entry.idle_since = entry.checked_at = now
        if settings.max_lifetime is not None:
            jitter = settings.lifetime_jitter
            entry.expires = now + settings.max_lifetime * self._rng.uniform(1 - jitter, 1 + jitter)
            self._alarm(entry.expires, key)
        if entry.stale or self.is_closed:
            self._retire(entry, now)
        self.dirty[key] = None

    def open_failed(self, entry: PoolEntry, cause: BaseException, now: float) -> None:
        if entry.phase is not Phase.CONNECTING:
            return
        key = entry.key
        key.connecting -= 1
        key.connections_errors += 1
        key.failures += 1
        key.last_failure = cause
        key.has_failed = True
        key.retry_at = now + min(_BACKOFF_MAX, _BACKOFF * 2.0 ** min(key.failures - 1, 20))
        self._gone(entry)

    def closed(self, entry: PoolEntry) -> None:
        if entry.phase is not Phase.CLOSING:
            return
        self.closings -= 1
        self._gone(entry)

    def checked(self, entry: PoolEntry, healthy: bool, now: float) -> None:
        if entry.phase is not Phase.CHECKING:
            return  # retired meanwhile
        entry.needs_check = False
        if healthy:
            entry.checked_at = now
            entry.phase = Phase.READY
            self.dirty[entry.key] = None
        else:
            self._lose(entry, now)

    def discard(self, lease: Lease, now: float) -> None:
        """Give back a lease on a channel that a borrower found not to be healthy."""
        entry = lease.entry
        self.release(lease, now, check=True)
        if entry is not None and entry.is_open:
            self._lose(entry, now)

    def _lose(self, entry: PoolEntry, now: float) -> None:
        entry.key.connections_lost += 1
        self._retire(entry, now + self.settings.drain_timeout)

    def _gone(self, entry: PoolEntry) -> None:
        entry.phase = Phase.GONE
        entry.key.entries.remove(entry)
        self.total -= 1
        self.dirty[entry.key] = None

    def _retire(self, entry: PoolEntry, deadline: float) -> None:
        self._withdraw(entry)
        entry.phase = Phase.DRAINING
        entry.deadline = deadline
        self._alarm(deadline, entry.key)
        self.dirty[entry.key] = None

    def _withdraw(self, entry: PoolEntry) -> None:
        if entry.available:
            entry.available = False
            entry.key.available.remove(entry)

    def _alarm(self, when: float, key: KeyState) -> None:
        if when < math.inf and (when, key) not in self._set:
            self._set.add((when, key))
            heapq.heappush(self._alarms, (when, next(self._count), key))

    # --- after an accident ---------------------------------------------------------------------------------------

    def recount(self, now: float) -> list[Work]:
        """Who made a plan or told something was cut short in it: go by what exists, and look at all of it again.

        Returns what is being done to channels; the shell knows what of it really is.
        """
        under_way: list[Work] = []
        self._alarms.clear()
        self._set.clear()
        for key in self.keys.values():
            key.entries[:] = [entry for entry in key.entries if entry.phase is not Phase.GONE]
            key.available[:] = dict.fromkeys(
                each for each in key.available if each.phase is Phase.READY and (key.shared or not each.load)
            )
            key.connecting = sum(entry.phase is Phase.CONNECTING for entry in key.entries)
            for entry in key.entries:
                entry.available = entry in key.available
                self._alarm(entry.expires, key)
                self._alarm(entry.deadline, key)
                if entry.phase is Phase.CONNECTING:
                    under_way.append(Open(entry))
                elif entry.phase is Phase.CHECKING:
                    under_way.append(CheckHealth(entry))
                elif entry.phase is Phase.CLOSING:
                    under_way.append(Close(entry, min(entry.deadline, now + CLOSE_GRACE)))
            if key.queue:
                self.waited_for[key] = None
            self.dirty[key] = None
        self.total = sum(len(key.entries) for key in self.keys.values())
        self.closings = sum(isinstance(action, Close) for action in under_way)
        return under_way
