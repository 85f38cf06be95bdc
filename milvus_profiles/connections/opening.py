"""From a resolved profile to a live channel: secret, Milvus Lite, channel, handshake, in that order.

This is the only way by which the package connects; the test of a profile takes the same steps, so the two cannot
disagree.  Whether plaintext is acceptable and whether the file is trusted was decided before.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from ..endpoint import Endpoint
from ..errors import MilvusProfilesError, ServerNotReadyError, UnreachableError
from ..masked import SecretText
from ..profile import Profile
from ..secrets import OSKeyring, SecretContext, keyring_timeout, resolve
from ..transport.channel import ProfileChannel
from ..transport.core import ChannelCore
from ..transport.deadline import Deadline
from ..transport.handshake import ServerInfo, handshake, ping
from ..transport.lite import Lease, lease
from ..transport.metadata import TokenHolder
from ..transport.options import open_channel, tls_signature
from .connection import Connection
from .registry import ConnectionInfo

if TYPE_CHECKING:
    import grpc

    from ..config.profiles import Profiles, Resolved

__all__ = ["Live", "fingerprint", "open_live", "secret_context"]

_NOT_OF_THE_CHANNEL = frozenset({"alias", "description", "protected", "extends", "timeout", "management_port", "pool"})
_PAUSE, _PAUSE_MAX = 0.1, 1.0


def secret_context(profiles: Profiles, alias: str) -> SecretContext:
    """What resolving a secret needs to know, for a program without a terminal.

    Args:
        profiles: their environment and root settings.
        alias: the profile, for messages.
    """
    extra = profiles.settings.keyring_backends
    keyring = OSKeyring(extra_backends=extra, timeout=keyring_timeout(profiles.env))
    return SecretContext(env=profiles.env, keyring=keyring, alias=alias)


def fingerprint(profile: Profile) -> Hashable:
    """What a channel depends on: it serves a profile that was read anew only if this is the same.

    Args:
        profile: not a template.
    """
    values = tuple(getattr(profile, name) for name in Profile.model_fields if name not in _NOT_OF_THE_CHANNEL)
    return profile.endpoint, values, tls_signature(profile.tls)


class Live:
    """An open channel with its handles; made by :func:`open_live`, kept by the registry.

    Attributes:
        server: what the handshake told.
        reach: the endpoint that sockets lead to: for Milvus Lite its server in this process.
        fingerprint: what it was opened for.
        abandoned: it belongs to the process before a fork.
    """

    def __init__(
        self,
        profile: Profile,
        core: ChannelCore,
        server: ServerInfo,
        lite: Lease | None,
        token: Callable[[], SecretText | None],
        *,
        dedicated: bool,
        forget: Callable[[Live], None],
    ) -> None:
        self.server = server
        self.fingerprint = fingerprint(profile)
        self.reach = profile.endpoint if lite is None else Endpoint("tcp", host="127.0.0.1", port=lite.port)
        self.abandoned = False
        self._profile = profile
        self._core = core
        self._lite = lite
        self._token = token
        self._dedicated = dedicated
        self._retired = False
        self._closed = False
        self._forget = forget
        self._lock = threading.Lock()
        self._handles: weakref.WeakSet[Connection] = weakref.WeakSet()

    @property
    def info(self) -> ConnectionInfo:
        """What ``list_connections`` shows."""
        with self._lock:
            handles = len(self._handles)
        return ConnectionInfo(self._profile.alias, self._profile.endpoint, self._profile.db_name, handles)

    def handle(self, profile: Profile) -> Connection | None:
        """A new handle; None if the channel was closed meanwhile.

        Args:
            profile: as the caller resolved it; it differs from the channel's only in what is not the channel's.
        """
        connection = Connection(self, profile)
        with self._lock:
            if self._closed or self._retired:
                return None
            self._handles.add(connection)
        # A handle that is dropped without being closed gives itself back.
        weakref.finalize(connection, self._dropped).atexit = False
        return connection

    def channel(self, gate: Callable[[], None], on_close: Callable[[], None]) -> grpc.Channel:
        """A channel for one handle.

        Args:
            gate: called before every call; raises if the handle is closed.
            on_close: called when the user closes the channel.
        """
        return ProfileChannel(self._core, gate=gate, on_close=on_close)

    def token(self) -> SecretText | None:
        """The token that calls carry now."""
        return self._token()

    def ping(self, timeout: float) -> None:
        """One call that the server answers whatever the user's rights are; raises as connecting does."""
        ping(self._core, self._profile, Deadline.after(timeout), lite_port=self._lite.port if self._lite else None)

    def release(self, connection: Connection) -> None:
        """Take a handle back."""
        with self._lock:
            self._handles.discard(connection)
        self._dropped()

    def _dropped(self) -> None:
        with self._lock:
            last = not self._handles and (self._dedicated or self._retired) and not self._closed
            self._closed |= last
        if last:
            self._close()

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
            handles = list(self._handles)
        for connection in handles:
            connection.disconnected()
        self._core.wait_idle(grace)
        self._close()

    def _close(self) -> None:
        self._core.close()
        if self._lite is not None:
            self._lite.release()
        self._forget(self)


def open_live(
    resolved: Resolved,
    profiles: Profiles,
    *,
    wait_ready: float | None,
    dedicated: bool,
    forget: Callable[[Live], None],
) -> Live:
    """Open a channel and shake hands.

    Args:
        resolved: the profile.
        profiles: where it comes from: for its environment and root settings.
        wait_ready: seconds to wait for a server that is starting or not reachable yet; None does not wait.
        dedicated: close the channel with its handle.
        forget: called when the channel has closed by itself.

    Raises:
        MilvusProfilesError: what is wrong, classified.
    """
    profile = resolved.profile
    context = secret_context(profiles, profile.alias)
    token = resolve(profile.credential, profile.endpoint, context)
    lite = lease(profile.endpoint.path) if profile.endpoint.kind == "lite" else None
    holder = TokenHolder(token, db_name=profile.db_name)
    core: ChannelCore | None = None
    try:
        core = ChannelCore(
            open_channel(profile, lite_port=lite.port if lite else None),
            holder,
            call_timeout=profile.call_timeout,
            refresh=lambda: resolve(profile.credential, profile.endpoint, context, refresh=True),
        )
        server = _patiently(core, profile, lite, wait_ready)
    except BaseException:
        if core is not None:
            core.close()
        if lite is not None:
            lite.release()
        raise
    return Live(profile, core, server, lite, lambda: holder.token, dedicated=dedicated, forget=forget)


def _patiently(core: ChannelCore, profile: Profile, lite: Lease | None, wait_ready: float | None) -> ServerInfo:
    """Shake hands, again and again while the server is starting and there is time to wait."""
    until = time.monotonic() + (wait_ready or 0.0)
    pause = _PAUSE
    while True:
        try:
            return handshake(core, profile, Deadline.after(profile.timeout), lite_port=lite.port if lite else None)
        except (ServerNotReadyError, UnreachableError) as error:
            if time.monotonic() + pause >= until:
                raise _with_wait(error, wait_ready)
        time.sleep(pause)
        pause = min(pause * 1.6, _PAUSE_MAX)


def _with_wait(error: MilvusProfilesError, wait_ready: float | None) -> MilvusProfilesError:
    if wait_ready:
        error.message = f"{error.message} (waited {wait_ready:g} s)"
    return error

