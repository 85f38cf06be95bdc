"""What the core keeps in mind: the settings of a key, its channels, its leases, who waits, and what is to be done.

Plain records.  The fields that a lease and its return touch are few and flat, because both happen under the lock of
the pool on every use.
"""

from __future__ import annotations

import enum
import math
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..profile import PoolSettings

__all__ = [
    "Action",
    "CheckHealth",
    "Close",
    "Dropped",
    "KeyState",
    "Leak",
    "LeakWatch",
    "Lease",
    "Member",
    "Open",
    "Outcome",
    "Phase",
    "Waiter",
    "Wake",
]


class Phase(enum.Enum):
    """Where a channel is in its life."""

    CONNECTING = "connecting"
    READY = "ready"
    TESTING = "testing"
    """An RPC is finding out whether it is good; it gets no new lease meanwhile."""
    DRAINING = "draining"
    """It gets no new lease, and is closed when the last one is returned or at its deadline."""
    CLOSING = "closing"
    GONE = "gone"


class Member:
    """A channel of the pool.

    Attributes:
        key: what it belongs to.
        phase: where it is in its life.
        link: the shell's: what carries the calls; None until it is open.
        load: leases on it.
        uses: leases on it so far.
        parked: it stands in ``key.idle`` or ``key.ready``, so that a lease can be had on it.
        worn: it is to be replaced: it was used ``max_uses`` times, or drained while it connected.
        suspect: it is to be tested before it is leased again.
        leases: those that were given on it; of late, and no longer used ones among them.
        born: when its opening began, in the seconds of the shell's clock, as all times here.
        expires: when ``max_lifetime`` ends; infinite without one.
        idle_since: when it was last returned.
        vouched: when a test last said that it is good.
        deadline: when it is closed though there are leases on it, or calls in flight.
    """

    __slots__ = (
        "born",
        "deadline",
        "expires",
        "idle_since",
        "key",
        "leases",
        "link",
        "load",
        "parked",
        "phase",
        "suspect",
        "uses",
        "vouched",
        "worn",
    )

    def __init__(self, key: KeyState, now: float) -> None:
        self.key = key
        self.phase = Phase.CONNECTING
        self.link: Any = None
        self.load = 0
        self.leases: list[weakref.ref[Lease]] = []
        self.uses = 0
        self.parked = False
        self.worn = False
        self.suspect = False
        self.born = now
        self.expires = math.inf
        self.idle_since = now
        self.vouched = now
        self.deadline = math.inf


class LeakWatch:
    """A lease as leak detection sees it: the lease itself may be garbage already.

    Attributes:
        since: when it was given.
        stack: where; what the shell recorded.
        reported: it was reported already.
    """

    __slots__ = ("reported", "since", "stack")

    def __init__(self, since: float, stack: Any) -> None:
        self.since = since
        self.stack = stack
        self.reported = False


class Dropped(deque[tuple[Member, LeakWatch | None]]):
    """Leases that were dropped without being returned.

    Attributes:
        notify: called after one was added, in the middle of anything; it has the next plan made.
    """

    notify: Callable[[], object] = staticmethod(lambda: None)


class Lease:
    """The right to use a channel; the shells hand out subclasses of it as connections.

    One that is dropped without being returned gives itself back; nothing is locked for that, since the garbage
    collector may run it in the middle of anything.

    Attributes:
        member: what it is a lease on; None before it was granted and after it was returned.
        since: when it was granted.
        watch: set where leaks are looked for.
    """

    member: Member | None = None
    since: float = 0.0
    watch: LeakWatch | None = None

    def __del__(self) -> None:
        # An interrupt as this begins keeps it from being done: then `Leases.recover` finds that the lease is no more.
        member = self.member
        if member is not None:
            dropped = member.key.dropped
            dropped.append((member, self.watch))
            # After that, as who recovers takes one that has no member and is not in the list to be lost.
            self.member = None
            dropped.notify()


class Outcome(enum.Enum):
    """How waiting ended."""

    GRANTED = "granted"
    FAILED = "failed"
    """No channel could be opened; ``Waiter.cause`` says why."""
    CLOSED = "closed"
    """The pool was closed."""


class Waiter:
    """Who waits for a lease, or for a key to be prepared.

    Attributes:
        key: what for.
        lease: what the lease is put into; None for one who waits for a key to be prepared.
        signal: the shell's: what wakes it.
        outcome: None while it waits.
        cause: the failure to connect.
        since: since when it waits.
        ticket: counts who came; the lower, the earlier.
    """

    __slots__ = ("cause", "key", "lease", "outcome", "signal", "since", "ticket")

    def __init__(self, key: KeyState, lease: Lease | None, signal: Any = None) -> None:
        self.key = key
        self.lease = lease
        self.signal = signal
        self.outcome: Outcome | None = None
        self.cause: BaseException | None = None
        self.since = 0.0
        self.ticket = 0


