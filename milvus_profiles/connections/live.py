"""An open channel and the handles on it, for threads: how it is shared, moved under living handles, and closed."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..endpoint import Endpoint
from ..masked import SecretText
from ..profile import Profile
from ..transport.attempt import Attempt
from ..transport.channel import ProfileChannel
from ..transport.core import ChannelCore, Generation
from ..transport.deadline import Deadline
from ..transport.failures import classify, needs_evidence
from ..transport.handshake import ServerInfo, look
from ..transport.metadata import TokenHolder
from ..transport.wire import GET_VERSION
from .connection import Connection
from .footing import Footing
from .registry import ConnectionInfo
from .slots import Slot

if TYPE_CHECKING:
    import grpc

    from ..transport.lite import LiteLease

__all__ = ["ANONYMOUS", "Live", "Recipe", "Started", "attempt_of", "reach_of"]

_LOOK = 1.0

ANONYMOUS = "anonymous"
"""The alias of a connection that was opened by an address alone."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What opening a channel takes.

    Attributes:
        profile: not a template.
        find: gives its token; the argument says whether to leave everything that was remembered aside.  It may block
            for as long as a keyring does.
    """

    profile: Profile
    find: Callable[[bool], SecretText | None]

    def refresh(self) -> SecretText | None:
        """The token, from its source."""
        return self.find(True)


@dataclass(frozen=True, slots=True)
class Started:
    """A channel on which nothing has been called yet.

    Attributes:
        core: the channel.
        lite: its Milvus Lite, where it is one.
        attempt: what is tried.
    """

    core: ChannelCore
    lite: LiteLease | None
    attempt: Attempt

    def close(self) -> None:
        """Give everything back."""
        self.core.close()
        if self.lite is not None:
            self.lite.release()


def attempt_of(profile: Profile, token: SecretText | None, lite: LiteLease | None) -> Attempt:
    """What is tried, for the words of an error.

    Args:
        profile: the profile.
        token: what authenticates.
        lite: its Milvus Lite, where it is one.
    """
    alias = None if profile.alias == ANONYMOUS else profile.alias
    return Attempt.of(profile, token, alias=alias, lite_port=lite.port if lite else None)


def reach_of(profile: Profile, lite: LiteLease | None) -> Endpoint:
    """The endpoint that sockets lead to: for Milvus Lite its server in this process.

    Args:
        profile: not a template.
        lite: its Milvus Lite, where it is one.
    """
    return profile.endpoint if lite is None else Endpoint("tcp", host="127.0.0.1", port=lite.port)


class Live:
    """An open channel with its handles; made by :func:`open_live`, kept by the registry or by a pool.

    Attributes:
        server: what the handshake told.
        reach: the endpoint that sockets lead to.
        recipe: what it was opened by, or moved by since.
        fingerprint: what it stands on now.
        abandoned: it belongs to the process before a fork.
    """

    def __init__(
        self,
        recipe: Recipe,
        started: Started,
        server: ServerInfo,
        footing: Footing,
        *,
        slot: Slot,
        dedicated: bool,
        forget: Callable[[Live], None],
        renew: Callable[[Live], None],
    ) -> None:
        self.server = server
        self.recipe = recipe
        self.fingerprint = footing
        self.reach = reach_of(recipe.profile, started.lite)
        self.abandoned = False
        self._core = started.core
        self._lite = started.lite
        self._slot = slot
        self._dedicated = dedicated
        self._retired = False
        self._closed = False
        self._forget = forget
        self._renew = renew
        self._renewing = threading.Lock()
        self._lock = threading.Lock()
        # Not a WeakSet: its own clean-up may come after that of a handle, which asks whether it was the last.
        self._handles: dict[int, weakref.ref[Connection]] = {}
        self._watch()

    # --- what it is ---

    @property
    def profile(self) -> Profile:
        """The profile that it serves now."""
        return self.recipe.profile

    @property
    def core(self) -> ChannelCore:
        """The channel itself: its load and its health."""
        return self._core

    @property
    def lite(self) -> LiteLease | None:
        """Its Milvus Lite, where it is one."""
        return self._lite

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more handles and calls."""
        return self._closed

    @property
    def info(self) -> ConnectionInfo:
        """What ``list_connections`` shows."""
        with self._lock:
            handles = len(self._handles)
        return ConnectionInfo(self.profile.alias, self.profile.endpoint, self.profile.db_name, handles)

    def token(self) -> SecretText | None:
        """The token that calls carry now."""
        return self._core.holder.token

    # --- handles ---

    def handle(self, profile: Profile) -> Connection | None:
        """A new handle; None if the channel was closed meanwhile.

        Args:
            profile: as the caller resolved it; it differs from the channel's only in what is not the channel's.
        """
        connection = Connection(self, profile)
        with self._lock:
            if self._closed or self._retired:
                return None
            self._handles[id(connection)] = weakref.ref(connection)
        # A handle that is dropped without being closed gives itself back.
        weakref.finalize(connection, self._collected, id(connection)).atexit = False
        return connection

    def _collected(self, key: int) -> None:
        self._handles.pop(key, None)
        # The garbage collector may run in a thread that holds one of our locks, so closing is another thread's.
        if (self._dedicated or self._retired) and not self._closed:
            threading.Thread(target=self._dropped, name="milvus-profiles close", daemon=True).start()

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
        import grpc

        try:
            channel.unary_unary(GET_VERSION.path, None, None)(b"", timeout=timeout)
            return
        except grpc.RpcError as error:
            code, details = error.code(), error.details() or ""
        if code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED):
            return  # it answered, which is all that was asked
        attempt = attempt_of(self.profile, self.token(), self._lite)
        evidence = look(attempt, Deadline.after(_LOOK)) if needs_evidence(code) else None
        raise classify(code, details, attempt, method=GET_VERSION.name, evidence=evidence)

    def release(self, connection: Connection) -> None:
        """Take a handle back."""
        with self._lock:
            self._handles.pop(id(connection), None)
        self._dropped()

    def _dropped(self) -> None:
        if self.abandoned:
            return
        with self._lock:
            last = not self._handles and (self._dedicated or self._retired) and not self._closed
            self._closed |= last
        if last:
            self._close()

    # --- moving under living handles ---

    def equip(self, recipe: Recipe, holder: TokenHolder, footing: Footing) -> bool:
        """Go on with another secret from the next call on, over the same channel.

        Args:
            recipe: what it is opened by from now on.
            holder: makes the metadata; the server has accepted it.
            footing: that of the recipe's profile.

        Returns:
            Whether it did; not if it was closed meanwhile.
        """
        with self._lock:
            if self._closed:
                return False
            self._core.equip(holder, recipe.refresh)
            self._core.call_timeout = recipe.profile.call_timeout
            self.recipe, self.fingerprint = recipe, footing
        return True

    def move(self, recipe: Recipe, started: Started, server: ServerInfo, old: Footing, new: Footing) -> bool:
        """Send the calls of all handles over another channel from now on; the old one ends with its last call.

        Args:
            recipe: what it is opened by from now on.
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
            leaving = self._core.swap(started.core.raw, started.core.holder, recipe.refresh)
            lite, self._lite = self._lite, started.lite
            self._core.call_timeout = recipe.profile.call_timeout
            self.server, self.recipe, self.fingerprint = server, recipe, new
            self.reach = reach_of(recipe.profile, started.lite)
            self._watch()
        threading.Thread(target=self._drain, args=(leaving, lite), name="milvus-profiles drain", daemon=True).start()
        return True

    def _drain(self, leaving: Generation, lite: LiteLease | None) -> None:
        # As long as its calls take: whoever made one without a deadline wants its answer.
        self._core.finish(leaving, threading.TIMEOUT_MAX)
        if lite is not None:
            lite.release()

    def _watch(self) -> None:
        tls = self.profile.tls
        has_files = tls is not None and (tls.ca is not None or tls.cert is not None)
        self._core.watch(self._look if has_files else None)

    def _look(self) -> None:
        """Have the channel renewed if its certificate files have changed; a call may be waiting."""
        if self.abandoned or self._closed or Footing.of(self.profile) == self.fingerprint:
            return
        if self._renewing.acquire(blocking=False):
            threading.Thread(target=self._renew_once, name="milvus-profiles renew", daemon=True).start()

    def _renew_once(self) -> None:
        try:
            self._renew(self)
        finally:
            self._renewing.release()

    # --- closing ---

    def retire(self) -> None:
        """Close once the last handle is gone."""
        with self._lock:
            self._retired = True
        self._dropped()

    def disconnect(self, grace: float) -> None:
        """Take no new call, wait for those in flight, then close all handles and the channel."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            handles = [handle() for handle in self._handles.copy().values()]
        for connection in handles:
            if connection is not None:
                connection.disconnected()
        self._core.wait_idle(grace)
        self._close()

    def _close(self) -> None:
        self._core.close()
        if self._lite is not None:
            self._lite.release()
        self._slot.release()
        self._forget(self)
