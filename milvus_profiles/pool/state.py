"""What the core keeps in mind: the settings of a key, its channels, its leases, who waits, and what is to be done.

The fields that a lease and its return touch are few and flat: both happen under the lock of the pool on every use.
"""

from __future__ import annotations

import enum
import math
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..pool_settings import PoolSettings
from ..pool_stats import KeyStats

_COUNTERS = (
    "requests_num", "requests_queued", "requests_errors", "returns_bad",
    "connections_num", "connections_errors", "connections_lost",
)  # fmt: skip


class Phase(enum.Enum):
    CONNECTING = "connecting"
    READY = "ready"
    CHECKING = "checking"
    """A health check is under way; it gets no new lease meanwhile."""
    DRAINING = "draining"
    """It gets no new lease, and is closed when the last one is returned or at its deadline."""
    CLOSING = "closing"
    GONE = "gone"


@dataclass(slots=True, eq=False)
class PoolEntry:
    """A channel of the pool.

    Attributes:
        born: when its opening began, in the seconds of the shell's clock, as all times here.
        channel: the shell's: what carries the calls; None until it is open.
        load: leases on it.
        uses: leases on it so far, as long as ``max_uses`` limits them.
        available: it stands in ``key.available``.
        stale: it is to be replaced: it was used ``max_uses`` times, or drained while it connected.
        needs_check: its health is to be checked before it is leased again.
        expires: when ``max_lifetime`` ends.
        idle_since: when it was last returned.
        checked_at: when it was last found healthy.
        deadline: when it is closed though there are leases on it, or calls in flight.
    """

    key: KeyState
    born: float
    phase: Phase = Phase.CONNECTING
    channel: Any = None
    load: int = 0
    uses: int = 0
    available: bool = False
    stale: bool = False
    needs_check: bool = False
    expires: float = math.inf
    idle_since: float = field(init=False)
    checked_at: float = field(init=False)
    deadline: float = math.inf

    def __post_init__(self) -> None:
        self.idle_since = self.checked_at = self.born

    @property
    def is_open(self) -> bool:
        """Whether leases may be had on it, now or after a health check."""
        return self.phase in (Phase.READY, Phase.CHECKING)


@dataclass(slots=True, eq=False)
class LeakWatch:
    """A lease as leak detection sees it: when and where it was given.  The lease itself may be garbage already."""

    since: float
    stack: Any
    reported: bool = False


class Dropped(deque[tuple[str, "weakref.ref[Lease]"]]):
    """Leases that were dropped without being returned, by what ``KeyState.leases`` of the named key knows them by."""

    notify: Callable[[], object] = staticmethod(lambda: None)
    """Called after one was added, in the middle of anything; it has the next plan made."""

    def add(self, name: str, lease: weakref.ref[Lease]) -> None:
        """A lease of a key is no more; the garbage collector may say so in the middle of anything."""
        # An interrupt in here keeps it from being done: then `Leases.recover` finds that the lease is no more.
        self.append((name, lease))
        self.notify()


class Lease:
    """The right to use a channel; the shells hand out subclasses of it as connections.

    One that is dropped without being returned gives itself back, by what is called with its weak reference; nothing is
    locked for that, since the garbage collector may run it in the middle of anything.

    Slots, without a value on the class: an attribute that has one costs Python ten times as much (3.11).

    Attributes:
        entry: what it is a lease on; None before it was granted and after it was returned.
        reference: the weak one in ``KeyState.leases``; set while there is an entry, and dropped with it, as it would
            tell of the end of a lease that was returned.
        since: when it was granted.
    """

    __slots__ = ("__weakref__", "entry", "reference", "since")

    entry: PoolEntry | None
    reference: Any
    since: float

    def __init__(self) -> None:
        self.entry = None


class Outcome(enum.Enum):
    GRANTED = "granted"
    FAILED = "failed"
    """No channel could be opened; ``Waiter.cause`` says why."""
    CLOSED = "closed"
    """The pool was closed."""


@dataclass(slots=True, eq=False)
class Waiter:
    """Who waits for a lease, or for a key to be prepared.

    Attributes:
        lease: what the lease is put into; None for one who waits for a key to be prepared.
        signal: the shell's: what wakes it.
        outcome: None while it waits.
        cause: the failure to connect.
        ticket: counts who came; the lower, the earlier.
    """

    key: KeyState
    lease: Lease | None
    signal: Any = None
    outcome: Outcome | None = None
    cause: BaseException | None = None
    since: float = 0.0
    ticket: int = 0