class KeyState:
    """What the core knows of a key.

    Attributes:
        name: the key.
        idle: in exclusive mode, the channels that can be leased; the one idle for longest comes first.
        ready: in shared mode, the channels that can be leased.
        members: all channels that are not gone.
        queue: who waits, first come first served.
        preparing: who waits for the key to be prepared.
        dropped: the core's list of leases that were dropped without being returned.
        watched: leases on which leak detection has an eye.
        active: leases.
        connecting: channels that are being opened.
        live: it was leased or prepared, so ``min_idle_per_key`` holds.
        retry_at: no channel is opened before, unless there is no other.
        failures: openings that failed since the last that did not.
        failing: one failed since the last plan.
        last_failure: what the last of them raised.
    """

    __slots__ = (
        "active",
        "cap",
        "careful",
        "connecting",
        "connections_errors",
        "connections_lost",
        "connections_num",
        "connections_time",
        "dropped",
        "failing",
        "failures",
        "hard",
        "idle",
        "last_failure",
        "live",
        "max_idle",
        "max_uses",
        "max_waiting",
        "members",
        "min_idle",
        "name",
        "preparing",
        "queue",
        "ready",
        "requests_errors",
        "requests_num",
        "requests_queued",
        "requests_wait",
        "retry_at",
        "returns_bad",
        "settings",
        "shared",
        "soft",
        "test_on_return",
        "usage",
        "watched",
    )

    def __init__(self, name: str, settings: PoolSettings, dropped: Dropped) -> None:
        self.name = name
        self.idle: list[Member] = []
        self.ready: list[Member] = []
        self.members: list[Member] = []
        self.queue: deque[Waiter] = deque()
        self.preparing: list[Waiter] = []
        self.dropped = dropped
        self.watched: set[LeakWatch] = set()
        self.active = 0
        self.connecting = 0
        self.live = False
        self.retry_at = -math.inf
        self.failures = 0
        self.failing = False
        self.last_failure: BaseException | None = None
        self.requests_num = 0
        self.requests_queued = 0
        self.requests_wait = 0.0
        self.requests_errors = 0
        self.returns_bad = 0
        self.usage = 0.0
        self.connections_num = 0
        self.connections_time = 0.0
        self.connections_errors = 0
        self.connections_lost = 0
        self.configure(settings)

    def configure(self, settings: PoolSettings) -> None:
        """Take settings over; what they change is done by the core's next plan."""
        self.settings = settings
        self.shared = settings.mode == "shared"
        self.cap = settings.max_channels if self.shared else settings.max_total_per_key
        self.soft = settings.soft_limit if self.shared else 1
        self.hard = settings.hard_limit if self.shared else 1
        self.max_idle: float = math.inf if self.shared else settings.max_idle_per_key
        self.min_idle = min(settings.min_idle_per_key, self.cap, self.max_idle)
        self.max_uses: float = math.inf if settings.max_uses is None else settings.max_uses
        # Who may not block may still wait for a channel that is opened for him.
        self.test_on_return = settings.test_on_return
        # What a borrower has to do beyond taking a lease.
        self.careful = settings.test_on_borrow or settings.leak_threshold is not None
        self.max_waiting: float = math.inf if settings.max_waiting is None else settings.max_waiting
        if not settings.block_when_exhausted:
            self.max_waiting = 0


@dataclass(frozen=True, slots=True)
class Open:
    """Open a channel, and report ``opened`` or ``open_failed``."""

    member: Member


@dataclass(frozen=True, slots=True)
class Close:
    """Close a channel once its calls in flight have ended, at the deadline at the latest, and report ``closed``."""

    member: Member
    deadline: float


@dataclass(frozen=True, slots=True)
class CheckHealth:
    """Find out by an RPC whether a channel is good, and report ``tested``."""

    __test__ = False  # pytest would take it for tests

    member: Member


@dataclass(frozen=True, slots=True)
class Wake:
    """Wake who waits: ``waiter.outcome`` is set."""

    waiter: Waiter


@dataclass(frozen=True, slots=True)
class Leak:
    """Report a lease that is held for too long, or was dropped.

    Attributes:
        key: its name.
        held: seconds since it was given; None if it was dropped and nobody knows.
        stack: where it was taken; None if that was not recorded.
        dropped: it was dropped without being returned, and is given back now.
    """

    key: str
    held: float | None
    stack: Any
    dropped: bool


Action = Open | Close | CheckHealth | Wake | Leak
