"""A shared channel and the handles on it, whether threads or an event loop use them: what they remember and decide.

Nothing here waits.  What is changed is changed under the guard that a shell hands in: a lock for threads, nothing for
an event loop.  When to close, to renew or to drain is decided here, and done by :mod:`.registry` and
:mod:`.aio_registry`.
"""

from __future__ import annotations

import time
import weakref
from abc import abstractmethod
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from typing_extensions import Self

from ..background import Deadline
from ..channel.channel import OfThisProcess
from ..channel.core_base import HolderReference, reference_to, weakly
from ..channel.metadata import TokenHolder
from ..connectable import Connectable
from ..display import Table, Tabular
from ..endpoint import Endpoint
from ..log import log
from ..masked import SecretText, even_half_made
from ..probe.context import ConnectContext
from .clients import ClientHold, forked_or_closed, gate_of
from .handshake import PROBES_OF_PING, Plan, ping_plan
from .spec import ChannelSpec, Possessions, ReadyChannel, Slot, SpecKey, context_of, reach_of

if TYPE_CHECKING:
    from ..channel.core_base import CoreBase
    from ..channel.lite import LiteLease
    from ..channel.pymilvus_source import ClientSource
    from ..profile import Profile

C = TypeVar("C", bound="CoreBase[Any]")
S = TypeVar("S", bound="SharedChannelBase[Any]")
H = TypeVar("H", bound="Handle[Any]")


@even_half_made
@dataclass(frozen=True, slots=True)
class ConnectionInfo(Tabular):
    """An open channel.

    Attributes:
        alias: its profile; ``"anonymous"`` for one that was opened by an address alone.
        endpoint: where it leads; ``str()`` gives the uri.
        db_name: the database; None for the server's default.
        handles: connections that hold it.
    """

    alias: str
    endpoint: Endpoint
    db_name: str | None
    handles: int

    def _table(self) -> Table:
        row = (self.alias, str(self.endpoint), self.db_name or "", str(self.handles))
        return Table(("alias", "endpoint", "db_name", "handles"), [row])


