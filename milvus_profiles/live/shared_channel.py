"""An open channel and the handles on it, for threads: how it is shared, moved under living handles, and closed."""

from __future__ import annotations

import contextlib
import math
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..background import beside, start
from ..channel.channel import ProfileChannel
from ..channel.core import ChannelCore, RawGeneration
from ..channel.metadata import TokenHolder
from ..channel.wire import GET_VERSION
from ..deadline import Deadline
from ..errors import ThreadStartError
from ..probe.context import ConnectContext
from ..probe.explain import classify, needs_probes
from ..profile import Profile
from .handle import Handle
from .handshake import ServerInfo, look
from .limit import Slot
from .registry import ConnectionInfo
from .shared_base import SharedChannelBase
from .spec import ChannelSpec, SpecKey, context_of

if TYPE_CHECKING:
    import grpc

    from ..channel.lite import LiteLease

__all__ = ["OpenedChannel", "SharedChannel"]

H = TypeVar("H", bound=Handle[Any])

_LOOK = 1.0

_PAUSE = 5.0
"""Seconds between two attempts to replace a channel on which a call was interrupted."""


@dataclass(frozen=True, slots=True)
class OpenedChannel:
    """A channel on which nothing has been called yet.

    Attributes:
        core: the channel.
        lite: its Milvus Lite, where it is one.
        context: what is tried.
    """

    core: ChannelCore
    lite: LiteLease | None
    context: ConnectContext

    def close(self) -> None:
        """Give everything back."""
        beside(self._close, "milvus-profiles close")

    def _close(self) -> None:
        self.core.close()
        if self.lite is not None:
            self.lite.release()