@dataclass(slots=True, eq=False)
class KeyState:
    """What the core knows of a key.

    Attributes:
        dropped: the core's list of leases that were dropped without being returned.
        available: channels on which a lease can be had; in exclusive mode the one idle for longest comes first.
        entries: all channels that are not gone.
        leases: what each lease is on, by a weak reference to it: those that are out, and no others.
        lost: what the reference calls when a lease is no more.
        queue: who waits, first come first served.
        preparing: who waits for the key to be prepared.
        watched: leases on which leak detection has an eye.
        connecting: channels that are being opened.
        evict_at: no channel of it has been idle for too long before.
        activated: it was leased or prepared, so ``min_idle_per_key`` holds.
        retry_at: no channel is opened before, unless there is no other.
        failures: openings that failed since the last that did not.
        has_failed: one failed since the last plan.
        last_failure: what the last of them raised.
    """

    name: str
    settings: PoolSettings
    dropped: Dropped
    available: list[PoolEntry] = field(default_factory=list)
    entries: list[PoolEntry] = field(default_factory=list)
    queue: deque[Waiter] = field(default_factory=deque)
    preparing: list[Waiter] = field(default_factory=list)
    leases: dict[weakref.ref[Lease], PoolEntry] = field(default_factory=dict)
    lost: Callable[[weakref.ref[Lease]], None] = field(init=False)
    watched: dict[weakref.ref[Lease], LeakWatch] = field(default_factory=dict)
    connecting: int = 0
    evict_at: float = -math.inf
    activated: bool = False
    retry_at: float = -math.inf
    failures: int = 0
    has_failed: bool = False
    last_failure: BaseException | None = None
    # What the settings come to; see `configure`.
    shared: bool = field(init=False)
    cap: int = field(init=False)
    soft: int = field(init=False)
    hard: int = field(init=False)
    max_idle: float = field(init=False)
    min_idle: float = field(init=False)
    max_uses: int | None = field(init=False)
    max_waiting: float = field(init=False)
    test_on_return: bool = field(init=False)
    extra_steps: bool = field(init=False)
    # Counted for `stats`; times in seconds.
    requests_num: int = 0
    requests_queued: int = 0
    requests_wait: float = 0.0
    requests_errors: int = 0
    returns_bad: int = 0
    usage: float = 0.0
    connections_num: int = 0
    connections_time: float = 0.0
    connections_errors: int = 0
    connections_lost: int = 0

    def __post_init__(self) -> None:
        # Of the name, not of this object: that would be a circle.
        self.lost = partial(self.dropped.add, self.name)
        self.configure(self.settings)

    def configure(self, settings: PoolSettings) -> None:
        """Take settings over; what they change is done by the core's next plan."""
        self.settings = settings
        self.evict_at = -math.inf
        self.shared = settings.mode == "shared"
        self.cap = settings.max_channels if self.shared else settings.max_total_per_key
        self.soft = settings.soft_limit if self.shared else 1
        self.hard = settings.hard_limit if self.shared else 1
        self.max_idle = math.inf if self.shared else settings.max_idle_per_key
        self.min_idle = min(settings.min_idle_per_key, self.cap, self.max_idle)
        self.max_uses = settings.max_uses
        self.test_on_return = settings.test_on_return
        # Whether a borrower has more to do than to take a lease.
        self.extra_steps = settings.test_on_borrow or settings.leak_threshold is not None
        self.max_waiting = math.inf if settings.max_waiting is None else settings.max_waiting
        if not settings.block_when_exhausted:
            # Who may not block may still wait for a channel that is opened for him.
            self.max_waiting = 0

    def stats(self) -> KeyStats:
        """What it looks like, and what was done so far."""
        return KeyStats(
            pool_min=int(self.min_idle),
            pool_max=self.cap,
            pool_size=len(self.entries),
            pool_available=sum(self.hard - entry.load for entry in self.available),
            pool_idle=sum(entry.is_open and not entry.load for entry in self.entries),
            pool_idle_max=int(min(self.cap, self.max_idle)),
            pool_used=sum(entry.load > 0 for entry in self.entries),
            pool_active=len(self.leases),
            requests_waiting=len(self.queue),
            requests_wait_ms=int(self.requests_wait * 1000),
            usage_ms=int(self.usage * 1000),
            connections_ms=int(self.connections_time * 1000),
            **{name: getattr(self, name) for name in _COUNTERS},
        )


@dataclass(frozen=True, slots=True)
class Open:
    """Open a channel, and report ``opened`` or ``open_failed``."""

    entry: PoolEntry


@dataclass(frozen=True, slots=True)
class Close:
    """Close a channel once its calls in flight have ended, at the deadline at the latest, and report ``closed``."""

    entry: PoolEntry
    deadline: float


@dataclass(frozen=True, slots=True)
class CheckHealth:
    """Find out by an RPC whether a channel is healthy, and report ``checked``."""

    entry: PoolEntry


@dataclass(frozen=True, slots=True)
class Wake:
    """Wake who waits: ``waiter.outcome`` is set.  By this signal: meanwhile he may wait anew, by another."""

    waiter: Waiter
    signal: Any


@dataclass(frozen=True, slots=True)
class Leak:
    """Report a lease that is held for too long, or was dropped and is given back now.

    Attributes:
        key: its name.
        held: seconds since it was given; None if it was dropped.
        stack: where it was taken; None if that was not recorded.
    """

    key: str
    held: float | None
    stack: Any


Work = Open | Close | CheckHealth
"""What takes time; its end is reported."""

Action = Work | Wake | Leak