class SharedChannelBase(Generic[C]):
    """An open channel and its handles.

    Args:
        ready: the channel.
        guard: held while something is changed.
        slot: its place among the connections of the process.
        dedicated: it closes with its handle.

    Attributes:
        server: what the handshake told.
        reach: the endpoint that sockets lead to.
        spec: what it was opened by, or moved by since.
        fingerprint: what it stands on now.
        core: the channel itself: its load and its health.
        key: what it is shared by in a registry.
        abandoned: it belongs to the process before a fork.
    """

    def __init__(
        self, ready: ReadyChannel[C], guard: AbstractContextManager[Any], *, slot: Slot, dedicated: bool
    ) -> None:
        self.core = ready.opened.core
        self.key: Hashable | None = None
        self.abandoned = False
        self._guard = guard
        self._held = Possessions(slot, ready.opened.lite)
        self._dedicated = dedicated
        self._retired = False
        self._closed = False
        self._born = time.monotonic()
        # Not a WeakSet: its own clean-up may come after that of a handle, which asks whether it was the last.
        self._handles: dict[int, weakref.ref[Any]] = {}
        self._clients: ClientSource | None = None
        self._stand_on(ready)

    def _tell_closed(self) -> None:
        log("closed", alias=self.profile.alias, seconds=time.monotonic() - self._born)

    # --- what it is ---

    @property
    def profile(self) -> Connectable:
        """The profile that it serves now."""
        return self.spec.profile

    @property
    def lite(self) -> LiteLease | None:
        """Its Milvus Lite, where it is one."""
        return self._held.lite

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more handles and calls; it may be waiting for the last of them still."""
        return self._closed

    @property
    def info(self) -> ConnectionInfo:
        """What ``list_connections`` shows."""
        with self._guard:
            holders = [holder() for holder in self._handles.copy().values()]
        handles = sum(holder is not None and holder.counts for holder in holders)
        return ConnectionInfo(self.profile.alias, self.profile.endpoint, self.profile.db_name, handles)

    def token(self) -> SecretText | None:
        """The token that calls carry now."""
        return self.core.holder.token

    def _pinging(self, channel: Any, timeout: float) -> tuple[Plan[None], ConnectContext, Any, Deadline, Deadline]:
        context = context_of(self.profile, self.token(), self.lite)
        calls_end = Deadline.after(timeout)
        return ping_plan(context), context, channel, Deadline(calls_end.at + PROBES_OF_PING), calls_end

    # --- handles ---

    @abstractmethod
    def channel(self, gate: Callable[[], None], on_close: Callable[[], Any]) -> Any:
        """A channel for one handle; the arguments are those of :class:`.ChannelBase`."""

    def handle(self, make: Callable[[Self, Connectable], H], profile: Connectable) -> H | None:
        """A new handle; None if the channel was closed meanwhile.

        The profile, as the caller resolved it, differs from the channel's only in what is not the channel's.
        """
        connection = make(self, profile)
        with self._guard:
            if self._closed or self._retired:
                return None
            self._handles[id(connection)] = reference_to(connection, self._collected)
        return connection

    def hold(self, handle: Handle[Any]) -> ClientHold:
        """What a client of a handle has of its own, so that the channel stays open for it."""
        hold = ClientHold(self, handle)
        with self._guard:
            if self._closed:
                hold.disconnected()
            else:
                self._handles[id(hold)] = reference_to(hold, self._collected)
        return hold

    def let_go(self, hold: ClientHold) -> None:
        """Take back what :meth:`hold` gave, from who closes its handle next."""
        with self._guard:
            self._handles.pop(id(hold), None)

    def dropped(self, hold: ClientHold) -> None:
        """Take back what :meth:`hold` gave."""
        self.let_go(hold)
        if (self._dedicated or self._retired) and not self._closed:
            self._drop_soon()

    def _collected(self, reference: HolderReference) -> None:
        if self._handles.get(reference.key) is reference:
            del self._handles[reference.key]
        # The garbage collector may run in a thread that holds one of our locks, so closing is not done here.
        if (self._dedicated or self._retired) and not self._closed:
            self._drop_soon()

    def _give_back(self, connection: Handle[Any]) -> None:
        with self._guard:
            self._handles.pop(id(connection), None)

    def _ends_with_handles(self) -> bool:
        """Whether it is to be closed, since no handle is left; it counts as closed from then on."""
        if self.abandoned:
            return False
        with self._guard:
            handles = self._handles.copy()
            self._handles = {key: handle for key, handle in handles.items() if handle() is not None}
            last = not self._handles and (self._dedicated or self._retired)
            self._closed |= last
        return last

    def refuse(self) -> None:
        """Take no further call."""
        with self._guard:
            self._closed = True
            handles = [handle() for handle in self._handles.copy().values()]
        for connection in handles:
            if connection is not None:
                connection.disconnected()

    @abstractmethod
    def _drop_soon(self) -> None:
        """Close if no handle is left, elsewhere and later."""

    # --- clients of pymilvus ---

    @property
    def clients(self) -> ClientSource:
        """Makes the clients of all handles."""
        found = self._clients
        if found is None:
            from ..channel.pymilvus_source import ClientSource

            made = ClientSource(self.channel(gate_of(weakref.ref(self)), lambda: None), self.reach.authority)
            with self._guard:
                found = self._clients = self._clients or made
        return found

    def _end_clients(self) -> list[Any]:
        """Let go of what clients have of the channel, which has closed; those with a connection of their own."""
        with self._guard:
            source, self._clients = self._clients, None
            holders = [holder() for holder in self._handles.copy().values()]
        if source is not None:
            source.close()
        own = [holder.own() for holder in holders if isinstance(holder, ClientHold) and holder.own is not None]
        return [client for client in own if client is not None]

    # --- moving under living handles ---

    def equip(self, spec: ChannelSpec, holder: TokenHolder, fingerprint: SpecKey) -> bool:
        """Go on from the next call on with a secret that the server has accepted; whether it was still open."""
        with self._guard:
            if self._closed:
                return False
            self.core.equip(holder, spec.refresh)
            self.core.call_timeout = spec.profile.call_timeout
            self.spec, self.fingerprint = spec, fingerprint
            return True

    def move(self, ready: ReadyChannel[C], old: SpecKey) -> bool:
        """Send the calls of all handles over another channel from now on; the old one ends with its last call.

        Returns:
            Whether it did; not if it was closed or stands no more on ``old``, and then ``ready`` stays the caller's.
        """
        with self._guard:
            if self._closed or self.fingerprint != old:
                return False
            core = ready.opened.core
            leaving = self.core.swap(core.raw, core.holder, ready.spec.refresh)
            lite, self._held.lite = self._held.lite, ready.opened.lite
            self._stand_on(ready)
        self._drain(leaving, lite)
        return True

    @abstractmethod
    def _drain(self, leaving: Any, lite: LiteLease | None) -> None:
        """Have a raw channel closed, and its Milvus Lite given back, as soon as its calls have ended.

        That takes as long as they do: whoever made one without a deadline wants its answer.
        """

    def _stand_on(self, ready: ReadyChannel[C]) -> None:
        profile = ready.spec.profile
        self.server, self.spec, self.fingerprint = ready.server, ready.spec, ready.fingerprint
        self.reach = reach_of(profile, ready.opened.lite)
        if self._clients is not None:
            self._clients.moved(self.reach.authority)
        self.core.call_timeout = profile.call_timeout
        has_files = profile.tls is not None and (profile.tls.ca is not None or profile.tls.cert is not None)
        self.core.watch(weakly(self._look) if has_files else None)

    @property
    def _is_outdated(self) -> bool:
        """Whether the certificate files have changed."""
        return not (self.abandoned or self._closed or SpecKey.of(self.profile) == self.fingerprint)

    @abstractmethod
    def _look(self) -> None:
        """Have the channel renewed if its certificate files have changed; a call may be waiting."""


_PUBLIC = ("alias", "channel", "client", "close", "endpoint", "is_closed", "ping", "profile", "server_version")


@even_half_made
class Handle(OfThisProcess, Generic[S]):
    """One holder's share of a shared channel, with the profile as the holder resolved it."""

    _again: ClassVar[str]
    """What to call for another one."""
    _forked_hint: ClassVar[str]
    counts: ClassVar[bool] = True
    """Among the handles of :class:`ConnectionInfo`."""

    _channel: weakref.ref[Any] | None = None
    """The channel holds its handle, so the handle must not hold it: see :func:`.weak.weakly`."""

    def __init__(self, shared: S, profile: Connectable) -> None:
        self._shared = shared
        self._profile = profile
        self._closed = False

    def __dir__(self) -> list[str]:
        return list(_PUBLIC)

    @property
    def alias(self) -> str:
        """The alias of the profile; ``"anonymous"`` where an address was given instead."""
        return self._profile.alias

    @property
    def profile(self) -> Profile:
        """The profile as the handle was opened with it, overrides of the call included."""
        validated: Profile = self._profile.validated()
        return validated

    @property
    def endpoint(self) -> Endpoint:
        """Where it leads now; for Milvus Lite the database directory.

        A later ``connect`` that finds another address in the profile moves all handles of its connection there.
        """
        return self._shared.profile.endpoint

    @property
    def server_version(self) -> str | None:
        """The server's version as it names it, such as ``2.3.5`` or ``milvus_lite-3.2.2``; None if it does not say."""
        return self._shared.server.version

    @property
    def is_closed(self) -> bool:
        """Whether the handle was closed."""
        return self._closed

    def _gate(self) -> None:
        """Runs before every call."""
        if self._closed or self._shared.abandoned:
            raise forked_or_closed(type(self), self.alias, forked=self._shared.abandoned)

    def _own_channel(self, on_close: Callable[[], Any]) -> Any:
        channel = None if self._channel is None else self._channel()
        if channel is None:
            channel = self._shared.channel(self._gate, on_close)
            self._channel = weakref.ref(channel)
        return channel

    def _tie(self) -> Any:
        """What a client of this handle belongs to."""
        return self._shared.hold(self)

    def disconnected(self) -> None:
        """The channel is about to close under the handle: it takes no further call."""
        self._closed = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.alias} to {self.endpoint} ({'closed' if self.is_closed else 'open'})>"
