"""What a channel remembers between calls, and what it decides from that, whether threads or an event loop use it.

No threads and no waiting here, and time is passed in.  What is changed is changed under a guard: a lock for threads,
nothing for an event loop, which :mod:`.core` and :mod:`.aio_channel` hand in.
"""

from __future__ import annotations

import time
import weakref
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, Literal, TypeVar

from ..background import Clock
from ..errors import ConnectionClosedError
from ..masked import SecretText
from .grpc_process import grpc
from .metadata import TokenHolder

REFRESH_INTERVAL = 5.0
"""Seconds that pass at least between two looks at a secret that the server refused."""

WATCH_INTERVAL = 30.0
"""Seconds between two looks at the certificate files of a channel whose calls go well."""

# The server, or what stands before it, answered these itself; a cancelled or expired call says nothing either way.
_SILENT = frozenset({grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN})


class HolderReference(weakref.ref[Any]):
    """A weak reference that knows which object it was to, when that is no more."""

    __slots__ = ("key",)

    key: int


def reference_to(holder: object, gone: Callable[[HolderReference], None]) -> HolderReference:
    """A weak reference whose ``key`` is the ``id`` of an object.

    Args:
        holder: the object.
        gone: called when it is no more.
    """
    reference = HolderReference(holder, gone)
    reference.key = id(holder)
    return reference


def weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of who holds the one that calls it; called when its object is no more, it gives None.

    What an open gRPC channel hangs on is in no reference cycle, since what the collector finds in a forked child it
    would close there: gRPC then waits for threads that did not come along (``grpc.aio``, for ever).
    """
    return _Weakly(method.__self__, method.__func__)  # type: ignore[attr-defined]  # a bound method


class _Weakly:
    """As :class:`weakref.WeakMethod`, in a sixth of the memory: every connection has one or two."""

    __slots__ = ("_function", "_reference")

    def __init__(self, owner: Any, function: Callable[..., Any]) -> None:
        self._reference = weakref.ref(owner)
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        owner = self._reference()
        return None if owner is None else self._function(owner, *arguments)


class Health:
    """How the calls of a channel went, for whoever decides to replace it.

    Attributes:
        consecutive_unavailable: calls that ended UNAVAILABLE since the last one that the server answered.
        last_success: when the server last answered, by the channel's clock; None if it never did.
    """

    __slots__ = ("consecutive_unavailable", "last_success")

    def __init__(self) -> None:
        self.consecutive_unavailable = 0
        self.last_success: float | None = None

    def note(self, code: grpc.StatusCode | None, now: float) -> int:
        """Count a call that ended; it has no status where it never left or was interrupted.

        Returns:
            How many calls had ended UNAVAILABLE before this one, if it is the first after them that came through.
        """
        failed = 0
        if code is grpc.StatusCode.OK:
            failed, self.consecutive_unavailable = self.consecutive_unavailable, 0
            self.last_success = now
        elif code is grpc.StatusCode.UNAVAILABLE:
            self.consecutive_unavailable += 1
        elif code is not None and code not in _SILENT:
            # An error that the server gives is an answer: the way to it is good.
            failed, self.consecutive_unavailable = self.consecutive_unavailable, 0
            self.last_success = now
        return failed


class RefreshPace:
    """Whether a call that was refused as UNAUTHENTICATED is worth a look at the secret, or worth another try."""

    __slots__ = ("_interval", "_last")

    def __init__(self, interval: float = REFRESH_INTERVAL) -> None:
        self._interval = interval
        self._last: float | None = None

    def decide(self, used: int, current: int, now: float) -> Literal["again", "refresh", "give up"]:
        """What to do about the refused call, by the generations of its token and of the one that is held now.

        "refresh" counts as done.
        """
        if used != current:
            return "again"
        if self._last is not None and now - self._last < self._interval:
            return "give up"
        self._last = now
        return "refresh"


class FileWatch:
    """When a channel looks whether the files that it was opened with are still the same; a look returns at once.

    It does so every ``interval`` seconds while calls go well, and every ``suspicious`` ones while they end UNAVAILABLE.
    """

    __slots__ = ("_interval", "_look", "_looked", "_since", "_suspicious")

    def __init__(
        self, look: Callable[[], None], interval: float = WATCH_INTERVAL, suspicious: float = REFRESH_INTERVAL
    ) -> None:
        self._look = look
        self._interval = interval
        self._suspicious = suspicious
        self._since: float | None = None
        self._looked: float | None = None

    def before_call(self, now: float) -> None:
        """Look if it is time; the first call only starts the count, since the channel was opened just before."""
        if self._since is None:
            self._since = now
        elif now - self._since >= self._interval:
            self._look_at(now)

    def after_unavailable(self, now: float) -> None:
        """Look, unless that was just done."""
        if self._looked is None or now - self._looked >= self._suspicious:
            self._look_at(now)

    def _look_at(self, now: float) -> None:
        self._since = self._looked = now
        self._look()


Refresh = Callable[[], "SecretText | None"]
"""Resolves a secret anew; it may block.  None where there is no secret any more."""

C = TypeVar("C")


class Generation(Generic[C]):
    """One raw channel of a core, from the moment that it came into use until it is closed.

    The token belongs to it, not to the core: where a channel to another address is swapped in, no call may carry the
    token of the one to the other.

    Attributes:
        channel: the raw channel.
        holder: makes the metadata of its calls.
        refresh: resolves its secret anew; None if there is nothing to resolve.
    """

    __slots__ = ("channel", "holder", "refresh")

    def __init__(self, channel: C, holder: TokenHolder, refresh: Refresh | None) -> None:
        self.channel = channel
        self.holder = holder
        self.refresh = refresh

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """Calls on it that have not ended; guarded by the core."""


G = TypeVar("G", bound="Generation[Any]")


class CoreBase(Generic[G]):
    """One live connection: a raw channel, the token for its calls, and the count of what is in flight.

    The raw channel can be replaced under the stubs that were made on it.

    Args:
        raw: the channel; the core owns it from now on.
        holder: makes the metadata of every call.
        call_timeout: seconds that a call may take which has no deadline of its own; None for any time.
        refresh: resolves the secret anew, for a call that was refused as UNAUTHENTICATED; None if there is nothing to
            resolve.
        refresh_interval: seconds between two calls of ``refresh`` at least.
        clock: monotonic seconds.

    Attributes:
        health: how the calls went on the raw channel in use now; another one after a swap.
        replace: has the raw channel replaced, as its state is unknown since a call on it was interrupted; returns at
            once whether somebody is at it.  None where nobody can.
    """

    _generation: type[G]
    _guard: AbstractContextManager[Any]

    def __init__(
        self,
        raw: Any,
        holder: TokenHolder,
        *,
        call_timeout: float | None = None,
        refresh: Refresh | None = None,
        refresh_interval: float = REFRESH_INTERVAL,
        clock: Clock = time.monotonic,
    ) -> None:
        self.call_timeout = call_timeout
        self.clock = clock
        self._current = self._generation(raw, holder, refresh)
        self._retired: list[G] = []
        self._is_closed = False
        self.health = Health()
        self._pace = RefreshPace(refresh_interval)
        self._refresh_failure: Exception | None = None
        self._watch: FileWatch | None = None
        self.replace: Callable[[], bool] | None = None
        self._begin()

    @abstractmethod
    def _begin(self) -> None:
        """Set what only one kind has, the guard among it."""

    @property
    def raw(self) -> Any:
        """The raw channel in use now."""
        return self._current.channel

    @property
    def holder(self) -> TokenHolder:
        """Makes the metadata of the calls on the raw channel in use now."""
        return self._current.holder

    @property
    def in_flight(self) -> int:
        """Calls that have not ended, streams and futures included."""
        with self._guard:
            return self._load()

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_closed

    @property
    def refresh_failure(self) -> Exception | None:
        """Why the last look at the secret failed; None if it did not."""
        return self._refresh_failure

    def watch(self, look: Callable[[], None] | None) -> None:
        """Have somebody look, before some calls and after those that ended UNAVAILABLE, if the raw channel is right.

        Whoever looks returns at once, and sees to it that the channel is swapped if, say, a certificate has changed.
        """
        self._watch = None if look is None else FileWatch(look)

    def equip(self, holder: TokenHolder, refresh: Refresh | None) -> None:
        """Give the raw channel in use another token from the next call on."""
        with self._guard:
            # First: a refused call that meets the new function must not give what it finds to the old holder.
            self._current.refresh = None
            self._current.holder = holder
            self._current.refresh = refresh

    def swap(self, raw: Any, holder: TokenHolder | None = None, refresh: Refresh | None = None) -> G:
        """Send calls from now on to another raw channel, whatever channel their stubs were made on.

        Args:
            raw: the new channel; the core owns it from now on.
            holder: makes the metadata of its calls; None keeps the present one, and how its secret is resolved.
            refresh: as for the core.

        Returns:
            The old one, still open for the calls in flight: end it with ``finish``.

        Raises:
            ConnectionClosedError: the core is closed; ``raw`` stays the caller's.
        """
        with self._guard:
            self._check_open()
            old = self._current
            if holder is None:
                holder, refresh = old.holder, old.refresh
            self._current = self._generation(raw, holder, refresh)
            self.health = Health()
            self._retired.append(old)
            self._swapped(old)
        return old

    def _swapped(self, old: G) -> None:
        """What else moves to the raw channel in use; guarded."""

    def _dismiss(self, generation: G) -> None:
        """Forget a raw channel that was swapped out: it is about to be closed."""
        with self._guard:
            if generation in self._retired:
                self._retired.remove(generation)

    def _load(self) -> int:
        return self._current.in_flight + sum(generation.in_flight for generation in self._retired)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ConnectionClosedError("the connection is closed", hint="connect again")
