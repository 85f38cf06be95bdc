"""Which channels are open in this process: one for each key, opened once, shared by handles.

One lock guards the table and is held for nothing else: no name is resolved, no secret asked for and no socket opened
under it, so one dead address delays no other alias.  What opening means is the caller's; this module counts, waits
and hands out.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..background import Pending, SingleFlight, beside, start
from ..channel.channel import ProfileChannel
from ..channel.core import ChannelCore, RawGeneration
from ..channel.core_base import weakly
from ..errors import ThreadStartError
from ..names import fold_alias
from .driving import drive
from .shared_base import ConnectionInfo, Handle, SharedChannelBase
from .spec import OpenedBase, ReadyChannel, Slot

if TYPE_CHECKING:
    import grpc

    from ..channel.lite import LiteLease


_PAUSE = 5.0
"""Seconds between two attempts to replace a channel on which a call was interrupted."""


class OpenedChannel(OpenedBase[ChannelCore]):
    """A channel on which nothing has been called yet."""

    __slots__ = ()

    def close(self) -> None:
        """Give everything back."""
        beside(self._close, "milvus-profiles close")

    def _close(self) -> None:
        self.core.close()
        if self.lite is not None:
            self.lite.release()


class SharedChannel(SharedChannelBase[ChannelCore]):
    """An open channel with its handles; made by :func:`.opening.open_shared`, kept by the registry or by a pool.

    Args:
        forget: called when it has closed.
        renew: moves it to a channel that is opened with the files as they are now.
    """

    def __init__(
        self,
        ready: ReadyChannel[ChannelCore],
        *,
        slot: Slot,
        dedicated: bool,
        forget: Callable[[SharedChannel], None],
        renew: Callable[[SharedChannel], None],
    ) -> None:
        super().__init__(ready, threading.Lock(), slot=slot, dedicated=dedicated)
        self._forget = forget
        self._renew = renew
        # Held by the thread that renews the channel.
        self._renewing = threading.Lock()
        self._replace_at = -math.inf
        self.core.replace = weakly(self._replace)

    def channel(self, gate: Callable[[], None], on_close: Callable[[], None]) -> grpc.Channel:
        return ProfileChannel(self.core, gate=gate, on_close=on_close)

    def ping(self, channel: grpc.Channel, timeout: float) -> None:
        """Ask the server over a handle's channel, and wait some seconds for its answer.

        Raises:
            MilvusProfilesError: what is wrong, classified as in connecting.
        """
        drive(*self._pinging(channel, timeout))

    # --- handles ---

    def release(self, connection: Handle[Any]) -> None:
        """Take a handle back."""
        self._give_back(connection)
        self._dropped()

    def _drop_soon(self) -> None:
        with contextlib.suppress(ThreadStartError):  # whoever disconnects closes it
            start(self._dropped, "milvus-profiles close")

    def _dropped(self) -> None:
        if self._ends_with_handles():
            beside(self._close, "milvus-profiles close")

    # --- moving under living handles ---

    def _drain(self, leaving: RawGeneration, lite: LiteLease | None) -> None:
        try:
            start(partial(self._finish, leaving, lite, math.inf), "milvus-profiles drain")
        except ThreadStartError:
            self._finish(leaving, lite, 0.0)

    def _finish(self, leaving: RawGeneration, lite: LiteLease | None, grace: float) -> None:
        self.core.finish(leaving, grace)
        if lite is not None:
            lite.release()

    def _look(self) -> None:
        if self._is_outdated:
            self._renew_soon()

    def _replace(self) -> bool:
        if self._closed or self.abandoned or time.monotonic() < self._replace_at:
            return False
        self._renew_soon()
        return True

    def _renew_soon(self) -> None:
        if not self._renewing.locked():
            with contextlib.suppress(ThreadStartError):  # the next look tries again
                start(self._renew_once, "milvus-profiles renew")

    def _renew_once(self) -> None:
        with self._renewing:
            if self._is_outdated or self.core.is_damaged:
                self._renew(self)
            if self.core.is_damaged:
                self._replace_at = time.monotonic() + _PAUSE

    # --- closing ---

    def retire(self) -> None:
        """Close once the last handle is gone."""
        with self._guard:
            self._retired = True
        self._dropped()

    @property
    def closes_slowly(self) -> bool:
        """Whether closing may have to wait for something else than the channel."""
        return self.lite is not None or self.core.is_damaged or self.core.in_flight > 0

    def disconnect(self, grace: float) -> None:
        """Take no new call, wait for those in flight, then close all handles and the channel."""
        self.refuse()
        self.core.wait_idle(grace)
        self._close()

    def _close(self) -> None:
        # All of it can be done twice, so it is begun again by whoever finds the channel in the registry still.
        self.core.close()
        for own in self._end_clients():
            with contextlib.suppress(Exception):
                own.close()
        if self.lite is not None:
            self.lite.release()
        self._held.slot.release()
        self._forget(self)
        self._tell_closed()


L = TypeVar("L", bound=SharedChannelBase[Any])
S = TypeVar("S", bound=SharedChannel)


class ChannelTable(Generic[L]):
    """The open channels of a process or an event loop.

    A channel stands in it until it has closed, so that closing that was interrupted can be done again.

    Args:
        guard: held while the table is changed.
    """

    def __init__(self, guard: AbstractContextManager[Any]) -> None:
        self._guard = guard
        self._shared: dict[Hashable, L] = {}
        self._dedicated: dict[L, None] = {}
        self._retired: dict[L, None] = {}

    def _all(self) -> Iterable[L]:
        yield from self._shared.values()
        yield from self._dedicated
        yield from self._retired

    def _open_one(self, key: Hashable) -> L | None:
        shared = self._shared.get(key)
        return None if shared is None or shared.is_closed else shared

    def _put(self, key: Hashable, shared: L) -> L | None:
        """Have a channel serve a key; the one that did before is to retire."""
        with self._guard:
            replaced = self._shared.get(key)
            if replaced is not None:
                self._retired[replaced] = None
            shared.key = key
            self._shared[key] = shared
        return replaced

    def add_dedicated(self, shared: L) -> None:
        """Keep a channel that is shared with nobody."""
        with self._guard:
            self._dedicated[shared] = None

    def forget(self, shared: L) -> None:
        """Drop a channel that has closed."""
        with self._guard:
            self._dedicated.pop(shared, None)
            self._retired.pop(shared, None)
            if self._shared.get(shared.key) is shared:
                del self._shared[shared.key]

    def infos(self) -> list[ConnectionInfo]:
        """All open channels, in the order of their aliases."""
        with self._guard:
            channels = [shared for shared in self._all() if not shared.is_closed]
        return sorted((shared.info for shared in channels), key=lambda info: (info.alias, str(info.endpoint)))

    def has(self, alias: str) -> bool:
        """Whether a channel of a profile is open."""
        return any(not shared.is_closed for shared in self._of(alias))

    def _of(self, alias: str | None) -> list[L]:
        """The channels of an alias, however it is spelled, or all; closing ones too."""
        folded = None if alias is None else fold_alias(alias)
        with self._guard:
            return [shared for shared in self._all() if folded is None or fold_alias(shared.profile.alias) == folded]

    def abandon(self) -> list[Any]:
        """In a forked child: the channels are the parent's, to be neither used nor closed.

        gRPC's threads did not survive the fork, so closing would hang or reach the parent's sockets.

        Returns:
            What must never be collected, since that would close them.
        """
        channels = list(self._all())
        for shared in channels:
            shared.abandoned = True
        return [*channels, *(shared.core for shared in channels)]


class Registry(ChannelTable[S]):
    """The open channels of the process, for threads."""

    def __init__(self) -> None:
        self._reset()
        self._abandoned: list[Any] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)
        self._run_first_at_exit()

    def _run_first_at_exit(self) -> None:
        """Close channels before what they lead to: Milvus Lite's stop, registered later, would run before.

        Not for each channel: Python keeps a place for all that ever was registered, and looks through them.
        """
        atexit.unregister(self._at_exit)
        atexit.register(self._at_exit)

    def _reset(self) -> None:
        super().__init__(threading.Lock())
        self._opening: SingleFlight[S] = SingleFlight(self._guard)

    def _after_fork(self) -> None:
        self._abandoned.append((self.abandon(), self._opening))
        self._reset()

    def _at_exit(self) -> None:
        for shared in list(self._all()):
            shared.disconnect(0.0)

    def shared(self, key: Hashable, fingerprint: Hashable, opener: Callable[[S | None], S]) -> S:
        """The channel of a key, opened if need be, by one caller for all that ask meanwhile.

        Args:
            key: what channels are shared by.
            fingerprint: what the open one must have.
            opener: opens it; called without any lock, with the channel that is open but has another fingerprint, if
                there is one.  It gives that one the new fingerprint and returns it, or returns another, and then the
                first retires.

        Raises:
            MilvusProfilesError: what ``opener`` raises, in every caller that waited for it.
        """
        while True:
            with self._guard:
                shared = self._open_one(key)
                if shared is not None and shared.fingerprint == fingerprint:
                    return shared
                flight = self._opening.join(key)
            shared = self._opening.land(key, flight, lambda: self._open(key, opener))
            if shared.fingerprint == fingerprint:
                return shared

    def _open(self, key: Hashable, opener: Callable[[S | None], S]) -> S:
        old = self._open_one(key)
        shared = opener(old)
        # The same one again is in the table already, unless it was disconnected meanwhile: then it stays out.
        if shared is not old:
            replaced = self._put(key, shared)
            if shared.lite is not None:
                self._run_first_at_exit()
            if replaced is not None:
                replaced.retire()
        return shared

    def add_dedicated(self, shared: S) -> None:
        super().add_dedicated(shared)
        if shared.lite is not None:
            self._run_first_at_exit()

    def disconnect(self, alias: str | None, grace: float) -> None:
        """Close the channels of an alias, or all; returns when they are closed.

        Args:
            alias: any spelling of it; None for all.
            grace: seconds that calls in flight are waited for.
        """
        if channels := self._of(alias):
            # Side by side, so that the grace is that of one; and beside the caller, whose interrupt ends the waiting
            # only.
            beside(lambda: self._close(channels, grace), "milvus-profiles close")

    def _close(self, channels: list[S], grace: float) -> None:
        for shared in channels:
            shared.refuse()
        # A thread for each only where one may have to wait: there may be as many as a system has threads at most.
        slow: list[S] = []
        quick: list[S] = []
        for shared in channels:
            (slow if shared.closes_slowly else quick).append(shared)
        pending = [self._closing(shared, grace) for shared in slow]
        for shared in quick:
            shared.disconnect(grace)
        for each in pending:
            if each is not None:
                each.wait(math.inf)

    def _closing(self, shared: S, grace: float) -> Pending[None] | None:
        try:
            return Pending(partial(shared.disconnect, grace), lambda _: None, "milvus-profiles close")
        except ThreadStartError:
            shared.disconnect(grace)
            return None