class SharedChannel(SharedChannelBase[ChannelCore]):
    """An open channel with its handles; made by :func:`open_live`, kept by the registry or by a pool."""

    def __init__(
        self,
        spec: ChannelSpec,
        started: OpenedChannel,
        server: ServerInfo,
        key: SpecKey,
        *,
        slot: Slot,
        dedicated: bool,
        forget: Callable[[SharedChannel], None],
        renew: Callable[[SharedChannel], None],
    ) -> None:
        super().__init__(spec, started, server, key, dedicated=dedicated)
        self._lite = started.lite
        self._slot = slot
        self._forget = forget
        self._renew = renew
        # Held by the thread that renews the channel.
        self._renewing = threading.Lock()
        self._replace_at = -math.inf
        self._core.replace = self._replace
        self._lock = threading.Lock()
        # Not a WeakSet: its own clean-up may come after that of a handle, which asks whether it was the last.
        self._handles: dict[int, weakref.ref[Handle[Any]]] = {}

    # --- what it is ---

    @property
    def lite(self) -> LiteLease | None:
        """Its Milvus Lite, where it is one."""
        return self._lite

    @property
    def info(self) -> ConnectionInfo:
        """What ``list_connections`` shows."""
        with self._lock:
            handles = len(self._handles)
        return ConnectionInfo(self.profile.alias, self.profile.endpoint, self.profile.db_name, handles)

    # --- handles ---

    def handle(self, make: Callable[[SharedChannel, Profile], H], profile: Profile) -> H | None:
        """A new handle; None if the channel was closed meanwhile.

        Args:
            make: makes it.
            profile: as the caller resolved it; it differs from the channel's only in what is not the channel's.
        """
        connection = make(self, profile)
        with self._lock:
            if self._closed or self._retired:
                return None
            # A handle that is dropped without being closed gives itself back.
            self._handles[id(connection)] = weakref.ref(connection, partial(self._collected, id(connection)))
        return connection

    def _collected(self, key: int, reference: weakref.ref[Handle[Any]]) -> None:
        if self._handles.get(key) is reference:
            del self._handles[key]
        # The garbage collector may run in a thread that holds one of our locks, so closing is another thread's.
        if (self._dedicated or self._retired) and not self._closed:
            with contextlib.suppress(ThreadStartError):  # whoever disconnects closes it
                start(self._dropped, "milvus-profiles close")

    def channel(self, gate: Callable[[], None], on_close: Callable[[], None]) -> grpc.Channel:
        """A channel for one handle.

        Args:
            gate: called before every call; raises if the handle is closed.
            on_close: called when the user closes the channel.
        """
        return ProfileChannel(self._core, gate=gate, on_close=on_close)

    def ping(self, channel: grpc.Channel, timeout: float) -> None:
        """One call that the server answers whatever the user's rights are.

        Args:
            channel: the handle's.
            timeout: seconds to wait for the answer.

        Raises:
            MilvusProfilesError: what is wrong, classified as in connecting.
        """
        from ..channel.grpc_import import grpc

        try:
            channel.unary_unary(GET_VERSION.path, None, None)(b"", timeout=timeout)
            return
        except grpc.RpcError as error:
            code, details = error.code(), error.details() or ""
        except ValueError:  # what grpc says to a call on a channel that was closed meanwhile
            code, details = grpc.StatusCode.CANCELLED, ""
        if code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED):
            return  # it answered, which is all that was asked
        context = context_of(self.profile, self.token(), self._lite)
        results = look(context, Deadline.after(_LOOK)) if needs_probes(code, details) else None
        raise classify(code, details, context, method=GET_VERSION.name, results=results, opening=False)

    def release(self, connection: Handle[Any]) -> None:
        """Take a handle back."""
        with self._lock:
            self._handles.pop(id(connection), None)
        self._dropped()

    def _dropped(self) -> None:
        if self.abandoned:
            return
        with self._lock:
            handles = self._handles.copy()
            self._handles = {key: handle for key, handle in handles.items() if handle() is not None}
            last = not self._handles and (self._dedicated or self._retired)
            self._closed |= last
        if last:
            beside(self._close, "milvus-profiles close")

    # --- moving under living handles ---

    def equip(self, spec: ChannelSpec, holder: TokenHolder, key: SpecKey) -> bool:
        with self._lock:
            return super().equip(spec, holder, key)

    def move(self, spec: ChannelSpec, started: OpenedChannel, server: ServerInfo, old: SpecKey, new: SpecKey) -> bool:
        """Send the calls of all handles over another channel from now on; the old one ends with its last call.

        Args:
            spec: what it is opened by from now on.
            started: the other channel, on which the handshake has succeeded.
            server: what it told.
            old: what this channel must stand on still.
            new: what it stands on then.

        Returns:
            Whether it did; not if it was closed or moved meanwhile, and then ``started`` stays the caller's.
        """
        with self._lock:
            if self._closed or self.fingerprint != old:
                return False
            leaving = self._core.swap(started.core.raw, started.core.holder, spec.refresh)
            lite, self._lite = self._lite, started.lite
            self._stand_on(spec, started, server, new)
        try:
            start(partial(self._drain, leaving, lite), "milvus-profiles drain")
        except ThreadStartError:
            self._drain(leaving, lite, 0.0)
        return True

    def _drain(self, leaving: RawGeneration, lite: LiteLease | None, grace: float = math.inf) -> None:
        # As long as its calls take: whoever made one without a deadline wants its answer.
        self._core.finish(leaving, grace)
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
            if self._is_outdated or self._core.is_damaged:
                self._renew(self)
            if self._core.is_damaged:
                self._replace_at = time.monotonic() + _PAUSE

    # --- closing ---

    def retire(self) -> None:
        """Close once the last handle is gone."""
        with self._lock:
            self._retired = True
        self._dropped()

    def disconnect(self, grace: float) -> None:
        """Take no new call, wait for those in flight, then close all handles and the channel."""
        with self._lock:
            self._closed = True
            handles = [handle() for handle in self._handles.copy().values()]
        for connection in handles:
            if connection is not None:
                connection.disconnected()
        self._core.wait_idle(grace)
        self._close()

    def _close(self) -> None:
        # All of it can be done twice, so it is begun again by whoever finds the channel in the registry still.
        self._core.close()
        if self._lite is not None:
            self._lite.release()
        self._slot.release()
        self._forget(self)
